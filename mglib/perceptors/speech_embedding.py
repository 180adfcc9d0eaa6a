"""Spoken words -> 288 values, by Google's speech_embedding model."""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance
from mglib.perceptors._base import Encoder
from mglib.perceptors._speech import WEIGHTS, check_sound, over_frames
from mglib.registry import perceptors


def pooled(frames: np.ndarray) -> np.ndarray:
    """Mean, maximum and standard deviation over time: [B, F, 96] -> [B, 288]."""
    return np.concatenate([frames.mean(1), frames.max(1), frames.std(1)], axis=1)


@perceptors.register("speech_embedding")
class SpeechEmbedding(Encoder):
    """96 values every 80 ms, pooled over time to mean, maximum and standard deviation.

    The feature of an instance is the mean over its takes (voices). Both poolings are ours.
    """

    version = "1"
    kinds = frozenset({"audio"})
    unit_norm = False
    width = 288
    CARRIERS = (WEIGHTS,)
    steps = {"audio": 20}

    def takes(self, values: np.ndarray, advance: Advance = lambda share: None) -> np.ndarray:
        """int16 [N, takes, samples] at 16 kHz -> float32 [N, takes, 288]."""
        check_sound(values)
        found = over_frames(values.reshape(-1, values.shape[-1]), pooled, advance)
        return found.reshape(*values.shape[:2], -1)

    def encode(
        self,
        values: np.ndarray,
        lengths: np.ndarray | None = None,
        advance: Advance = lambda share: None,
    ) -> np.ndarray:
        """int16 [N, takes, samples] at 16 kHz -> float32 [N, 288]."""
        return self.takes(values, advance).mean(axis=1)
