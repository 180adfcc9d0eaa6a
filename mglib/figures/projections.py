"""Spaces drawn in the plane: the frozen one of each modality, and the one that binds them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A class is told by its colour, its number and, in the space of one modality, its mark.
COLOURS = [*PALETTE.values(), INK, "#8C6D31"]
CLASS_MARKS = ["o", "s", "^", "D", "v", "P", "X", "p"]
MODALITY_MARKS = ["o", "s", "^", "D"]
DOTS = 110  # per inch: thousands of marks are drawn as one picture


def middle(points: np.ndarray, taken: np.ndarray | None = None, gap: float = 0.0) -> np.ndarray:
    """The point [2] of points [N, 2] with the least median distance to the others.

    Points nearer than `gap` to one of those `taken` [K, 2] are passed over, unless all are.
    """
    spread = np.median(np.linalg.norm(points[:, None] - points[None], axis=-1), axis=1)
    if taken is not None and len(taken):
        near = np.linalg.norm(points[:, None] - taken[None], axis=-1).min(axis=1) < gap
        spread = np.where(near, spread + spread.max() + 1, spread)
    return points[spread.argmin()]


def _look(place: int) -> tuple[str, str]:
    return COLOURS[place % len(COLOURS)], CLASS_MARKS[place % len(CLASS_MARKS)]


def _panel(
    axes: Axes, points: pd.DataFrame, modalities: list[str], size: float, mark: int | None
) -> None:
    """One space by one method; several modalities take the marks, else the classes do."""

    several = points["modality"].nunique() > 1
    for (label, modality), own in points.groupby(["class", "modality"], sort=True):
        colour, shape = _look(int(label))
        if several:
            shape = MODALITY_MARKS[modalities.index(modality) % len(MODALITY_MARKS)]
        axes.scatter(
            own["x"], own["y"], s=size, c=colour, marker=shape, alpha=0.75, linewidths=0, zorder=-1
        )
    gap = 0.07 * float(np.ptp(points[["x", "y"]].to_numpy(float), axis=0).max())
    taken: list[np.ndarray] = []
    for label, own in points.groupby("class"):
        x, y = middle(own[["x", "y"]].to_numpy(float), np.reshape(taken, (-1, 2)), gap)
        taken.append(np.array([x, y]))
        axes.text(
            x,
            y,
            str(int(label) + 1),
            ha="center",
            va="center",
            fontsize=8.5,
            fontweight="bold",
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75},
        )
    marked = points[points["instance"] == mark]
    axes.scatter(marked["x"], marked["y"], s=70, c="none", edgecolors=INK, linewidths=1.3)
    axes.set_rasterization_zorder(0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.04)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#cccccc", linewidth=0.7)


def draw_projections(points: pd.DataFrame, mark: int | None = None) -> Figure:
    """Rows: t-SNE and UMAP of each single-modality space; below, the space of all modalities.

    `points` as from `projection_points`; colour and number stand for the class, marks for the class
    above and for the modality below. The instance `mark` is ringed. Axes have no unit or meaning.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    methods = list(dict.fromkeys(points["method"]))
    shared = points[points["space"] == "all"]
    single = points[points["space"] != "all"]
    modalities = list(dict.fromkeys(single["space"]))
    columns = max(1, len(modalities))
    names = dict(sorted(set(zip(points["class"], points["class_name"], strict=True))))
    with style():
        figure = plt.figure(figsize=(WIDTH, 1.0 + 1.72 * len(methods) + 3.4), dpi=DOTS)
        heights = [1.72 * len(methods), 3.4 + 1.0]
        parts = figure.subfigures(2, 1, squeeze=False, height_ratios=heights, hspace=0.03)
        above, below = parts[:, 0]
        grid = above.subplots(len(methods), columns, squeeze=False)
        for row, method in zip(grid, methods, strict=True):
            for axes, space in zip(row, modalities, strict=True):
                own = single[(single["space"] == space) & (single["method"] == method)]
                _panel(axes, own, modalities, 7, mark)
            row[0].set_ylabel(f"{method}\nfrozen", color=INK)
        for axes, space in zip(grid[0], modalities, strict=True):
            axes.set_title(space, loc="left", color=INK, fontweight="bold")
        for axes, method in zip(below.subplots(1, len(methods)), methods, strict=True):
            _panel(axes, shared[shared["method"] == method], modalities, 9, mark)
            axes.set_title("all modalities, bound", loc="left", color=INK, fontweight="bold")
            axes.set_ylabel(method, color=INK)

        def key(colour: str, shape: str, text: str) -> Line2D:
            return Line2D([], [], color=colour, marker=shape, linestyle="", label=text)

        classes = [key(*_look(int(c)), f"{c + 1} {name}") for c, name in names.items()]
        shapes = [
            key(FAINT, MODALITY_MARKS[i % len(MODALITY_MARKS)], name)
            for i, name in enumerate(modalities)
        ]
        common = {"frameon": False, "handletextpad": 0.1, "borderaxespad": 0.0}
        below.legend(
            handles=classes,
            title="class (colour, number; mark above)",
            loc="outside lower left",
            ncols=3,
            columnspacing=0.8,
            alignment="left",
            **common,
        )
        below.legend(
            handles=shapes,
            title="modality (mark below)",
            loc="outside lower right",
            ncols=2,
            columnspacing=0.8,
            alignment="left",
            **common,
        )
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
