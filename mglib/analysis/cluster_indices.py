"""How well labels are clusters of points, with intervals over groups: three indices.

A bootstrap draw is weights, how often each row was drawn, and never a copy of the points. Rows
drawn twice count twice for others; a row's own copies are not among its neighbours and not of its
cluster, since they lie at distance 0 and would make every draw better clustered than the data.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import NormalDist

import numpy as np

from mglib.analysis.statistics import LEVEL, Interval
from mglib.errors import MglibError, unknown

NEIGHBOURS = 15
DRAWS = 1000


def _checked(points: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Weights [R, N] as float64, one row of ones for None; the rules that all indices share."""
    if points.ndim != 2 or labels.shape != points.shape[:1] or len(points) < 2:
        raise MglibError(
            f"an index needs points [N, D] and labels [N], at least two; got {list(points.shape)} "
            f"and {list(labels.shape)}"
        )
    if not np.isfinite(points).all():
        raise MglibError("an index needs finite points")
    found = np.ones((1, len(points))) if weights is None else np.asarray(weights, np.float64)
    if found.ndim != 2 or found.shape[1] != len(points) or not (found >= 0).all():
        raise MglibError(f"weights must be [R, {len(points)}], none below 0")
    return found


def _distances(points: np.ndarray) -> np.ndarray:
    """Euclidean distances [N, N], exactly 0 on the diagonal."""
    centred = np.asarray(points, np.float64)
    centred = centred - centred.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    found = squares[:, None] + squares - 2 * centred @ centred.T
    np.fill_diagonal(found, 0.0)
    return np.sqrt(found.clip(min=0))


