"""What each part of each method adds to the accuracy on an unseen modality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# By verdict: colour, mark and words.
LOOKS = {
    "higher": (PALETTE["blue"], "o", "pays"),
    "a tie": (FAINT, "s", "a tie"),
    "lower": (PALETTE["orange"], "D", "costs"),
}


def draw_parts(gaps: pd.DataFrame, compared: pd.DataFrame) -> Figure:
    """With a part minus without it [points], a line per part with its interval; splits are faint.

    `gaps` as from `differences`, `compared` from `compare_parts`; lines follow the order of the
    latter, and each method has a band of its own.
    """
    import matplotlib.pyplot as plt

    methods = list(dict.fromkeys(compared["method"]))
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.175 * len(compared)))
        axes.axvline(0, color=FAINT, linewidth=0.9, zorder=1)
        for row, own in enumerate(compared.itertuples(index=False)):
            if methods.index(own.method) % 2:
                axes.axhspan(row - 0.5, row + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
            colour, mark, _ = LOOKS[own.verdict]
            parts = gaps[(gaps["method"] == own.method) & (gaps["part"] == own.part)]["value"]
            axes.plot(
                100 * parts,
                [row] * len(parts),
                mark,
                color=colour,
                alpha=0.28,
                markersize=3,
                markeredgewidth=0.6,
                zorder=2,
            )
            axes.plot(
                [100 * own.low, 100 * own.high], [row, row], color=colour, linewidth=1.2, zorder=3
            )
            axes.plot(100 * own.mean, row, mark, color=colour, markersize=4.6, zorder=4)
        names = [f"{own.method}: {own.part}" for own in compared.itertuples(index=False)]
        axes.set_yticks(range(len(names)), names, fontsize=7.5)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xlabel("Accuracy with the part minus without it [points]")
        shown = [look for verdict, look in LOOKS.items() if (compared["verdict"] == verdict).any()]
        marks = [
            plt.Line2D([], [], color=colour, marker=mark, lw=1.2, markersize=4.6, label=words)
            for colour, mark, words in shown
        ]
        figure.legend(handles=marks, loc="outside upper center", ncols=3, frameon=False)
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
