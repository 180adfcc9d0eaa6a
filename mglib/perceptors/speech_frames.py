"""Spoken words -> a frame of 96 values every 80 ms, by Google's speech_embedding model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.perceptors._speech import HOP, SEEN, WEIGHTS, check_sound, over_frames
from mglib.perceptors.log_mel import silenced
from mglib.registry import perceptors

RATE = 16000  # samples per second that the model was trained on


@perceptors.register("speech_frames")
class SpeechFrames(Perceptor):
    """Frames [F, 96] of the first take: frame f is what the model makes of the sound up to its end.

    Ours: silence stands before the sound, so that the first frame ends after the first 80 ms. The
    model looks back 0.775 s: neighbours share nine tenths of what they hear, and a lost frame is
    told by those beside it.
    """

    version = "1"
    kinds = frozenset({"audio"})
    unit_norm = False
    CARRIERS = (WEIGHTS,)
    steps = {"audio": 60}

    def parameters(self) -> dict[str, Any]:
        """The take, the samples that a frame hears, and those between frames."""
        return {"take": 0, "heard": SEEN, "hop": HOP}

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The raw modality."""
        return [("raw", modality)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Audio int16 [N, takes, samples] at 16 kHz -> float32 [N, F, 96] and lengths [N].

        Raises MglibError for another type, shape or sample rate.
        """
        sound, lengths = inputs[0].values, inputs[0].lengths
        check_sound(sound)
        if dataset.sample_rate != RATE:
            raise MglibError(
                f"speech_frames takes {RATE} samples per second, not {dataset.sample_rate}"
            )
        first = None if lengths is None else lengths[:, 0]
        clips = np.pad(silenced(sound[:, 0], first), ((0, 0), (SEEN - HOP, 0)))
        ends = np.full(len(clips), sound.shape[2]) if first is None else first
        frames = over_frames(clips, lambda found: found, advance)
        return frames, np.minimum(ends // HOP, frames.shape[1]).astype(np.int64)
