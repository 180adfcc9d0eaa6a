"""Accuracy on a modality held out of training, between its lower and upper bound."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

from mglib.figures.rows import draw_mark, list_rows
from mglib.figures.style import FAINT, PALETTE, WIDTH, style

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
        list_rows(axes, modalities, "Held-out modality")
        for row, modality in enumerate(modalities):
            for place, method in enumerate(methods):
                draw_mark(
                    axes,
                    row + (place - (len(methods) - 1) / 2) * gap,
                    values[(values["modality"] == modality) & (values["method"] == method)],
                    intervals[
                        (intervals["modality"] == modality) & (intervals["method"] == method)
                    ],
                    look[method],
                    size=6,
                    label=method if row == 0 else None,
                )
        axes.set_xlim(0, 100)
        axes.set_xlabel("Accuracy on the test split of the held-out modality [%]")
        figure.legend(
            loc="outside upper center",
            ncols=min(4, len(methods)),
            frameon=False,
            handletextpad=0.4,
            columnspacing=1.6,
        )
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