def davies_bouldin_index(
    points: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Davies-Bouldin index [R] of points [N, D] under labels [N] and weights [R, N] (None: ones).

    At least 0, small where labels are clusters (Davies & Bouldin 1979, IEEE TPAMI 1:224); whole
    weights act as copies. As in `projections.davies_bouldin`, a label with fewer than two rows of
    positive weight is left out, and the index is NaN where fewer than two labels remain; inf where
    two centres coincide. Raises MglibError for other shapes or points that are not finite.
    """
    weights = _checked(points, labels, weights)
    x = np.asarray(points, np.float64) - np.mean(points, axis=0, dtype=np.float64)
    rows = [np.nonzero(labels == name)[0] for name in np.unique(labels)]
    centres = np.zeros((len(rows), len(weights), x.shape[1]))
    spreads = np.full((len(rows), len(weights)), np.nan)
    for index, own in enumerate(rows):
        mass = weights[:, own].sum(axis=1)
        some = (weights[:, own] > 0).sum(axis=1) > 1
        heavy = weights[np.ix_(some, own)] / mass[some, None]
        centres[index, some] = centre = heavy @ x[own]
        squares = (x[own] ** 2).sum(1) + (centre**2).sum(1)[:, None] - 2 * centre @ x[own].T
        spreads[index, some] = (heavy * np.sqrt(squares.clip(min=0))).sum(axis=1)
    ratios = np.full((len(rows), len(rows), len(weights)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        for one in range(len(rows)):
            for two in range(one):
                apart = np.sqrt(((centres[one] - centres[two]) ** 2).sum(axis=1))
                ratios[one, two] = ratios[two, one] = (spreads[one] + spreads[two]) / apart
    worst = np.where(np.isnan(ratios), -np.inf, ratios).max(axis=1)  # [L, R]
    there = worst > -np.inf
    total = np.where(there, worst, 0.0).sum(axis=0)
    return np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan)


def silhouette(
    points: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Mean silhouette [R] of points [N, D] under labels [N] and weights [R, N] (None: ones).

    -1 to 1 (Rousseeuw 1987, J. Comput. Appl. Math. 20:53), Euclidean; 0 for a row that is alone
    in its label, copies of its own not counting. NaN where fewer than two labels have weight.
    Raises MglibError for other shapes or points that are not finite.
    """
    weights = _checked(points, labels, weights)
    distances, kinds = _distances(points), np.unique(labels)
    own = np.zeros_like(weights)
    other = np.full_like(weights, np.inf)
    alone = np.zeros_like(weights, dtype=bool)
    present = np.zeros(len(weights), dtype=int)
    for name in kinds:
        inside = labels == name
        mass = weights[:, inside].sum(axis=1)
        sums = weights[:, inside] @ distances[inside]  # [R, N]
        present += mass > 0
        rest = mass[:, None] - weights[:, inside]
        alone[:, inside] = rest <= 0
        own[:, inside] = sums[:, inside] / np.where(rest > 0, rest, 1.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(mass[:, None] > 0, sums / mass[:, None], np.inf)
        other[:, ~inside] = np.minimum(other[:, ~inside], mean[:, ~inside])
    other = np.where(np.isfinite(other), other, 0.0)
    most = np.maximum(own, other)
    values = np.where(alone | (most == 0), 0.0, (other - own) / np.where(most > 0, most, 1.0))
    found = (weights * values).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-300)
    return np.where(present > 1, found, np.nan)


def neighbourhood_purity(
    points: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    neighbours: int = NEIGHBOURS,
) -> np.ndarray:
    """Mean share [R] of the nearest `neighbours` of a row that have its label, 0 to 1.

    Points [N, D], labels [N], weights [R, N] (None: ones), Euclidean; a neighbour of weight w
    stands for w of them, the last one for what is still missing, and a row is never its own
    neighbour. Where fewer rows have weight, those there are count. Raises MglibError for other
    shapes, points that are not finite, or `neighbours` outside 1 to N - 1.
    """
    weights = _checked(points, labels, weights)
    n = len(points)
    if not 1 <= neighbours < n:
        raise MglibError(f"{neighbours} neighbours of {n} points: 1 to {n - 1} are possible")
    distances = _distances(points)
    np.fill_diagonal(distances, -1.0)
    order = np.argsort(distances, axis=1, kind="stable")[:, 1:]
    found = np.zeros(len(weights))
    for row in range(n):
        drawn = np.nonzero(weights[:, row] > 0)[0]
        width = min(n - 1, 4 * neighbours)
        while True:
            near = weights[np.ix_(drawn, order[row, :width])]  # [R, width]
            if width == n - 1 or (near.sum(axis=1) >= neighbours).all():
                break
            width = min(n - 1, 2 * width)
        upto = np.minimum(near.cumsum(axis=1), neighbours)
        taken = np.diff(upto, axis=1, prepend=0.0)
        same = taken @ (labels[order[row, :width]] == labels[row])
        found[drawn] += weights[drawn, row] * same / np.maximum(upto[:, -1], 1e-300)
    return found / np.maximum(weights.sum(axis=1), 1e-300)


INDICES: dict[str, Callable[..., np.ndarray]] = {
    "davies_bouldin": davies_bouldin_index,
    "silhouette": silhouette,
    "purity": neighbourhood_purity,
}


def group_weights(groups: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """How often each row [N] is drawn where whole groups are, with replacement: [draws, N].

    Raises MglibError for no draws or fewer than two groups.
    """
    names, inverse = np.unique(groups, return_inverse=True)
    if draws < 1 or len(names) < 2:
        raise MglibError(f"a bootstrap needs two groups and a draw; got {len(names)} and {draws}")
    random = np.random.default_rng(seed)
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return counts[:, inverse.ravel()].astype(np.float64)


def normal_interval(value: float, drawn: np.ndarray, level: float, n: int) -> Interval:
    """The value with the standard deviation of its bootstrap draws times the normal quantile.

    Raises MglibError for fewer than two draws.
    """
    if len(drawn) < 2:
        raise MglibError(f"an interval needs at least two bootstrap draws, not {len(drawn)}")
    half = NormalDist().inv_cdf((1 + level) / 2) * float(drawn.std(ddof=1))
    return Interval(value, value - half, value + half, n)


def index_interval(
    name: str,
    points: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    neighbours: int = NEIGHBOURS,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The index of the data with a normal bootstrap interval over groups [N]; n groups.

    Its width is that of the draws, its middle the index of the data: repeated rows draw clusters
    together, so that the draws of these indices lie to one side of it.

    `name` is "davies_bouldin", "silhouette" or "purity". Draws in which the index has no value
    are left out. Raises MglibError as the index does, for an unknown one, a level outside (0, 1),
    groups of another shape or fewer than two, or an index without a value.
    """
    if name not in INDICES:
        raise unknown("cluster index", name, INDICES)
    if not 0 < level < 1:
        raise MglibError(f"level {level} is not between 0 and 1")
    if groups.shape != labels.shape:
        raise MglibError(f"groups must be as labels, {list(labels.shape)}: {list(groups.shape)}")
    index = INDICES[name]
    if name == "purity":
        index = partial(index, neighbours=neighbours)
    value = float(index(points, labels)[0])
    drawn = index(points, labels, group_weights(groups, draws, seed))
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(drawn):
        raise MglibError(f"{name} has no value here: two labels of two rows each are needed")
    return normal_interval(value, drawn, level, len(np.unique(groups)))
