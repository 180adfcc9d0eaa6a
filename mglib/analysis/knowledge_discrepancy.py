"""How far a source model's classes are from those of a target: modality-knowledge discrepancy.

Definition 2.1 of MoNA (Ma et al. 2024, arXiv 2406.18864) takes the infimum, over subsets of source
classes and their permutations, of a divergence between two conditionals; neither the divergence
nor the approximation behind its figure 4 is known to us. Ours: a fixed source classifier gives
the conditional on embedded target samples, and the infimum is a rectangular assignment, exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mglib.analysis.cluster_indices import group_weights, normal_interval
from mglib.analysis.statistics import LEVEL, Interval
from mglib.errors import MglibError, unknown

DIVERGENCES = ("cross_entropy", "error", "hard", "jensen_shannon")
FLOOR = 1e-12  # of a probability whose logarithm is taken
DRAWS = 500
PERMUTATIONS = 100
CLUSTERS = 10  # as ORCA makes of dense targets (Shen et al. 2023, arXiv 2302.05738)


@dataclass(frozen=True, eq=False)
class Discrepancy:
    """`value`, what is left of it by `chance`, and which source class stands for each target class.

    `chance` is the mean value under permuted labels and `relative` value / chance: 0 where the
    classifier knows the target, about 1 where labels say nothing of its outputs, NaN for a chance
    of 0. `classes` [C] are the labels and `assignment` [C] their source classes. The interval is
    around `value`, over groups.
    """

    value: float
    chance: float
    relative: float
    interval: Interval
    classes: np.ndarray
    assignment: np.ndarray


def _of_rows(probabilities: np.ndarray, divergence: str) -> np.ndarray:
    """What each row adds to each source class [N, K], to be averaged."""
    if divergence == "cross_entropy":
        return -np.log(probabilities.clip(FLOOR, 1.0))
    if divergence == "error":
        return 1 - probabilities
    if divergence == "hard":
        return 1 - np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    return probabilities


def _costs(rows: np.ndarray, chosen: np.ndarray, divergence: str) -> np.ndarray:
    """Costs [R, C, K], summing to the mean over rows, from rows [N, K] and weights [C, R, N]."""
    sums = chosen @ rows  # [C, R, K]
    mass = chosen.sum(axis=2, keepdims=True)
    if divergence == "jensen_shannon":
        # Of a distribution with the share m in class k and the certainty of k, in bits.
        m = (sums / np.where(mass > 0, mass, 1.0)).clip(0, 1)
        half = np.log2(2 / (1 + m))
        own = m * (half + np.log2(m, where=m > 0, out=np.zeros_like(m)))
        sums = mass * (1 - m + own + half) / 2
    return (sums / mass.sum(axis=0)).transpose(1, 0, 2)


def _least(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least sums [R] of costs [R, C, K] over injective maps, and the maps [R, C]."""
    from scipy.optimize import linear_sum_assignment

    maps = np.stack([linear_sum_assignment(one)[1] for one in costs])
    return np.take_along_axis(costs, maps[:, :, None], axis=2).sum(axis=(1, 2)), maps


def greedy(costs: np.ndarray) -> float:
    """The sum of costs [C, K] of the map that takes the cheapest free pair again and again.

    An upper bound of the least sum.
    """
    left, total = np.array(costs, dtype=np.float64), 0.0
    for _ in range(len(left)):
        row, column = np.unravel_index(left.argmin(), left.shape)
        total += float(left[row, column])
        left[row], left[:, column] = np.inf, np.inf
    return total


