"""Accuracy against the number of pairs that bind what is unseen, between strong and weak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LOOKS = {
    "Moments": (PALETTE["purple"], "P"),
    "Transport": (PALETTE["green"], "D"),
    "Procrustes": (PALETTE["blue"], "o"),
    "Ridge": (PALETTE["orange"], "s"),
    "Relative": (PALETTE["sky"], "^"),
}
LEVELS = ("-", (0, (6, 2)), (0, (4, 2, 1, 2)), ":")  # of the horizontal lines, in their order
APART = 0.07  # by which the marks of methods are moved apart, as a share of a step of the axis


def draw_ladder(
    panels: Mapping[str, pd.DataFrame], levels: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Accuracy [%] with interval by number of pairs, a line per method and a panel per world.

    `panels`: world -> columns method, pairs, mean, low, high in [0, 1]; `levels`: world -> the
    horizontal lines by name, four at most. The axis of pairs is logarithmic, none at its left.
    """
    import matplotlib.pyplot as plt

    numbers = sorted({int(n) for table in panels.values() for n in table["pairs"]})
    names = [name for name in LOOKS if any((t["method"] == name).any() for t in panels.values())]
    with style():
        figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.5), squeeze=False)
        for ax, (world, table) in zip(axes.flat, panels.items(), strict=True):
            for (label, value), look in zip(levels[world].items(), LEVELS, strict=False):
                ax.axhline(100 * value, color=FAINT, linestyle=look, linewidth=1.1, label=label)
            for place, method in enumerate(names):
                own = table[table["method"] == method].sort_values("pairs")
                colour, mark = LOOKS[method]
                shift = 1 + APART * (place - (len(names) - 1) / 2)
                ax.errorbar(
                    # None stays where it is on a logarithmic axis: there it is moved by adding.
                    [n * shift if n else shift - 1 for n in own["pairs"]],
                    100 * own["mean"],
                    yerr=100 * (own["high"] - own["low"]) / 2,
                    color=colour,
                    marker=mark,
                    markersize=4.5,
                    linewidth=1.2,
                    elinewidth=0.9,
                    label=method,
                )
            ax.set_xscale("symlog", linthresh=1, linscale=0.6)
            ax.set_xticks(numbers, [f"{number:,}" for number in numbers])
            ax.minorticks_off()
            ax.set_xlim(-0.3, 1.6 * max(numbers))
            ax.set_title(world)
            ax.set_ylim(bottom=0)
            ax.grid(visible=False, axis="x")
        figure.supxlabel("Pairs of the unseen modality with the anchor", fontsize=9, color=INK)
        figure.supylabel("Accuracy on the held-out modality [%]", fontsize=9, color=INK)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    plt.close(figure)
    return figure
