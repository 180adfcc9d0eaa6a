"""Accuracy on an unseen modality against how well it is bound, and how far that carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.half_way import HALF, Points, monotone
from mglib.analysis.statistics import Interval
from mglib.figures.held_out import COLOURS, MARKS
from mglib.figures.style import FAINT, INK, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _curves(ax: Axes, intervals: pd.DataFrame, column: str, methods: Sequence[str]) -> None:
    """Accuracy [%] of each method along a column, with intervals, the methods side by side."""
    for place, method in enumerate(methods):
        own = intervals[intervals["method"] == method].sort_values(column)
        shift = (place - (len(methods) - 1) / 2) * 0.02
        x = own[column] * (1 + 2 * shift) if column == "pairs" else own[column] + shift
        ax.errorbar(
            x if column == "pairs" else 100 * x,
            100 * own["mean"],
            yerr=100 * (own["high"] - own["low"]) / 2,
            fmt=f"{MARKS[place % len(MARKS)]}-",
            color=COLOURS[place % len(COLOURS)],
            markersize=3.6,
            linewidth=1.1,
            elinewidth=0.9,
            label=method,
        )


def _way(ax: Axes, points: Points, half: Interval | None) -> None:
    """Share of the way [%] against recall [%], a mark per point, and the fit that never falls."""
    mean = np.full(len(points.score), 1 / len(points.score))
    recall, share = mean @ points.recall, points.share(mean)
    full = (points.noise == 0) & (points.pairs == points.pairs.max())
    for place, modality in enumerate(dict.fromkeys(points.modalities)):
        own = np.array([name == modality for name in points.modalities])
        colour = COLOURS[place % len(COLOURS)]
        mark = MARKS[place % len(MARKS)]
        for chosen, fill, size in (
            (own & (points.noise == 0) & ~full, colour, 4),
            (own & (points.noise > 0), "none", 4),
            (own & full, colour, 7),
        ):
            ax.plot(
                100 * recall[chosen],
                100 * share[chosen],
                mark,
                color=colour,
                markerfacecolor=fill,
                markersize=size,
                zorder=3,
            )
        ax.plot([], [], mark, color=colour, markersize=4, label=modality)
    known = np.isfinite(share)
    if known.any():
        knots, fitted = monotone(recall[known], share[known])
        ax.plot(100 * knots, 100 * fitted, color=INK, linewidth=1.2, zorder=2, gid="fit")
    ax.axhline(100 * HALF, color=FAINT, linewidth=0.8, linestyle="--", zorder=1)
    if half is not None and np.isfinite(half.mean):
        ax.axvline(100 * half.mean, color=FAINT, linewidth=0.8, linestyle="--", zorder=1)
        if np.isfinite(half.high):
            ax.axvspan(100 * half.low, 100 * half.high, color="#eeeeee", zorder=0, gid="half-way")
    ax.legend(frameon=False, fontsize=7.5, handletextpad=0.1, borderpad=0, loc="lower right")


def draw_similarity(
    intervals: pd.DataFrame,
    points: Points,
    methods: Sequence[str],
    bounds: Mapping[str, str],
    half: Interval | None,
) -> Figure:
    """Accuracy against the pairs, against the wrong ones, and the way covered against recall.

    `intervals` as from `condition_intervals`, `points` those of the first method; `bounds`: method
    that stands as a line -> its line style; `half`: half-way in recall. In the last panel filled
    marks are numbers of pairs, hollow ones shares of wrong pairs, the largest the fully bound.
    """
    import matplotlib.pyplot as plt

    every = points.pairs.max()
    pairs = intervals[intervals["noise"] == 0]
    pairs = pairs.assign(pairs=pairs["pairs"].where(pairs["pairs"] > 0, every))
    noise = intervals[intervals["pairs"] == 0]
    with style():
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 2.9))
        _curves(left, pairs, "pairs", methods)
        _curves(middle, noise, "noise", methods)
        for ax in (left, middle):
            for name, look in bounds.items():
                level = 100 * intervals.loc[intervals["method"] == name, "mean"].iloc[0]
                ax.axhline(level, color=FAINT, linestyle=look, linewidth=1, label=name)
            ax.set_ylim(0, 100)
        left.set_xscale("log")
        ticks = sorted({10.0**n for n in range(4) if pairs["pairs"].min() <= 10**n <= every})
        left.set_xticks([*ticks, every], [*(f"{tick:g}" for tick in ticks), "all"])
        left.set_xticks([], minor=True)
        left.set_xlabel("Binding pairs of the\nunseen modality [number]")
        left.set_ylabel("Accuracy on the unseen modality [%]")
        middle.set_xlabel("Wrong pairs among all\nbinding pairs [%]")
        middle.set_yticklabels([])
        _way(right, points, half)
        right.set_xlabel("Recall of the partner\nin the test part [%]")
        right.set_ylabel(f"Way to full binding, {methods[0]} [%]")
        for ax in (left, middle, right):
            ax.tick_params(labelsize=8)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
