"""Uni-modal ensemble: each modality learns alone; the mean of what the seen ones answer."""

from __future__ import annotations

from mglib.missing.late import NETWORK, LateFusion
from mglib.registry import missing_methods


@missing_methods.register("ensemble")
class Ensemble(LateFusion):
    """A model for each modality, never adapted to another; the mean of what is seen says.

    Source: the uni-modal ensemble (UME) of Du et al. 2023 (arXiv 2305.01233). Ours: the mean is of
    logits.
    """

    title = "Uni-modal ensemble"
    fixed = {"fusion": "mean", "substitute": "drop", "pretraining": 1.0}
    settings = NETWORK
