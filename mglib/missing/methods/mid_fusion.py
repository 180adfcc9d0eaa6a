"""Mid fusion: a perceptron over all encoded features, modalities dropped in training."""

from __future__ import annotations

from mglib.missing.late import NETWORK, LateFusion
from mglib.registry import Setting, missing_methods


@missing_methods.register("mid_fusion")
class MidFusion(LateFusion):
    """An encoder for each modality and one perceptron over all that they say, learned together.

    With `probability` one modality of a sample is dropped; what is missing is its training mean.
    Source: common practice (feature concatenation). Ours: one hidden layer as wide as an encoder.
    """

    title = "Mid fusion"
    fixed = {"fusion": "mid"}
    settings = {"probability": Setting(float, 0.5, 0.0, 1.0), **NETWORK}
