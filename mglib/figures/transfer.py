"""Transfer in pictures: errors along training, what is kept of the source, its spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.analysis.statistics import Interval
from mglib.figures.projections import CLASS_MARKS, COLOURS, DOTS
from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LOOKS = [
    (PALETTE["blue"], "o", "-"),
    (PALETTE["orange"], "D", "--"),
    (PALETTE["green"], "s", "-."),
    (PALETTE["purple"], "^", ":"),
    (FAINT, "v", "-"),
    (PALETTE["sky"], "P", "--"),
    (PALETTE["yellow"], "X", "-."),
]


def looks_of(methods: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Colour, mark and stroke of each method, in their order."""
    return {name: LOOKS[place % len(LOOKS)] for place, name in enumerate(methods)}


def draw_curves(
    found: pd.DataFrame,
    methods: Mapping[str, str],
    targets: Mapping[str, str],
    levels: Mapping[str, float] | None = None,
    level_title: str = "",
) -> Figure:
    """Test error of every target [%] along training, a stroke per method; splits are faint.

    `found` as from `transfer.results.values.curves`; `methods` and `targets` are titles by name.
    `levels` are errors by target of something that is not trained step by step, a dotted line.
    """
    import matplotlib.pyplot as plt

    looks = looks_of([*methods])
    columns = 2 if len(targets) == 4 else min(3, len(targets))
    lines = -(-len(targets) // columns)
    with style():
        figure, grid = plt.subplots(
            lines, columns, figsize=(WIDTH, 0.5 + 2.05 * lines), squeeze=False
        )
        for axes, (name, title) in zip(grid.flat, targets.items(), strict=False):
            own = found[
                (found["target"] == name) & (found["metric"] == "own") & (found["part"] == "test")
            ]
            for method, label in methods.items():
                colour, mark, stroke = looks[method]
                runs = own[own["method"] == method]
                for _, run in runs.groupby("key", sort=True):
                    axes.plot(run["step"], 100 * run["value"], color=colour, alpha=0.2, lw=0.8)
                mean = runs.groupby("step")["value"].mean()
                axes.plot(
                    mean.index,
                    100 * mean,
                    stroke,
                    color=colour,
                    marker=mark,
                    markersize=4,
                    label=label,
                )
            if levels and name in levels:
                axes.axhline(100 * levels[name], color=INK, lw=1.2, ls=":", label=level_title)
            axes.set_title(title, loc="left", color=INK)
            axes.set_ylim(bottom=0)
            axes.set_xticks(sorted(set(own["step"])))
            axes.set_xlabel("Step")
        for axes in list(grid.flat)[len(targets) :]:
            axes.set_visible(False)
        for row in grid:
            row[0].set_ylabel("Test error [%]")
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure


def draw_kept(
    values: pd.DataFrame,
    intervals: Mapping[tuple[str, str], Interval],
    start: float,
    methods: Mapping[str, str],
    targets: Mapping[str, str],
    source: str,
) -> Figure:
    """What a linear probe still reads of the source [%] after training on each target, by method.

    `values` as from `transfer.results.values.chosen`, with their `intervals` by target and method;
    the vertical line is the body before training. `source` names the source modality.
    """
    import matplotlib.pyplot as plt

    looks = looks_of([*methods])
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.62 * len(targets)))
        axes.axvline(100 * start, color=INK, linewidth=1, linestyle=":", zorder=1)
        width = 0.8 / max(1, len(methods))
        for row, target in enumerate(targets):
            if row % 2:
                axes.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", zorder=0)
            for place, (method, label) in enumerate(methods.items()):
                colour, mark, _ = looks[method]
                y = row + width * (place - (len(methods) - 1) / 2)
                own = values[(values["target"] == target) & (values["method"] == method)]
                own = own.sort_values("split_seed")
                common: dict[str, Any] = {"color": colour, "zorder": 3}
                axes.plot(
                    100 * own["probe_accuracy"], [y] * len(own), mark, alpha=0.28, ms=3, **common
                )
                found = intervals.get((target, method))
                if found is None:
                    continue
                if np.isfinite(found.half):
                    axes.plot([100 * found.low, 100 * found.high], [y, y], lw=1.2, **common)
                axes.plot(100 * found.mean, y, mark, ms=5, label=None if row else label, **common)
        axes.set_yticks(range(len(targets)), list(targets.values()))
        axes.set_ylim(len(targets) - 0.5, -0.5)
        axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel(f"Accuracy of a linear probe on the source ({source}) [%]")
        figure.legend(loc="outside upper center", ncols=4, frameon=False)
    plt.close(figure)
    return figure


