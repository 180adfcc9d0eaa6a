"""Every method beside one of them over a sweep: a shade for each difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mglib.figures.style import INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST = 20.0  # points at which colours are full


def draw_differences(
    panels: Mapping[str, pd.DataFrame], methods: Mapping[str, str], xlabel: str
) -> Figure:
    """Differences [points] to a reference, a row for each method, a column for each rate.

    A panel by its title: columns method, rate, mean and apart (whether the difference is no tie;
    then its number stands in the square, framed). Orange is worse than the reference, blue better;
    white is alike, was not asked for, or has too few splits to be compared. `methods` are titles by
    name, in the order drawn.
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
            shades = np.full((len(methods), max(1, len(rates)), 3), 1.0)
            for cell in found.sort_values(["method", "rate"]).itertuples(index=False):
                column, row = rates.index(cell.rate), [*methods].index(cell.method)
                points = 100 * cell.mean
                shades[row, column] = colours(norm(points))[:3]
                if cell.apart:
                    axes.add_patch(
                        plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=INK, lw=0.9)
                    )
                    axes.text(
                        *(column, row, f"{points:+.0f}".replace("-", "−")),
                        ha="center",
                        va="center",
                        fontsize=6.5,
                        fontweight="bold",
                    )
            axes.imshow(shades, aspect="auto", interpolation="nearest")
            axes.set_title(title, loc="left", color=INK)
            axes.set_xticks(np.arange(len(rates)), [f"{100 * rate:g}" for rate in rates])
            axes.set_xlim(-0.5, max(1, len(rates)) - 0.5)
            axes.grid(visible=False)
            axes.tick_params(length=0, labelcolor=INK, labelsize=7.5)
            for side in axes.spines.values():
                side.set_visible(False)
        figure.supxlabel(xlabel, fontsize=9)
        scale = plt.cm.ScalarMappable(norm, colours)
        bar = figure.colorbar(scale, ax=grid, shrink=0.5, aspect=18, pad=0.02)
        if bar.solids is not None:  # 256 shades, one shape each
            bar.solids.set_rasterized(True)
        bar.set_label("Difference [points]", fontsize=8)
        bar.set_ticks([-MOST, -MOST / 2, 0, MOST / 2, MOST])
        bar.ax.tick_params(labelsize=7.5)
        grid.flat[0].set_yticks(range(len(methods)), list(methods.values()))
        grid.flat[0].set_ylim(len(methods) - 0.5, -0.5)
    plt.close(figure)
    return figure
