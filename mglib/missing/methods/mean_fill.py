"""Mean fill: plain late fusion, the training mean for what is missing."""

from __future__ import annotations

from mglib.missing.late import NETWORK, LateFusion
from mglib.registry import missing_methods


@missing_methods.register("mean_fill")
class MeanFill(LateFusion):
    """Late fusion trained jointly on what is there; what is missing is its training mean.

    Source: the mean of a missing source's features in Siting Li et al., the work before UME-MMA
    (OpenReview gfHLOC35Zh). Ours: sums of logits; no dropping.
    """

    title = "Mean fill"
    fixed = {"substitute": "mean"}
    settings = NETWORK
