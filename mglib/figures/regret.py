"""What each selection rule loses, method by method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglib.analysis.regret import AGAINST
from mglib.errors import unknown
from mglib.figures.rows import draw_mark, list_rows
from mglib.figures.style import FAINT, PALETTE, WIDTH, style
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
        list_rows(axes, methods, "Method")
        for row, method in enumerate(methods):
            for place, rule in enumerate(rules):
                draw_mark(
                    axes,
                    row + (place - (len(rules) - 1) / 2) * gap,
                    values[(values["method"] == method) & (values["rule"] == rule)],
                    intervals[(intervals["method"] == method) & (intervals["rule"] == rule)],
                    _LOOKS[rule],
                    size=5.5,
                    label=RULES[rule].title if row == 0 else None,
                )
        axes.set_xlabel(AGAINST[column])
        figure.legend(loc="outside upper center", frameon=False, handletextpad=0.4)
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
