"""Pictures and sound as frames from left to right: columns of pixels, columns of bands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors.frames import Frames, cut
from mglib.registry import perceptors


@perceptors.register("strips")
class Strips(Frames):
    """Sound as `frames` has it; a grey picture cut alike, as if it were written in time.

    Ours. A frame of a picture is the mean of STEPS columns of pixels, one value for each row; what
    is left at the right edge is dropped.
    """

    version = "1"
    kinds = frozenset({"audio", "image"})

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Spectrograms [N, bands, time] -> [N, F, bands]; pictures [N, H, W] -> [N, F, H].

        float32, all of one length. Raises MglibError for pictures in colour.
        """
        values = inputs[0].values
        if values.ndim != 3:
            raise MglibError(
                f"strips are of grey pictures [N, height, width], but {modality} of "
                f"{dataset.name} is {list(values.shape)}"
            )
        return cut(values.swapaxes(1, 2)).mean(2, dtype=np.float32), None
