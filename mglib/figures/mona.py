"""A diagram of MoNA's first stage: which way data go, and which way the gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIGH, WIDE = 0.62, 1.5  # of a box
# Name, place of the middle, colour of the frame.
BOXES = {
    "target\nbatch": (0.8, 2.4, FAINT),
    "target\nembedder φ": (2.9, 2.4, PALETTE["orange"]),
    "encoder θ": (5.0, 2.4, PALETTE["blue"]),
    "predictor θ": (7.1, 2.4, PALETTE["blue"]),
    "inner loss": (9.2, 2.4, INK),
    "source\nbatch": (0.8, 0.6, FAINT),
    "source\nembedder": (2.9, 0.6, FAINT),
    "encoder θ*": (5.0, 0.6, PALETTE["sky"]),
    "outer loss": (9.2, 0.6, INK),
}
FLOWS = [
    ("target\nbatch", "target\nembedder φ"),
    ("target\nembedder φ", "encoder θ"),
    ("encoder θ", "predictor θ"),
    ("predictor θ", "inner loss"),
    ("source\nbatch", "source\nembedder"),
    ("source\nembedder", "encoder θ*"),
    ("encoder θ*", "outer loss"),
]


def _box(axes: Axes, name: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y, colour = BOXES[name]
    frozen = name == "source\nembedder"
    axes.add_patch(
        FancyBboxPatch(
            (x - WIDE / 2, y - HIGH / 2),
            WIDE,
            HIGH,
            boxstyle="round,pad=0.02,rounding_size=0.08",
            facecolor="white",
            edgecolor=colour,
            linewidth=1.5,
            linestyle=":" if frozen else "-",
        )
    )
    axes.text(x, y, name, ha="center", va="center", fontsize=8.5)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str = INK,
    stroke: str = "-",
    bend: float = 0.0,
) -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": colour,
            "linestyle": stroke,
            "linewidth": 1.2,
            "connectionstyle": f"arc3,rad={bend}",
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def draw_mona() -> Figure:
    """Boxes for embedders, encoders and losses; solid arrows are data, dashed ones gradients."""
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 2.35))
        for name in BOXES:
            _box(axes, name)
        for start, end in FLOWS:
            (x, y, _), (u, v, _) = BOXES[start], BOXES[end]
            _arrow(axes, (x + WIDE / 2 + 0.04, y), (u - WIDE / 2 - 0.04, v))
        blue, orange = PALETTE["blue"], PALETTE["orange"]
        _arrow(axes, (9.2, 2.4 - HIGH / 2 - 0.05), (5.75, 0.95), blue, "--", -0.18)
        axes.text(
            6.05, 1.55, "virtual step\nθ* = θ − α ∇ inner", color=blue, fontsize=8, va="center"
        )
        _arrow(axes, (5.0, 0.6 + HIGH / 2 + 0.05), (3.3, 2.4 - HIGH / 2 - 0.05), orange, "--", 0.15)
        axes.text(
            1.35, 1.5, "gradient of the\nouter loss for φ", color=orange, fontsize=8, va="center"
        )
        axes.text(2.9, 0.6 - HIGH / 2 - 0.22, "frozen", color=FAINT, fontsize=8, ha="center")
        axes.set_xlim(-0.1, 10.1)
        axes.set_ylim(-0.05, 2.85)
        axes.set_axis_off()
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
