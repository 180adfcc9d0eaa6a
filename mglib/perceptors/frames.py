"""Short pieces of a recording that overlap little: sound -> 50 ms of bands, series -> 5 samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.registry import perceptors

STEPS = 5  # columns of a spectrogram, or samples of a series, that make a frame


def cut(values: np.ndarray) -> np.ndarray:
    """Series [N, time, D] as frames of STEPS samples each, [N, time // STEPS, STEPS, D].

    What is left at the end is dropped. Raises MglibError for another shape, and for series shorter
    than a frame.
    """
    if values.ndim != 3 or values.shape[1] < STEPS:
        raise MglibError(f"frames of {STEPS} need [N, time, D], not {list(values.shape)}")
    frames = values.shape[1] // STEPS
    return values[:, : frames * STEPS].reshape(len(values), frames, STEPS, values.shape[2])


@perceptors.register("frames")
class Frames(Perceptor):
    """Frames in their order in time [F, D], each of what happened then and hardly anything else.

    Ours. Of sound the mean of STEPS columns of `log_mel`, 50 ms in 64 bands: windows of 30 ms reach
    over a frame's ends by 20 ms, and its level is less the mean of the whole clip. Of a series
    STEPS samples, one after another.
    """

    version = "1"
    kinds = frozenset({"audio", "series"})
    unit_norm = False

    def parameters(self) -> dict[str, Any]:
        """How many columns or samples make a frame."""
        return {"steps": STEPS}

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The spectrogram of sound, the raw series else."""
        return [("log_mel" if dataset.kinds[modality] == "audio" else "raw", modality)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Spectrograms [N, bands, time] -> [N, F, bands]; series [N, time, D] -> [N, F, STEPS D].

        float32, all of one length. Raises MglibError for another shape.
        """
        values = inputs[0].values
        if dataset.kinds[modality] == "audio":
            return cut(values.swapaxes(1, 2)).mean(2, dtype=np.float32), None
        found = cut(values)
        return found.reshape(*found.shape[:2], -1).astype(np.float32), None
