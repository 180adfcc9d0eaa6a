"""What random draws of the hyper-parameters reach, and what is chosen among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_LANE = 0.22  # of a row's height, between random draws, defaults and choice


def draw_search(draws: pd.DataFrame, chosen: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Accuracy [%] in every split of each random draw, of the defaults and of the choice.

    `draws` as from `draw_values` (draw 0 is the defaults; what diverged has no mark), `chosen` with
    columns method, split_seed, value. Means over splits are strokes.
    """
    import matplotlib.pyplot as plt

    random = draws[draws["draw"] > 0]
    looks = (
        ("random draws", random, FAINT, "o", 3.4),
        ("defaults", draws[draws["draw"] == 0], PALETTE["orange"], "D", 4.0),
        ("chosen among all", chosen, PALETTE["blue"], "s", 4.0),
    )
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.46 * len(methods)))
        for row, method in enumerate(methods):
            if row % 2:
                axes.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", zorder=0)
            for place, (label, table, colour, mark, size) in enumerate(looks):
                own = table.loc[table["method"] == method, "value"].dropna()
                y = row + (place - 1) * _LANE
                axes.plot(
                    100 * own,
                    [y] * len(own),
                    mark,
                    color=colour,
                    alpha=0.55,
                    markersize=size,
                    markeredgewidth=0,
                    zorder=2,
                    label=label if row == 0 else None,
                )
                if len(own):
                    axes.plot(
                        [100 * own.mean()] * 2,
                        [y - 0.1, y + 0.1],
                        color=INK if colour == FAINT else colour,
                        linewidth=1.6,
                        zorder=3,
                    )
        axes.set_yticks(range(len(methods)), list(methods))
        axes.set_ylim(len(methods) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Accuracy on the held-out modality, a mark per split [%]")
        axes.set_ylabel("Method")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        figure.legend(loc="outside upper center", ncols=3, frameon=False, handletextpad=0.2)
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
