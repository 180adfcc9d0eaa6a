"""Each modality through the pretrained encoder of its kind, in a space of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.carriers import Carrier
from mglib.features import FeatureSet
from mglib.perceptors._base import Encoder, Input, Perceptor
from mglib.perceptors.efficientnet_lite import EfficientNetLite0
from mglib.perceptors.motion_statistics import MotionStatistics
from mglib.perceptors.speech_embedding import SpeechEmbedding
from mglib.perceptors.universal_sentence_encoder import UniversalSentenceEncoder
from mglib.registry import perceptors

ENCODERS: dict[str, type[Encoder]] = {
    "image": EfficientNetLite0,
    "audio": SpeechEmbedding,
    "text": UniversalSentenceEncoder,
    "series": MotionStatistics,
}
KEYED = ("image", "audio", "text")  # later kinds stand in keys by their encoder alone (`parts`)


@perceptors.register("frozen")
class Frozen(Perceptor):
    """Unaligned features: every modality is a space of its own (strong generalization)."""

    version = "1"
    kinds = frozenset(ENCODERS)
    unit_norm = False
    steps = {kind: encoder.steps[kind] for kind, encoder in ENCODERS.items()}

    def parameters(self) -> dict[str, Any]:
        """The encoder of each kind that version 1 began with, so that a new kind changes no key."""
        return {kind: ENCODERS[kind].name for kind in KEYED}

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The raw modality."""
        return [("raw", modality)]

    def parts(self, dataset: Dataset, modality: str) -> list[Input]:
        """The raw modality and the encoder of its kind."""
        encoder = ENCODERS[dataset.kinds[modality]].name
        return [*self.inputs(dataset, modality), (encoder, modality)]

    def carriers(self, dataset: Dataset, modality: str) -> tuple[Carrier, ...]:
        """Those of the modality's encoder."""
        return ENCODERS[dataset.kinds[modality]].CARRIERS

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Features [N, D] of the modality's encoder."""
        encoder = ENCODERS[dataset.kinds[modality]]()
        return encoder.encode(inputs[0].values, inputs[0].lengths, advance), None
