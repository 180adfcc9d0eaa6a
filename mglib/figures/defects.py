"""The published multimodal learners above a constant answer, beside their re-enactment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mglib.figures.style import INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

VARIANTS = {
    "as_published": ("as published", PALETTE["orange"], "X"),
    "aligned_rows": ("rows aligned", PALETTE["purple"], "s"),
    "corrected": ("corrected", PALETTE["blue"], "o"),
}
MARKS = ("o", "s", "^", "v", "P", "X")
COLOURS = tuple(PALETTE[name] for name in ("green", "sky", "yellow", "blue", "orange", "purple"))


def draw_published(printed: pd.DataFrame, ours: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Points above a constant answer: what was printed (left), each variant here (right).

    `printed`: columns algorithm, perceptor, dataset, gap in points; `ours`: algorithm, variant,
    mean, low, high as shares. `titles` names the algorithms, from top to bottom.
    """
    import matplotlib.pyplot as plt

    datasets = list(dict.fromkeys(printed["dataset"]))
    perceptors = list(dict.fromkeys(printed["perceptor"]))
    with style():
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(WIDTH, 1.3 + 0.5 * len(titles)), sharex=True, sharey=True
        )
        for row, algorithm in enumerate(titles):
            for cell in printed[printed["algorithm"] == algorithm].itertuples(index=False):
                place = perceptors.index(cell.perceptor)
                left.plot(
                    cell.gap,
                    row + 0.2 * (place - (len(perceptors) - 1) / 2),
                    MARKS[datasets.index(cell.dataset)],
                    color=COLOURS[place],
                    markersize=4.5,
                )
            here = ours[ours["algorithm"] == algorithm].set_index("variant")
            for place, (variant, (_, colour, mark)) in enumerate(VARIANTS.items()):
                if variant in here.index:
                    own, y = here.loc[variant], row + 0.2 * (place - 1)
                    right.plot([100 * own["low"], 100 * own["high"]], [y, y], color=colour, lw=1.3)
                    right.plot(100 * own["mean"], y, mark, color=colour, markersize=5)
        for axes, title in ((left, "As printed by ModalBed"), (right, "Re-enacted here")):
            axes.axvline(0, color=INK, linewidth=0.8)
            axes.set_title(title)
            axes.grid(visible=False, axis="y")
        left.set_yticks(range(len(titles)), [*titles.values()])
        left.set_ylim(len(titles) - 0.5, -0.5)
        left.set_ylabel("Learner")
        figure.supxlabel("Accuracy minus that of a constant answer [points]", fontsize=9, color=INK)

        def key(colour: str, mark: str, label: str, lw: float = 0) -> plt.Line2D:
            return plt.Line2D([], [], color=colour, marker=mark, lw=lw, markersize=4.5, label=label)

        handles = [key(INK, mark, name) for name, mark in zip(datasets, MARKS, strict=False)]
        handles += [key(c, "o", name) for name, c in zip(perceptors, COLOURS, strict=False)]
        handles += [key(c, mark, name, lw=1.3) for name, c, mark in VARIANTS.values()]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    plt.close(figure)
    return figure
