"""Modality dropout: every modality of a sample is dropped by itself in training, and is zeros."""

from __future__ import annotations

from mglib.missing.late import NETWORK, LateFusion
from mglib.registry import Setting, missing_methods


@missing_methods.register("modality_dropout")
class ModalityDropout(LateFusion):
    """Late fusion with each modality of a sample set to zeros at `probability`, but never all.

    A sample that would lose all keeps one of them, uniformly. Source: ModDrop (Neverova et al.
    2014, arXiv 1501.00102); the "ramp", which drops more and more, is advice of the authors of
    ShaSpec (billhhh/ShaSpec#7). Ours: it rises from 0 in the first half of the steps; sums of
    logits; at probability 0 it is `zero_fill`.
    """

    title = "Modality dropout"
    fixed = {"substitute": "zeros", "law": "independent"}
    settings = {
        "probability": Setting(float, 0.5, 0.0, 1.0),
        "schedule": Setting(str, "constant", words=("constant", "ramp")),
        **NETWORK,
    }
