"""Every method beside one of them over a sweep: a square for each difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST = 20.0  # points at which colours are full


def draw_differences(
    panels: Mapping[str, pd.DataFrame], methods: Mapping[str, str], xlabel: str
) -> Figure:
    """Differences [points] to a reference, a row for each method, a column for each rate.

    A panel by its title: columns method, rate, mean and apart (whether the difference is no tie;
    then its number stands in the square, in bold). Orange is worse than the reference, blue better;
    a square that is not there was not asked for, or has too few splits to be compared. `methods` are titles by name, in the order drawn.
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colours = LinearSegmentedColormap.from_list("", [PALETTE["orange"], "white", PALETTE["blue"]])
    norm = Normalize(-MOST, MOST)
    with style():
        figure, grid = plt.subplots(
            1, len(panels), figsize=(WIDTH, 0.9 + 0.17 * len(methods)), sharey=True, squeeze=False
        )
        for axes, (title, found) in zip(grid.flat, panels.items(), strict=True):
            rates = sorted(found["rate"].unique())
            for cell in found.itertuples(index=False):
                place = rates.index(cell.rate), [*methods].index(cell.method)
                points = 100 * cell.mean
                axes.add_patch(
                    plt.Rectangle(
                        (place[0] - 0.46, place[1] - 0.44),
                        0.92,
                        0.88,
                        facecolor=colours(norm(points)),
                        edgecolor=INK if cell.apart else "#d0d0d0",
                        lw=0.9 if cell.apart else 0.4,
                    )
                )
                axes.text(
                    *place,
                    f"{points:+.0f}".replace("-", "−") if round(points) else "0",
                    ha="center",
                    va="center",
                    fontsize=6,
                    color=INK if cell.apart else FAINT,
                    fontweight="bold" if cell.apart else "normal",
                )
            axes.set_title(title, loc="left", color=INK)
            axes.set_xticks(np.arange(len(rates)), [f"{100 * rate:g}" for rate in rates])
            axes.set_xlim(-0.5, max(1, len(rates)) - 0.5)
            axes.set_xlabel(xlabel)
            axes.grid(visible=False)
            axes.tick_params(length=0, labelcolor=INK, labelsize=7.5)
            for side in axes.spines.values():
                side.set_visible(False)
        grid.flat[0].set_yticks(range(len(methods)), list(methods.values()))
        grid.flat[0].set_ylim(len(methods) - 0.5, -0.5)
    plt.close(figure)
    return figure
