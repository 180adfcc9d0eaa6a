"""Zero fill: plain late fusion, a vector of zeros for what is missing."""

from __future__ import annotations

from mglib.missing.late import NETWORK, LateFusion
from mglib.registry import missing_methods


@missing_methods.register("zero_fill")
class ZeroFill(LateFusion):
    """Late fusion trained jointly on what is there; what is missing, then and in use, is zeros.

    Zeros are those of the raw features, wherever these went on the common scale. Source: common
    practice. Ours: the branches and sums of logits that all methods here share; no dropping.
    """

    title = "Zero fill"
    fixed = {"substitute": "zeros"}
    settings = NETWORK
