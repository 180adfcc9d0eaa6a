"""Accuracy on a modality held out of training, between its lower and upper bound."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# The two bounds look the same in every figure; the methods between them take these in turn.
BOUNDS = {"Majority class": (FAINT, "|"), "Supervised on it": (PALETTE["green"], "D")}
COLOURS = [PALETTE[name] for name in ("blue", "orange", "purple", "sky", "yellow")]
# As many again as there are colours and one more: the pairs repeat only after thirty methods.
MARKS = ["o", "s", "^", "v", "P", "X"]


def draw_held_out(values: pd.DataFrame, intervals: pd.DataFrame) -> Figure:
    """Mean accuracy [%] per held-out modality and method with its interval; faint marks are splits.

    `values` has modality, method, split_seed, value in [0, 1]; `intervals` modality, method, mean,
    low, high. Rows of the drawing follow the order of `intervals`.
    """
    import matplotlib.pyplot as plt

    modalities = list(dict.fromkeys(intervals["modality"]))
    methods = list(dict.fromkeys(intervals["method"]))
    between = zip(cycle(COLOURS), cycle(MARKS), strict=False)
    look = {m: BOUNDS.get(m) or next(between) for m in methods}
    gap = min(0.19, 0.84 / len(methods))
    with style():
        figure, axes = plt.subplots(
            figsize=(WIDTH, 0.8 + max(0.72, 0.13 * len(methods)) * len(modalities))
        )
        for row, modality in enumerate(modalities):
            if row % 2:
                axes.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", zorder=0)
            for place, method in enumerate(methods):
                colour, mark = look[method]
                y = row + (place - (len(methods) - 1) / 2) * gap
                own = values[(values["modality"] == modality) & (values["method"] == method)]
                here = intervals[
                    (intervals["modality"] == modality) & (intervals["method"] == method)
                ]
                axes.plot(
                    100 * own["value"],
                    [y] * len(own),
                    mark,
                    color=colour,
                    alpha=0.28,
                    markersize=4,
                    markeredgewidth=0.8,
                    zorder=2,
                )
                axes.errorbar(
                    100 * here["mean"],
                    [y] * len(here),
                    xerr=100 * (here["high"] - here["low"]) / 2,
                    fmt=mark,
                    color=colour,
                    markersize=6,
                    markeredgewidth=1.4,
                    elinewidth=1.4,
                    capsize=0,
                    zorder=3,
                    label=method if row == 0 else None,
                )
        axes.set_yticks(range(len(modalities)), modalities)
        axes.set_ylim(len(modalities) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Accuracy on the test split of the held-out modality [%]")
        axes.set_ylabel("Held-out modality")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        figure.legend(
            loc="outside upper center",
            ncols=min(4, len(methods)),
            frameon=False,
            handletextpad=0.4,
            columnspacing=1.6,
        )
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