def cost_matrix(
    probabilities: np.ndarray, labels: np.ndarray, divergence: str = "cross_entropy"
) -> np.ndarray:
    """What target class j adds to the mean divergence if source class k stands for it: [C, K].

    `probabilities` [N, K] are a source classifier's on target samples, whose `labels` [N] have C
    values. "cross_entropy" is -log q in nats (q at least 1e-12), "error" 1 - q, "hard" the
    misclassified share where the likeliest class counts, each averaged over samples;
    "jensen_shannon" that divergence, in bits, of the class's mean q from certainty of k, averaged
    over classes by their shares. Raises MglibError for an unknown divergence, other shapes, rows
    that are no distributions, or more target than source classes.
    """
    if divergence not in DIVERGENCES:
        raise unknown("divergence", divergence, DIVERGENCES)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise MglibError(
            f"a discrepancy needs probabilities [N, K] and labels [N], not "
            f"{list(probabilities.shape)} and {list(labels.shape)}"
        )
    whole = np.asarray(probabilities, np.float64)
    if not (np.isfinite(whole).all() and (whole >= 0).all()):
        raise MglibError("probabilities must be finite and not below 0")
    if np.abs(whole.sum(axis=1) - 1).max() > 1e-3:
        raise MglibError("probabilities must sum to 1 in every row")
    classes = np.unique(labels)
    if len(classes) > whole.shape[1]:
        raise MglibError(
            f"{len(classes)} target classes do not fit into {whole.shape[1]} source classes: the "
            "definition needs at least as many of the source"
        )
    chosen = (labels == classes[:, None])[:, None].astype(np.float64)
    return _costs(_of_rows(whole, divergence), chosen, divergence)[0]


def discrepancy(
    probabilities: np.ndarray,
    labels: np.ndarray,
    divergence: str = "cross_entropy",
    *,
    groups: np.ndarray | None = None,
    permutations: int = PERMUTATIONS,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Discrepancy:
    """The least mean divergence over injective maps of target classes to source classes.

    Arguments as of `cost_matrix`. Chance is the mean over permutations of the labels among rows;
    the interval a normal bootstrap over `groups` [N] (None: every row is one), the map found anew
    in each draw: a minimum fits its draw, so draws lie low, and only their spread is taken. Raises
    MglibError as `cost_matrix` does, for a level outside (0, 1), no permutation, no draw, groups
    of another shape, or a single one.
    """
    costs = cost_matrix(probabilities, labels, divergence)
    groups = np.arange(len(labels)) if groups is None else groups
    if not 0 < level < 1 or permutations < 1 or groups.shape != labels.shape:
        raise MglibError(
            f"level {level} must be between 0 and 1, permutations {permutations} above 0 and "
            f"groups {list(groups.shape)} as labels, {list(labels.shape)}"
        )
    value, maps = _least(costs[None])
    rows = _of_rows(np.asarray(probabilities, np.float64), divergence)
    random = np.random.default_rng(seed)
    classes = np.unique(labels)
    shuffled = np.stack([random.permutation(labels) for _ in range(permutations)])
    inside = (shuffled == classes[:, None, None]).astype(np.float64)
    chance = float(_least(_costs(rows, inside, divergence))[0].mean())
    weights = group_weights(groups, draws, seed)
    drawn = _least(_costs(rows, (labels == classes[:, None])[:, None] * weights, divergence))[0]
    interval = normal_interval(float(value[0]), drawn, level, len(np.unique(groups)))
    relative = float(value[0]) / chance if chance > 0 else float("nan")
    return Discrepancy(float(value[0]), chance, relative, interval, classes, maps[0])


def labels_of_fields(targets: np.ndarray, k: int = CLUSTERS, seed: int = 0) -> np.ndarray:
    """Classes [N], 0 to k - 1, for dense targets [N, ...]: k-means of what is flattened.

    As ORCA does for tasks without classes, with scikit-learn; which cluster has which number
    means nothing. Raises MglibError for values that are not finite, or fewer than k different
    targets.
    """
    from sklearn.cluster import KMeans

    flat = np.asarray(targets, np.float64).reshape(len(targets), -1)
    if not np.isfinite(flat).all():
        raise MglibError("targets must be finite to be clustered")
    if k < 1 or len(np.unique(flat, axis=0)) < k:
        raise MglibError(f"{k} clusters need as many different targets, of {len(flat)}")
    return KMeans(k, n_init=10, random_state=seed).fit_predict(flat)
