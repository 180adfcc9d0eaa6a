"""Uni-modal ensemble with missing-modality adaptation: pretrain apart, then fuse with losses."""

from __future__ import annotations

from mglib.missing import fusion, pretraining, substitutes
from mglib.missing.late import NETWORK, LateFusion
from mglib.registry import Setting, missing_methods


@missing_methods.register("ume_mma")
class UMEMMA(LateFusion):
    """Encoders trained alone, then fused late and trained on with modalities dropped.

    `pretraining` is its share of the steps (0: none), from labels, or by a `pretext` without them;
    `probability` is that of dropping by `law`, per sample or for the whole `batch`. After it
    `encoders` learn on wholly, in their biases, or not at all. With `network` convolution those of
    pictures begin at pixels. Without dropping, pretraining and anything missing it is plain late
    fusion.
    Source: UME-MMA (arXiv 2310.06383) as its abstract and reviews tell; operator, substitute,
    probabilities and schedule are not known: our reading is logit sums with pretrained heads, the
    training mean, one modality of a sample with probability 1/2, half of the steps for each phase.
    """

    title = "UME-MMA"
    settings = {
        "fusion": Setting(str, "sum", words=fusion.WORDS),
        "substitute": Setting(str, "mean", words=substitutes.WORDS),
        "pretraining": Setting(float, 0.5, 0.0, 1.0, why="it is a share of the steps"),
        "pretext": Setting(str, "labels", words=pretraining.WORDS),
        "probability": Setting(float, 0.5, 0.0, 1.0),
        "law": Setting(str, "one", words=("one", "independent")),
        "per": Setting(str, "sample", words=("sample", "batch")),
        "encoders": Setting(str, "full", words=("full", "biases", "frozen")),
        **NETWORK,
    }
