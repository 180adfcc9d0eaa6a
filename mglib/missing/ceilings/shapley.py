"""Who contributes what: each modality's mean gain over all orders in which they come."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb

import numpy as np

from mglib.errors import MglibError
from mglib.missing.subsets import Subset


def shapley(worth: Mapping[Subset, float]) -> np.ndarray:
    """Shapley values [M] of the worth of every subset of M modalities, the empty one among them.

    They sum to the worth of all less that of none. Raises MglibError if a subset is missing.
    Source: Shapley (1953), "A value for n-person games"; for modalities as MissBench
    (arXiv 2603.09874) and MCE (arXiv 2510.10534) ask whether one has been given up.
    """
    modalities = len(next(iter(worth), ()))
    if not modalities or len(worth) != 2**modalities:
        raise MglibError(f"Shapley values need all subsets, not {len(worth)} of {2**modalities}")
    shares = np.zeros(modalities)
    for subset, before in worth.items():
        for place in np.flatnonzero(~np.array(subset)):
            after = worth[*subset[:place], True, *subset[place + 1 :]]
            shares[place] += (after - before) / (modalities * comb(modalities - 1, sum(subset)))
    return shares
