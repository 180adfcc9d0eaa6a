"""Product of posteriors: each modality learns alone; calibrated posteriors are multiplied."""

from __future__ import annotations

from mglib.missing.late import NETWORK, LateFusion
from mglib.registry import missing_methods


@missing_methods.register("product")
class Product(LateFusion):
    """A model for each modality; p(y) times the product of p(y|x_m) / p(y) of what is seen.

    No parameter is fused; it is right for every subset if the modalities are independent given the
    class. Each posterior has a temperature from the validation part (Guo et al. 2017, arXiv
    1706.04599), p(y) is the training part's. Source: naive Bayes over modalities. Ours: all else.
    """

    title = "Product of posteriors"
    fixed = {"fusion": "product", "substitute": "drop", "pretraining": 1.0}
    settings = NETWORK
