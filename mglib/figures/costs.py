"""What computations cost beside what a user would do without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mglib.figures.style import FAINT, INK, WIDTH, style
from mglib.figures.transfer import looks_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TICKS = (0.5, 1, 2, 5, 10, 20, 50)


def draw_costs(panels: Mapping[str, pd.DataFrame]) -> Figure:
    """How many times as dear as the baseline, on a log axis: a panel each, a line for every row.

    `panels` as from `analysis.cost_tables.panels`, by title. Marks are medians, strokes reach from
    the least to the most of all runs, and a bar stands where a cost was promised to end.
    """
    import matplotlib.pyplot as plt

    rows = {title: list(dict.fromkeys(own["row"])) for title, own in panels.items()}
    heights = [0.9 + len(own) for own in rows.values()]
    lowest = min((own["low"].min() for own in panels.values()), default=1.0)
    highest = max((own["high"].max() for own in panels.values()), default=1.0)
    with style():
        figure, grid = plt.subplots(
            len(panels),
            1,
            sharex=True,
            squeeze=False,
            figsize=(WIDTH, 0.6 + 0.26 * sum(heights)),
            height_ratios=heights,
        )
        for axes, (title, own) in zip(grid.flat, panels.items(), strict=True):
            looks = looks_of(list(dict.fromkeys(own["series"])))
            places = {name: place for place, name in enumerate(rows[title])}
            axes.axvline(1, color=FAINT, linewidth=0.9, zorder=1)
            for number, (series, (colour, mark, _)) in enumerate(looks.items()):
                shift = 0.5 * ((number + 0.5) / len(looks) - 0.5)
                some = own[own["series"] == series]
                y = some["row"].map(places) + shift
                axes.hlines(y, some["low"], some["high"], color=colour, lw=1.2, zorder=3)
                axes.plot(some["cost"], y, mark, color=colour, ms=5, label=series, zorder=4)
                axes.plot(some["limit"], y, "|", color=INK, ms=9, mew=1.8, zorder=5)
            if own["limit"].notna().any():
                axes.plot([], [], "|", color=INK, ms=9, mew=1.8, label="promised at most")
            axes.set_xscale("log")
            axes.set_title(title, loc="left", color=INK)
            axes.set_yticks(range(len(places)), list(places))
            axes.set_ylim(len(places) - 0.4, -0.6)
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0, labelcolor=INK)
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
        last = grid[-1, 0]
        last.set_xlim(min(0.8, lowest / 1.1), max(2.0, highest * 1.1))
        last.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        last.minorticks_off()
        last.set_xlim(min(0.8, lowest / 1.1), max(2.0, highest * 1.1))
        last.set_xlabel("Times as dear as the baseline (logarithmic)")
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
