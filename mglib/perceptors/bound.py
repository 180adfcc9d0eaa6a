"""All modalities mapped into one space, learned on unlabelled binding pairs only.

The stand-in for ImageBind-like models, which bind every modality to one anchor with paired data
(Girdhar et al., arXiv 2305.05665). The map is ours: one ridge regression per modality and split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.perceptors.frozen import ENCODERS
from mglib.registry import perceptors

PENALTIES = 10.0 ** np.arange(0.0, 6.01, 0.25)


@dataclass(frozen=True)
class RidgeMap:
    """x [N, D] -> ((x - centre) / scale) @ weights + offset, with the penalty that was chosen."""

    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    penalty: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Predicted anchor features [N, anchor width], not normalised."""
        return (features - self.centre) / self.scale @ self.weights + self.offset


def fit_ridge(features: np.ndarray, anchor: np.ndarray, penalties: np.ndarray) -> RidgeMap:
    """Ridge regression of anchor [N, E] on standardised features [N, D] with an intercept.

    The penalty has the least mean squared leave-one-out error, in closed form (Golub, Heath and
    Wahba 1979): residual of i left out = (y - Hy)_i / (1 - H_ii), H the smoother of the penalty.
    """
    features, anchor = features.astype(np.float64), anchor.astype(np.float64)
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    x, offset = (features - centre) / scale, anchor.mean(axis=0)
    y, count = anchor - offset, len(features)
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    keep = singular > singular[0] * 1e-10
    left, singular, right = left[:, keep], singular[keep], right[keep]
    projected = left.T @ y
    errors = []
    for penalty in penalties:
        shrink = singular**2 / (singular**2 + penalty)
        leverage = 1 / count + np.square(left) @ shrink
        residual = (y - left @ (shrink[:, None] * projected)) / (1 - leverage)[:, None]
        errors.append(np.square(residual).mean())
    best = float(penalties[int(np.argmin(errors))])
    weights = right.T @ ((singular / (singular**2 + best))[:, None] * projected)
    return RidgeMap(centre, scale, weights, offset, best)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows [N, D] divided by their norms; a zero row stays zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1.0)).astype(np.float32)


@perceptors.register("bound")
class Bound(Perceptor):
    """Unit vectors in the space of the dataset's anchor modality (weak generalization).

    Ours: frozen features are standardised with the statistics of the binding part and regressed on
    the anchor's; the anchor maps to itself. The binding mean of the anchor is subtracted from both
    before rows are scaled to unit norm, as cosines of uncentred sentence vectors hardly differ.
    Neither labels nor other instances are looked at.
    """

    version = "1"
    kinds = frozenset(ENCODERS)
    unit_norm = True
    fitted = True

    def parameters(self) -> dict[str, Any]:
        """The penalties tried, to 6 digits: the last ones differ between processors."""
        return {"penalties": [float(f"{penalty:.6g}") for penalty in PENALTIES]}

    def space(self, dataset: Dataset, modality: str) -> str:
        """One for all modalities."""
        return f"{self.name}/{dataset.anchor}"

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The frozen features of the modality and of the anchor."""
        return [("frozen", modality), ("frozen", dataset.anchor)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Unit vectors [N, anchor width] under the map of one split."""
        from threadpoolctl import threadpool_limits

        own, anchor = inputs
        if split_seed is None or own.instance_ids != anchor.instance_ids:
            raise MglibError(f"binding {modality} needs a split and the anchor's own instances")
        pairs = split_indices(own.groups, split_seed)["binding"]
        with threadpool_limits(limits=1):  # sums must not hang on the number of cores
            if modality == dataset.anchor:
                centred = anchor.values - anchor.values[pairs].mean(axis=0, dtype=np.float64)
            else:
                ridge = fit_ridge(own.values[pairs], anchor.values[pairs], PENALTIES)
                centred = ridge(own.values) - ridge.offset
            return unit_rows(centred), None
