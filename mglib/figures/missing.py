"""Missing modalities in pictures: by how many are seen, where models lose, how laws meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style
from mglib.figures.transfer import looks_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = {
    "ceiling": ("ceiling: what the inputs do not tell", "#bdbdbd", ""),
    "encoders": ("encoder deficit", PALETTE["sky"], "///"),
    "fusion": ("fusion deficit, calibration included", PALETTE["orange"], ""),
}


def draw_seen(
    found: pd.DataFrame, methods: Mapping[str, str], columns: Mapping[int, str]
) -> Figure:
    """Accuracy [%] of every method, a panel for each number of modalities seen, with intervals.

    `found` as from `missing.results.values.intervals` over method and seen; `methods` are titles by
    name, in the order drawn, `columns` titles by number.
    """
    import matplotlib.pyplot as plt

    with style():
        figure, grid = plt.subplots(
            1, len(columns), figsize=(WIDTH, 0.8 + 0.2 * len(methods)), sharey=True, squeeze=False
        )
        for axes, (seen, title) in zip(grid.flat, columns.items(), strict=True):
            for row, name in enumerate(methods):
                own = found[(found["method"] == name) & (found["seen"] == seen)]
                for cell in own.itertuples(index=False):
                    colour = PALETTE["orange"] if name == "oracle" else PALETTE["blue"]
                    mark = "D" if name == "oracle" else "o"
                    if np.isfinite(cell.low):
                        axes.plot(
                            [100 * cell.low, 100 * cell.high], [row, row], color=colour, lw=1.2
                        )
                    axes.plot(100 * cell.mean, row, mark, color=colour, ms=4.5)
            axes.set_title(title, loc="left", color=INK)
            axes.set_xlabel("Accuracy [%]")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0, labelcolor=INK)
        grid.flat[0].set_yticks(range(len(methods)), list(methods.values()))
        grid.flat[0].set_ylim(len(methods) - 0.5, -0.5)
    plt.close(figure)
    return figure


def draw_deficits(
    parts: pd.DataFrame, methods: Mapping[str, str], columns: Mapping[int, str]
) -> Figure:
    """Held-out cross-entropy [nats] as ceiling, encoder and fusion deficit, stacked bars.

    What an estimate makes negative stands left of zero. `parts` has the columns method, seen and
    one for each of PARTS; a panel for each number seen.
    """
    import matplotlib.pyplot as plt

    with style():
        figure, grid = plt.subplots(
            1, len(columns), figsize=(WIDTH, 1.2 + 0.34 * len(methods)), sharey=True, squeeze=False
        )
        for axes, (seen, title) in zip(grid.flat, columns.items(), strict=True):
            for row, name in enumerate(methods):
                own = parts[(parts["method"] == name) & (parts["seen"] == seen)]
                if own.empty:
                    continue
                ends = {True: 0.0, False: 0.0}  # of what is above zero, and of what is below
                for part, (_, colour, hatch) in PARTS.items():
                    length = float(own[part].iloc[0])
                    axes.barh(
                        row,
                        length,
                        left=ends[length > 0],
                        height=0.62,
                        color=colour,
                        hatch=hatch,
                        edgecolor="white",
                        linewidth=0.5,
                    )
                    ends[length > 0] += length
            axes.axvline(0, color=INK, lw=0.8)
            axes.set_title(title, loc="left", color=INK)
            axes.set_xlabel("Cross-entropy [nats]")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0, labelcolor=INK)
        grid.flat[0].set_yticks(range(len(methods)), list(methods.values()))
        grid.flat[0].set_ylim(len(methods) - 0.5, -0.5)
        handles = [
            plt.Rectangle(
                (0, 0), 1, 1, facecolor=colour, hatch=hatch, edgecolor="white", label=label
            )
            for label, colour, hatch in PARTS.values()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    plt.close(figure)
    return figure


def draw_sweep(
    panels: Mapping[str, pd.DataFrame],
    lines: Mapping[str, str],
    along: str,
    axis: str,
    *,
    exact: Mapping[str, pd.DataFrame] | None = None,
    exactly: str = "exact ceiling",
    value: str = "Accuracy [%]",
    scale: float = 100.0,
) -> Figure:
    """Values along a quantity, a panel for each name and a stroke for each line, with intervals.

    Each panel's table has the columns `along`, line, mean, low and high, `lines` are titles by
    name; `exact` tables have `along` and value: what is known without measuring, as a grey line
    called `exactly`.
    """
    import matplotlib.pyplot as plt

    looks = looks_of([*lines])
    with style():
        figure, grid = plt.subplots(
            1, len(panels), figsize=(WIDTH, 2.7), sharey=True, squeeze=False
        )
        for axes, (title, table) in zip(grid.flat, panels.items(), strict=True):
            if exact is not None and title in exact:
                own = exact[title]
                axes.plot(
                    own[along],
                    scale * own["value"],
                    color=FAINT,
                    lw=4,
                    alpha=0.5,
                    label=exactly,
                )
            _strokes(axes, table, lines, looks, along, scale)
            axes.set_title(title, loc="left", color=INK)
            axes.set_xlabel(axis)
        grid.flat[0].set_ylabel(value)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    plt.close(figure)
    return figure


def draw_grid(
    rows: Mapping[str, Mapping[str, pd.DataFrame]],
    lines: Mapping[str, str],
    along: str,
    axis: str,
) -> Figure:
    """Accuracy [%] along a quantity: panels in named rows and columns, a stroke for each line.

    Each panel's table has the columns `along`, line, mean, low and high; `lines` are titles by
    name. A panel without a table stays empty.
    """
    import matplotlib.pyplot as plt

    looks = looks_of([*lines])
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    with style():
        figure, grid = plt.subplots(
            len(rows),
            len(columns),
            figsize=(WIDTH, 0.9 + 1.6 * len(rows)),
            sharex=True,
            sharey="row",
            squeeze=False,
        )
        for place, (row, panels) in enumerate(rows.items()):
            for axes, name in zip(grid[place], columns, strict=True):
                if name in panels:
                    _strokes(axes, panels[name], lines, looks, along, 100.0)
                if not place:
                    axes.set_title(name, loc="left", color=INK)
            grid[place, 0].set_ylabel(f"{row}\nAccuracy [%]")
        figure.supxlabel(axis, fontsize=9, color=INK)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    plt.close(figure)
    return figure


def _strokes(
    axes: Axes,
    table: pd.DataFrame,
    lines: Mapping[str, str],
    looks: Mapping[str, tuple[str, str, str]],
    along: str,
    scale: float,
) -> None:
    """A stroke with marks and its interval for each line of a panel's table."""
    for name, label in lines.items():
        colour, mark, stroke = looks[name]
        own = table[table["line"] == name].sort_values(along)
        axes.plot(
            own[along],
            scale * own["mean"],
            stroke,
            color=colour,
            marker=mark,
            ms=4,
            label=label,
        )
        _band(axes, own, along, colour, scale)


def _band(axes: Axes, own: pd.DataFrame, along: str, colour: str, scale: float) -> None:
    low, high = scale * own["low"].to_numpy(float), scale * own["high"].to_numpy(float)
    if np.isfinite(low).all() and len(own):
        axes.fill_between(own[along].to_numpy(float), low, high, color=colour, alpha=0.13, lw=0)


def in_order(names: Sequence[str], titles: Mapping[str, str]) -> dict[str, str]:
    """The titles of some names, in their order."""
    return {name: titles[name] for name in names}
