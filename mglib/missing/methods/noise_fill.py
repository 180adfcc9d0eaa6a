"""Noise fill: plain late fusion, noise for what is missing."""

from __future__ import annotations

from mglib.missing.late import NETWORK, LateFusion
from mglib.registry import missing_methods


@missing_methods.register("noise_fill")
class NoiseFill(LateFusion):
    """Late fusion trained jointly on what is there; what is missing is normal noise.

    It has the training mean and deviation of every feature and is drawn anew for every row.
    Source: common practice. Ours: features drawn apart (a diagonal covariance); one draw for an
    answer, not a mean over many; no dropping.
    """

    title = "Noise fill"
    fixed = {"substitute": "noise"}
    settings = NETWORK
