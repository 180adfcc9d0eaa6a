"""What each selection rule loses, method by method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglib.analysis.regret import AGAINST
from mglib.errors import unknown
from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style
from mglib.trials.selection import RULES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_LOOKS = dict(
    zip(
        RULES,
        zip((PALETTE[name] for name in ("blue", "orange", "green")), "osD", strict=True),
        strict=True,
    )
)


def draw_regret(values: pd.DataFrame, intervals: pd.DataFrame, column: str = "regret") -> Figure:
    """Mean loss [points] per method and selection rule with its interval; faint marks are splits.

    `values` as from `regret_by_split`, `intervals` from `regret_intervals`, both of one dataset and
    perceptor and of the measure `column`, which names the axis. Raises MglibError for another.
    """
    import matplotlib.pyplot as plt

    if column not in AGAINST:
        raise unknown("measure of a rule's loss", column, AGAINST)
    methods = list(dict.fromkeys(intervals["method"]))
    rules = [rule for rule in RULES if (intervals["rule"] == rule).any()]
    gap = 0.62 / len(rules)
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + (0.1 + 0.14 * len(rules)) * len(methods)))
        axes.axvline(0, color=FAINT, linewidth=0.9, zorder=1)
        for row, method in enumerate(methods):
            if row % 2:
                axes.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", zorder=0)
            for place, rule in enumerate(rules):
                colour, mark = _LOOKS[rule]
                y = row + (place - (len(rules) - 1) / 2) * gap
                own = values[(values["method"] == method) & (values["rule"] == rule)]
                here = intervals[(intervals["method"] == method) & (intervals["rule"] == rule)]
                axes.plot(
                    100 * own["value"],
                    [y] * len(own),
                    mark,
                    color=colour,
                    alpha=0.28,
                    markersize=3.5,
                    markeredgewidth=0.6,
                    zorder=2,
                )
                axes.errorbar(
                    100 * here["mean"],
                    [y] * len(here),
                    xerr=100 * (here["high"] - here["low"]) / 2,
                    fmt=mark,
                    color=colour,
                    markersize=5.5,
                    elinewidth=1.4,
                    capsize=0,
                    zorder=3,
                    label=RULES[rule].title if row == 0 else None,
                )
        axes.set_yticks(range(len(methods)), methods)
        axes.set_ylim(len(methods) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(AGAINST[column])
        axes.set_ylabel("Method")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        figure.legend(loc="outside upper center", frameon=False, handletextpad=0.4)
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
