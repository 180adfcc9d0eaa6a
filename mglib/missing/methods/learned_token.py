"""Learned token: modalities are dropped in training and a learned vector takes their place."""

from __future__ import annotations

from mglib.missing.late import NETWORK, LateFusion
from mglib.registry import Setting, missing_methods


@missing_methods.register("learned_token")
class LearnedToken(LateFusion):
    """Late fusion with a vector learned for each modality where it is missing or was dropped.

    With `probability` one modality of a sample is dropped. Source: common practice (mask tokens).
    Ours: the vector stands in for the features, before the encoder; standard normal at first.
    """

    title = "Learned token"
    fixed = {"substitute": "token"}
    settings = {"probability": Setting(float, 0.5, 0.0, 1.0), **NETWORK}
