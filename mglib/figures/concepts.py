"""The same concepts in every modality: pictures, curves and words, one row for each concept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.concepts import Sample
from mglib.figures.style import FAINT, INK, PALETTE, WIDTH, style

COLOURS = [PALETTE[name] for name in ("blue", "orange", "green")]  # of the channels of a series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _show(axes: Axes, kind: str, value: np.ndarray | str, seconds: float, rate: int | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if kind == "text":
        axes.text(0, 0.5, str(value), va="center", ha="left", transform=axes.transAxes, wrap=True)
    elif kind == "audio":
        sound = np.asarray(value, float) / 32768
        axes.plot(
            np.arange(len(sound)) / (rate or 1),
            sound,
            color=PALETTE["blue"],
            linewidth=0.35,
            rasterized=True,
        )
        axes.set_xlim(0, seconds)
        axes.set_ylim(-1, 1)
    elif kind == "series":
        for channel, colour in zip(np.asarray(value).T, cycle(COLOURS)):
            axes.plot(channel, color=colour, linewidth=0.8)
    else:
        axes.imshow(np.asarray(value), cmap="gray", interpolation="antialiased")


def draw_samples(samples: Sequence[Sample]) -> Figure:
    """One row per instance, one column per modality; sounds share one time axis in seconds.

    Of a series every channel is a curve of its own, on the scale of the instance.
    """
    import matplotlib.pyplot as plt

    modalities = list(samples[0].kinds)
    widths = {"image": 1.0, "audio": 2.6, "text": 2.4, "series": 2.6}
    words = {m: max(len(word) for word in m.split("_")) for m in modalities}
    rate = samples[0].sample_rate or 1
    seconds = max(
        (len(s.values[m]) / rate for s in samples for m in modalities if s.kinds[m] == "audio"),
        default=1.0,
    )
    with style():
        figure, grid = plt.subplots(
            len(samples),
            len(modalities) + 1,
            figsize=(WIDTH, 0.25 + 0.68 * len(samples)),
            squeeze=False,
            width_ratios=[
                1.7,
                # A column holds its title, too: five or six letters take a unit.
                *(max(widths[samples[0].kinds[m]], words[m] / 5.5) for m in modalities),
            ],
        )
        for row, sample in zip(grid, samples, strict=True):
            _show(row[0], "text", sample.category, seconds, None)
            row[0].texts[0].set(color=FAINT, fontsize=8)
            for axes, modality in zip(row[1:], modalities, strict=True):
                _show(axes, sample.kinds[modality], sample.values[modality], seconds, rate)
        for axes, title in zip(grid[0], ["class", *modalities], strict=True):
            axes.set_title(title.replace("_", "\n"), loc="left", color=INK, fontweight="bold")
        for axes, modality in zip(grid[-1][1:], modalities, strict=True):
            if samples[0].kinds[modality] == "audio":
                axes.set_xticks([0, round(seconds, 1)], ["0", f"{seconds:.1f} s"])
                axes.tick_params(length=0, labelsize=7.5)
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it again
    return figure
