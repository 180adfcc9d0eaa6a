"""Critical-difference diagram: average ranks, and bars over the methods that are not separated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglib.analysis.pairs import p_value
from mglib.analysis.ranks import Ranking
from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.24  # inches from one method's name to the next


def _name(axes: Axes, name: str, rank: float, depth: float, end: float) -> None:
    """A method: from its rank on the axis down to `depth`, then sideways to its name at `end`."""
    axes.plot([rank, rank, end], [0, depth, depth], color=INK, linewidth=0.9, clip_on=False)
    axes.plot([rank], [0], "o", color=INK, markersize=4, clip_on=False)
    left = end < rank
    axes.annotate(
        f"{name} {rank:.2f}" if left else f"{rank:.2f} {name}",
        (end, depth),
        xytext=(-4 if left else 4, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        annotation_clip=False,
    )


def draw_ranks(ranking: Ranking) -> Figure:
    """Average rank of every method (1, the best, on the left) with Nemenyi's critical difference.

    Demsar (2006), figure 1. Bars join methods that are not told apart; below, Friedman's test, and
    that the ranks only describe where blocks or methods are few.
    """
    import matplotlib.pyplot as plt

    count, groups = len(ranking.ranks), ranking.groups
    half = (count + 1) // 2
    bars = 0.5 * len(groups)
    lines = bars + half + 0.8
    difference = ranking.critical_difference
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 0.45 + _LINE * (lines + 2.9)))
        axes.set_xlim(1, count)
        axes.set_ylim(lines, -2.9)
        for place, (name, rank) in enumerate(ranking.ranks.items()):
            if place < half:
                _name(axes, name, rank, bars + 1 + place, 1 - 0.01 * (count - 1))
            else:
                depth = bars + 1 + (count - 1 - place)
                _name(axes, name, rank, depth, count + 0.01 * (count - 1))
        for place, group in enumerate(groups):
            ends = [ranking.ranks[group[0]], ranking.ranks[group[-1]]]
            axes.plot(
                ends,
                [0.6 + 0.5 * place] * 2,
                color=PALETTE["blue"],
                linewidth=4,
                solid_capstyle="round",
                zorder=3,
                gid=f"group {place}",
            )
        shown = min(difference, count - 1)
        axes.plot([1, 1 + shown], [-2.0] * 2, "|-", color=PALETTE["orange"], linewidth=1.4)
        more = " (more than the axis)" if difference > shown else ""
        axes.text(
            1,
            -2.2,
            f"critical difference {difference:.2f}{more}",
            va="bottom",
            color=PALETTE["orange"],
        )
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.spines["top"].set(visible=True, position=("data", 0), color=INK)
        for side in ("left", "right", "bottom"):
            axes.spines[side].set_visible(False)
        axes.grid(visible=False)
        axes.set_yticks([])
        axes.set_xticks(range(1, count + 1))
        axes.tick_params(axis="x", top=True, direction="out", length=3, color=INK, pad=1)
        axes.set_xlabel("Average rank (1 is the best)")
        p = p_value(ranking.p)
        p = p if p.startswith("<") else f"= {p}"
        told = f"Friedman's chi-squared {ranking.statistic:.2f}, p {p}; {ranking.blocks} blocks"
        figure.supxlabel(
            "\n".join(filter(None, [told, ranking.note])), fontsize=8.5, color=FAINT, ha="center"
        )
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
