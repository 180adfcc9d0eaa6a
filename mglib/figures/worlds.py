"""Mean accuracy of every method in every world, a panel each, between the two bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FAMILIES = {
    "generalization": ("domain generalization", PALETTE["blue"], "o"),
    "multimodal": ("multimodal learning", PALETTE["orange"], "s"),
}


def draw_worlds(
    panels: Mapping[str, pd.DataFrame],
    methods: Sequence[tuple[str, str]],
    lower: str,
    upper: str,
) -> Figure:
    """Accuracy [%] with interval of each method (name, family) in each panel, one axis for all.

    `panels`: title -> columns method, mean, low, high in [0, 1]; `lower` and `upper`
    are the methods that stand as lines: the majority class and the supervised bound.
    """
    import matplotlib.pyplot as plt

    columns = 3 if len(panels) <= 6 else 4  # two rows, as far as four panels stay readable
    rows = -(-len(panels) // columns)
    with style():
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(WIDTH, rows * (0.6 + 0.135 * len(methods))),
            sharey=True,
            squeeze=False,
        )
        for ax, (title, table) in zip(axes.flat, panels.items(), strict=False):
            known = table.set_index("method")
            for name, look in ((lower, ":"), (upper, "-")):
                ax.axvline(100 * known.loc[name, "mean"], color=FAINT, ls=look, lw=1)
            for place, (method, family) in enumerate(methods):
                _, colour, mark = FAMILIES[family]
                own = known.loc[method]
                ax.plot([100 * own["low"], 100 * own["high"]], [place, place], color=colour, lw=1.1)
                ax.plot(100 * own["mean"], place, mark, color=colour, markersize=3.6)
            ax.set_title(title.replace(", ", ",\n") if columns > 3 else title, fontsize=8.5)
            ax.tick_params(axis="both", labelsize=7.5)
            ax.set_yticks(range(len(methods)), [name for name, _ in methods])
            ax.set_ylim(len(methods) - 0.4, -0.6)
            ax.grid(visible=False, axis="y")
        for ax in list(axes.flat)[len(panels) :]:
            ax.set_visible(False)
        figure.supxlabel("Mean accuracy on the held-out modality [%]", fontsize=9, color=INK)
        marks = [
            plt.Line2D([], [], color=colour, marker=mark, lw=1.1, markersize=4, label=label)
            for label, colour, mark in FAMILIES.values()
        ]
        lines = [
            plt.Line2D([], [], color=FAINT, ls=look, lw=1, label=name)
            for name, look in ((lower, ":"), (upper, "-"))
        ]
        figure.legend(handles=[*marks, *lines], loc="outside upper center", ncols=4, frameon=False)
    plt.close(figure)
    return figure
