"""Rows of marks: what the figures that list methods or modalities from top to bottom share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mglib.figures.style import INK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def list_rows(axes: Axes, names: Sequence[str], title: str) -> None:
    """Name the rows from top to bottom, every other one shaded, and what they are."""
    for row in range(1, len(names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_ylabel(title)
    axes.tick_params(axis="y", length=0, labelcolor=INK)


def draw_mark(
    axes: Axes,
    y: float,
    own: pd.DataFrame,
    interval: pd.DataFrame,
    look: tuple[str, str],
    size: float,
    label: str | None,
) -> None:
    """One mean [%] with its interval (mean, low, high in [0, 1]); faint marks are its `value`s.

    The faint ones are drawn in the order of `split_seed`, whatever that of the rows. `look` is the
    colour and the mark, `size` that of the mean in points.
    """
    colour, mark = look
    own = own.sort_values("split_seed")
    axes.plot(
        100 * own["value"],
        [y] * len(own),
        mark,
        color=colour,
        alpha=0.28,
        markersize=size - 2,
        markeredgewidth=0.8,
        zorder=2,
    )
    axes.errorbar(
        100 * interval["mean"],
        [y] * len(interval),
        xerr=100 * (interval["high"] - interval["low"]) / 2,
        fmt=mark,
        color=colour,
        markersize=size,
        markeredgewidth=1.4,
        elinewidth=1.4,
        capsize=0,
        zorder=3,
        label=label,
    )
