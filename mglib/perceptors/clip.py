"""CLIP of any size from a folder: pictures, frames and texts in one space."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.errors import MglibError
from mglib.perceptors._foundation import Foundation, RawBatch
from mglib.perceptors._pictures import Pictures
from mglib.registry import Setting, perceptors

if TYPE_CHECKING:
    from torch import Tensor


def frame_counts(raw: RawBatch) -> np.ndarray:
    """How many frames [N] each of uint8 [N, frames, height, width(, 3)] has.

    Raises MglibError for another array, and for one without a frame.
    """
    if raw.values.dtype != np.uint8 or raw.values.ndim not in (4, 5):
        raise MglibError(
            f"frames are uint8 [N, frames, height, width(, 3)], not {raw.values.dtype} "
            f"{raw.values.shape}"
        )
    most = raw.values.shape[1]
    counts = np.full(len(raw.values), most) if raw.lengths is None else raw.lengths
    if counts.shape != (len(raw.values),) or counts.min() < 1 or counts.max() > most:
        raise MglibError(f"lengths of frames are [N] from 1 to {most}, not {counts.tolist()}")
    return counts


@perceptors.register("clip")
class CLIP(Foundation):
    """Pictures, frames and texts through a CLIP model of the folder `model` in `MGLIB_MODELS`.

    Source: Radford et al. 2021 (arXiv 2103.00020). Frames: the mean of their unit vectors; ours.
    """

    kinds = frozenset({"image", "frames", "text"})
    settings = {"model": Setting(str, "clip")}
    steps = {"image": 20, "frames": 100, "text": 10}
    family, model_type, part = "CLIP", "clip", "image_processor"

    def other(self, kind: str, model: Any) -> Callable[[RawBatch], Tensor]:
        """uint8 [N(, frames), height, width(, 3)] -> features [N, D]."""
        from torch.nn.functional import normalize

        folder = self.folder()
        pictures = Pictures.told(folder, self.told(folder))

        def seen(values: np.ndarray) -> Tensor:
            found: Tensor = model.get_image_features(pictures.read(values)).pooler_output
            return found

        def moving(raw: RawBatch) -> Tensor:
            import torch

            counts = frame_counts(raw)
            return torch.stack(
                [
                    normalize(seen(own[:count]), dim=-1).mean(0)
                    for own, count in zip(raw.values, counts, strict=True)
                ]
            )

        return moving if kind == "frames" else lambda raw: seen(raw.values)
