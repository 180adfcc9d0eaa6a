"""Linear maps fitted in closed form: principal axes and ridge regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEGLIGIBLE = 1e-10  # of the largest singular value: what is below it is rounding
EVEN = 1e-9  # relative: leave-one-out errors as near as this are equal


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows [N, D] divided by their norms; a zero row stays zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def padded(rows: np.ndarray, width: int) -> np.ndarray:
    """Rows [N, D] with columns of zeros up to `width`."""
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))


@dataclass(frozen=True)
class Scaling:
    """x [N, D] -> (x - centre) / scale, with the statistics of what it was fitted on."""

    centre: np.ndarray
    scale: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Standardised features [N, D], float64."""
        return (features.astype(np.float64) - self.centre) / self.scale


def fit_scaling(features: np.ndarray) -> Scaling:
    """Mean and standard deviation of features [N, D]; a column without any is only centred."""
    features = features.astype(np.float64)
    deviation = features.std(axis=0)
    return Scaling(features.mean(axis=0), np.where(deviation > 1e-12, deviation, 1.0))


@dataclass(frozen=True)
class Axes:
    """x [N, D] -> coordinates [N, R] on principal axes; `spread` [R] are standard deviations."""

    centre: np.ndarray
    axes: np.ndarray
    spread: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Coordinates [N, R], float64; the mean of what the axes were fitted on is the origin."""
        return (features.astype(np.float64) - self.centre) @ self.axes


def fit_axes(features: np.ndarray, width: int) -> Axes:
    """The leading principal axes of features [N, D], at most `width` and at most their rank.

    Each points to where its largest entry is positive, as the sign is else the processor's choice.
    """
    features = features.astype(np.float64)
    centre = features.mean(axis=0)
    _, singular, right = np.linalg.svd(features - centre, full_matrices=False)
    kept = int((singular > max(singular[0] * NEGLIGIBLE, 1e-12)).sum())
    axes = right[: min(width, kept)].T
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    spread = singular[: axes.shape[1]] / np.sqrt(len(features))
    return Axes(centre, axes * np.where(largest < 0, -1.0, 1.0), spread)


@dataclass(frozen=True)
class Ridge:
    """x [N, D] -> x @ weights [D, E], with the penalty that was chosen."""

    weights: np.ndarray
    penalty: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Predictions [N, E]."""
        return features @ self.weights


def fit_ridge(x: np.ndarray, y: np.ndarray, penalties: np.ndarray) -> Ridge:
    """Ridge regression of y [N, E] on x [N, D] through the origin, even of a single row.

    The penalty has the least mean squared leave-one-out error, in closed form (Golub, Heath and
    Wahba 1979): residual of i left out = (y - Hy)_i / (1 - H_ii), H the smoother of the penalty.
    Of equal errors the largest penalty is taken: of one row alone, all are.
    """
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    keep = singular > singular[0] * NEGLIGIBLE
    left, singular, right = left[:, keep], singular[keep], right[keep]
    projected = left.T @ y
    errors = []
    for penalty in penalties:
        shrink = singular**2 / (singular**2 + penalty)
        leverage = np.square(left) @ shrink
        residual = (y - left @ (shrink[:, None] * projected)) / (1 - leverage)[:, None]
        errors.append(np.square(residual).mean())
    best = float(np.max(penalties[np.array(errors) <= min(errors) * (1 + EVEN)]))
    return Ridge(right.T @ ((singular / (singular**2 + best))[:, None] * projected), best)
