"""The raw modality itself, so that encoders can be trained from the store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.carriers import Carrier
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.registry import perceptors


@perceptors.register("raw")
class Raw(Perceptor):
    """What the dataset gives, unchanged."""

    version = "1"
    kinds = frozenset({"image", "frames", "audio", "text", "series", "field", "vector"})
    unit_norm = False

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """None: raw data come from the dataset's own carriers."""
        return []

    def carriers(self, dataset: Dataset, modality: str) -> tuple[Carrier, ...]:
        """Those of the dataset."""
        return dataset.CARRIERS

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The dataset's raw arrays."""
        return dataset.raw(modality, advance)
