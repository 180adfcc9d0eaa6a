"""CLAP of any size from a folder: sounds and texts in one space."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.errors import MglibError
from mglib.perceptors import _folders
from mglib.perceptors._foundation import Foundation, RawBatch
from mglib.registry import Setting, perceptors

if TYPE_CHECKING:
    from torch import Tensor


def resampled(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples [S] at another rate in Hz, by a polyphase low-pass filter."""
    from scipy.signal import resample_poly

    shared = math.gcd(rate, wanted)
    return resample_poly(sound, wanted // shared, rate // shared) if rate != wanted else sound


def middle(sound: np.ndarray, most: int) -> np.ndarray:
    """At most so many samples [S], from the middle."""
    start = max(0, len(sound) - most) // 2
    return sound[start : start + most]


@perceptors.register("clap")
class CLAP(Foundation):
    """Sounds and texts through a CLAP model of the folder `model` in `MGLIB_MODELS`.

    Source: Wu et al. 2022 (arXiv 2211.06687). Ours: of a sound that is longer than the model takes
    the middle, where it is otherwise cut at random; the mean of the unit vectors of all takes.
    """

    kinds = frozenset({"audio", "text"})
    settings = {"model": Setting(str, "clap")}
    steps = {"audio": 200, "text": 10}
    family, model_type, part = "Clap", "clap", "feature_extractor"

    @staticmethod
    def places(config: Any) -> int:
        """RoBERTa's positions count from behind the id of its padding."""
        return int(config.max_position_embeddings - config.pad_token_id - 1)

    def check_tokens(self, folder: Path, config: Any, ids: Tensor, real: Tensor) -> None:
        """Nothing: a text is read at its first token."""

    def other(self, kind: str, model: Any) -> Callable[[RawBatch], Tensor]:
        """int16 [N, takes, samples] at a rate that is told -> features [N, D]."""
        import torch

        transformers, _ = _folders.libraries(self.who)
        told, fused = self.told(self.folder()), model.config.audio_config.enable_fusion
        if "sampling_rate" not in told or (told.get("truncation") == "fusion") != fused:
            raise MglibError(
                f"the sound settings in '{self.folder()}' must tell sampling_rate, and truncation "
                f"'fusion' {'as' if fused else 'only if'} its config.json has enable_fusion"
            )
        extractor = transformers.ClapFeatureExtractor.from_dict(told)

        def heard(clip: np.ndarray, rate: int) -> Tensor:
            sound = resampled(clip.astype(np.float64) / 32768, rate, extractor.sampling_rate)
            sound = middle(sound, int(extractor.nb_max_samples))
            found: Tensor = extractor(
                sound, sampling_rate=extractor.sampling_rate, return_tensors="pt"
            )["input_features"]
            return found[0].float()

        def features(raw: RawBatch) -> Tensor:
            sound, lengths = raw.values, raw.lengths
            if sound.dtype != np.int16 or sound.ndim != 3 or 0 in sound.shape[1:]:
                raise MglibError(
                    f"audio is int16 [N, takes, samples], not {sound.dtype} {sound.shape}"
                )
            if not raw.rate:
                raise MglibError(f"{self.who} needs the sample rate of a sound")
            ends = np.full(sound.shape[:2], sound.shape[2]) if lengths is None else lengths
            clips = [
                heard(clip[: max(1, end)], raw.rate)
                for clip, end in zip(sound.reshape(-1, sound.shape[2]), ends.ravel(), strict=True)
            ]
            shorter = torch.zeros(len(clips), 1, dtype=torch.bool)
            found: Tensor = model.get_audio_features(torch.stack(clips), shorter).pooler_output
            return found.unflatten(0, sound.shape[:2]).mean(1)

        return features
