"""All modalities mapped into one space, learned on unlabelled binding pairs only.

The stand-in for ImageBind-like models, which bind every modality to one anchor with paired data
(Girdhar et al., arXiv 2305.05665). The map is ours: one ridge regression per modality and split.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mglib.data._base import Advance
from mglib.perceptors._binding import Binding, Pairs
from mglib.perceptors._linear import fit_ridge, fit_scaling
from mglib.registry import perceptors

PENALTIES = 10.0 ** np.arange(0.0, 6.01, 0.25)


@perceptors.register("bound")
class Bound(Binding):
    """Unit vectors in the space of the dataset's anchor modality (weak generalization).

    Ours: frozen features are standardised with the statistics of the binding part, paired or not,
    and regressed on the centre's coordinates through the origin, as the mean of both is known
    without pairs. One pair so tells one direction.
    """

    version = "2"

    def parameters(self) -> dict[str, Any]:
        """The settings and the penalties tried, to 6 digits: processors differ in the last."""
        penalties = [float(f"{penalty:.6g}") for penalty in PENALTIES]
        return {**self.values(), "penalties": penalties}

    def bind(self, pairs: Pairs, advance: Advance) -> np.ndarray:
        """Predicted coordinates [N, WIDTH]."""
        scaled = fit_scaling(pairs.features[pairs.binding])(pairs.features)
        return fit_ridge(scaled[pairs.own], pairs.target[pairs.partners], PENALTIES)(scaled)
