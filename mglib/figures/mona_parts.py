"""What each part of MoNA does to the target's error and to what is kept of the source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mglib.figures.style import FAINT, INK, WIDTH, style
from mglib.figures.transfer import looks_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def draw_mona_parts(
    gaps: pd.DataFrame, targets: Mapping[str, str], panels: Mapping[str, str]
) -> Figure:
    """Every variant minus MoNA [points]: a line each, a panel per quantity, a mark per target.

    `gaps` as from `transfer.results.mona_parts.part_gaps`; `targets` and `panels` are titles by
    name of target and quantity. Marks are full where a difference is no tie; bands hold the
    variants of one part, which its first line names.
    """
    import matplotlib.pyplot as plt

    looks = looks_of([*targets])
    lines = {own.method: (own.part, own.words) for own in gaps.itertuples(index=False)}
    rows = {method: row for row, method in enumerate(lines)}
    parts = list(dict.fromkeys(part for part, _ in lines.values()))
    with style():
        figure, grid = plt.subplots(
            1, len(panels), sharey=True, squeeze=False, figsize=(WIDTH, 0.9 + 0.24 * len(lines))
        )
        for axes, (quantity, title) in zip(grid.flat, panels.items(), strict=True):
            axes.axvline(0, color=FAINT, linewidth=0.9, zorder=1)
            for part in parts[1::2]:
                own_rows = [rows[method] for method in lines if lines[method][0] == part]
                axes.axhspan(
                    min(own_rows) - 0.5, max(own_rows) + 0.5, color="#f3f3f3", lw=0, zorder=0
                )
            for place, (target, label) in enumerate(targets.items()):
                colour, mark, _ = looks[target]
                own = gaps[(gaps["quantity"] == quantity) & (gaps["target"] == target)]
                y = own["method"].map(rows) + 0.36 * ((place + 0.5) / len(targets) - 0.5)
                ends = [100 * own["low"], 100 * own["high"], np.full(len(own), np.nan)]
                across = np.stack(ends, axis=1).ravel()  # one stroke, broken between the lines
                axes.plot(across, np.repeat(y, 3), color=colour, lw=1, zorder=3)
                for full in (True, False):
                    some = own["verdict"].isin(("lower", "higher")) == full
                    axes.plot(
                        100 * own["mean"][some],
                        y[some],
                        mark,
                        color=colour,
                        markerfacecolor=colour if full else "white",
                        markersize=4.5,
                        label=None if full else label,
                        zorder=4,
                    )
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0, labelcolor=INK)
            axes.set_xlabel(title)
        first = {part: method for method, (part, _) in reversed(lines.items())}
        names = [
            f"{part}: {words}" if first[part] == method else words
            for method, (part, words) in lines.items()
        ]
        grid[0, 0].set_yticks(range(len(names)), names)
        grid[0, 0].set_ylim(len(names) - 0.4, -0.6)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
