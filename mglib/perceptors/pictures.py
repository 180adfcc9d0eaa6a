"""What encoders are trained on: pixels of images, spectrograms of sound, steps of series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.registry import Setting, perceptors

INPUTS = {"image": "raw", "audio": "log_mel", "text": "frozen", "series": "raw"}


def pooled(pictures: np.ndarray, side: int) -> np.ndarray:
    """Means of equal squares of pixels: [N, height, width(, C)] -> float32 [N, (C,) h, w].

    Squares are the largest that leave `side` of them along the shorter side; what is left at the
    ends is dropped. Raises MglibError for another rank.
    """
    if pictures.ndim not in (3, 4):
        raise MglibError(f"pictures are [N, height, width(, 3)], not {list(pictures.shape)}")
    square = max(1, min(pictures.shape[1:3]) // side)
    height, width = (size // square for size in pictures.shape[1:3])
    cut = pictures[:, : height * square, : width * square].astype(np.float64)
    split = cut.reshape(len(cut), height, square, width, square, *pictures.shape[3:])
    small = split.mean((2, 4)).astype(np.float32)
    return small if small.ndim == 3 else np.ascontiguousarray(small.transpose(0, 3, 1, 2))


@perceptors.register("pictures")
class Pictures(Perceptor):
    """Images, and the `log_mel` spectrograms of sound, made small by means of squares.

    The shorter side keeps `side` pixels, or up to twice as many. A series is a picture one pixel
    high, its channels the colours. Text has no picture: it is as its `frozen` encoder gives it.
    Nothing in a picture was learned. Ours.
    """

    version = "1"
    kinds = frozenset(INPUTS)
    unit_norm = False
    settings = {"side": Setting(int, 16, 4)}

    def parameters(self) -> dict[str, Any]:
        """Pixels of the shorter side."""
        return self.values()

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """Raw images and series, spectrograms of sound, frozen features of text."""
        return [(INPUTS[dataset.kinds[modality]], modality)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """float32 [N, h, w], in colour [N, 3, h, w]; series [N, channels, 1, steps]; text [N, D].

        Pixels are 0 to 1, sound is in decibels, series are in their own units. Raises MglibError
        for what is no picture.
        """
        values, kind = inputs[0].values, dataset.kinds[modality]
        if kind == "text":
            return values, None
        if kind == "series":
            return np.ascontiguousarray(values.transpose(0, 2, 1)[:, :, None]), None
        if kind == "image" and values.dtype != np.uint8:
            raise MglibError(f"images are uint8, not {values.dtype}")
        small = pooled(values, self.values()["side"])
        return small / np.float32(255) if kind == "image" else small, None