def draw_spaces(points: pd.DataFrame) -> Figure:
    """The source's test part as encoders see it, a panel each; colour and mark: class.

    `points` as from `transfer.results.spaces.space_points`. Axes have no unit or meaning.
    """
    import matplotlib.pyplot as plt

    panels = list(dict.fromkeys(points["panel"]))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    names = dict(sorted(set(zip(points["class"], points["class_name"], strict=True))))
    with style():
        figure, grid = plt.subplots(
            lines, columns, figsize=(WIDTH, 0.7 + 2.2 * lines), squeeze=False, dpi=DOTS
        )
        for axes, panel in zip(grid.flat, panels, strict=False):
            own = points[points["panel"] == panel]
            for label, some in own.groupby("class", sort=True):
                axes.scatter(
                    some["x"],
                    some["y"],
                    s=8,
                    c=COLOURS[int(label) % len(COLOURS)],
                    marker=CLASS_MARKS[int(label) % len(CLASS_MARKS)],
                    alpha=0.8,
                    linewidths=0,
                    zorder=-1,
                )
            first = own.iloc[0]
            axes.set_title(panel, loc="left", color=INK)
            axes.set_xlabel(
                f"Davies-Bouldin {first['davies_bouldin']:.2f} "
                f"({first['low']:.2f} to {first['high']:.2f})",
                fontsize=7.5,
            )
            axes.set_rasterization_zorder(0)
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set(visible=True, color="#cccccc", linewidth=0.7)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        handles = [
            plt.Line2D(
                [],
                [],
                color=COLOURS[int(label) % len(COLOURS)],
                marker=CLASS_MARKS[int(label) % len(CLASS_MARKS)],
                linestyle="",
                label=name,
            )
            for label, name in names.items()
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=4, frameon=False, handletextpad=0.1
        )
    plt.close(figure)
    return figure


def draw_discrepancy(lost: pd.DataFrame, targets: Mapping[str, str]) -> Figure:
    """Discrepancy of a target against the source knowledge that fine-tuning on it costs [points].

    `lost` has a row per target: discrepancy, low, high, and the loss with its low and high.
    """
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(figsize=(WIDTH * 0.72, 3.1))
        axes.axhline(0, color=FAINT, linewidth=0.9)
        for place, own in enumerate(lost.itertuples(index=False)):
            colour, mark, _ = LOOKS[place % len(LOOKS)]
            axes.plot([own.low, own.high], [100 * own.lost] * 2, color=colour, lw=1)
            axes.plot(
                [own.discrepancy] * 2, [100 * own.lost_low, 100 * own.lost_high], color=colour, lw=1
            )
            axes.plot(
                own.discrepancy, 100 * own.lost, mark, color=colour, ms=6, label=targets[own.target]
            )
        axes.set_xlabel("Discrepancy, share of that of permuted labels")
        axes.set_ylabel("Probe accuracy lost [points]")
        figure.legend(loc="outside right upper", frameon=False)
    plt.close(figure)
    return figure


def draw_kept_against_error(points: pd.DataFrame, targets: Mapping[str, str]) -> Figure:
    """What is kept of the source more than by fine-tuning [points], against the ratio of errors.

    `points` as from `transfer.results.values.kept_against_error`; `targets` are titles by name.
    """
    import matplotlib.pyplot as plt

    marks = "osD^vPX<>*hd8"
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
        axes.axvline(0, color=INK, lw=1, ls=":")
        axes.axhline(1, color=INK, lw=1, ls=":")
        for place, (name, title) in enumerate(targets.items()):
            own = points[points["target"] == name]
            colour = LOOKS[place % len(LOOKS)][0]
            axes.plot(
                100 * own["kept"],
                own["error"],
                marks[place % len(marks)],
                color=colour,
                ms=5,
                label=title,
            )
        axes.set_xlabel("Probe of the source, MoNA minus fine-tuning [points]")
        axes.set_ylabel("Error, MoNA over fine-tuning")
        figure.legend(loc="outside right upper", frameon=False)
    plt.close(figure)
    return figure
