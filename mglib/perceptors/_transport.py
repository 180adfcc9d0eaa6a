"""Two clouds of points matched without knowing which belongs to which: optimal transport.

Ours, after Grave, Joulin and Berthet (arXiv 1805.11222), who alternate between a soft match of the
points (entropic optimal transport; Cuturi, arXiv 1306.0895) and the rotation that suits it. The
first match compares how far each point lies from all others, which no rotation changes (a lower
bound of Gromov-Wasserstein; Memoli 2011), and from the points whose partners are known.
"""

from __future__ import annotations

import numpy as np

QUANTILES = 64  # by which the distances from a point are compared
FIRST = 0.02  # softness of the first match, as a share of the mean cost
SOFTNESS = (0.1, 0.05, 0.02)  # of the later ones, one after the other
ROUNDS = 5  # of match and rotation at each softness
SWEEPS = 50  # of Sinkhorn
DEAREST = 6.0  # times the mean cost: higher ones count as that, so that exp does not underflow


def rotation(cross: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, float]:
    """The rotation [D, E] and scale that fit x [P, D] to y by least squares; cross is x.T @ y.

    Orthogonal Procrustes (Schoenemann 1966). Fewer rows than columns determine a rotation of a
    subspace: what is orthogonal to it goes to zero.
    """
    left, singular, right = np.linalg.svd(cross, full_matrices=False)
    kept = singular > max(singular[0] * 1e-10, 1e-300)
    left, singular, right = left[:, kept], singular[kept], right[kept]
    extent = float(np.square(x @ left).sum())
    return left @ right, float(singular.sum()) / extent if extent > 0 else 0.0


def sinkhorn(cost: np.ndarray, softness: float) -> np.ndarray:
    """The plan [N, M] of sum 1 and even margins with the least cost - softness * entropy.

    `softness` is a share of the mean cost; costs above DEAREST times the mean count as that.
    """
    mean = max(float(cost.mean()), 1e-300)
    kernel = np.exp(-np.minimum(cost / mean, DEAREST) / softness)
    rows, columns = cost.shape
    right = np.full(columns, 1.0)
    for _ in range(SWEEPS):
        left = 1 / rows / (kernel @ right)
        right = 1 / columns / (left @ kernel)
    return np.asarray(left[:, None] * kernel * right)


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances [N, M] between rows of x [N, D] and y [M, D]."""
    found = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    return np.asarray(np.maximum(found, 0))


def _first_cost(x: np.ndarray, y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """How differently two points lie among their own [N, N]: no rotation changes it."""
    inner = [np.sqrt(_squares(cloud, cloud)) for cloud in (x, y)]
    places = np.linspace(0, len(x) - 1, QUANTILES).astype(np.int64)
    cost = _squares(*(np.sort(distances, axis=1)[:, places] for distances in inner))
    if known.any():
        told = _squares(*(distances[:, known] for distances in inner))
        cost = cost / max(float(cost.mean()), 1e-300) + told / max(float(told.mean()), 1e-300)
    return cost


def _plan(cost: np.ndarray, known: np.ndarray, softness: float) -> np.ndarray:
    """A plan [N, N] in which known points go to their partners, the others softly to others."""
    plan, free = np.diag(known / len(known)), np.flatnonzero(~known)
    if len(free):
        soft = sinkhorn(cost[np.ix_(free, free)], softness)
        plan[np.ix_(free, free)] = soft * (len(free) / len(known))
    return np.asarray(plan)


def match_clouds(x: np.ndarray, y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The plan [N, N] between centred clouds x [N, D] and y [N, E] up to a rotation.

    `known` [N] says which rows are pairs; the order of the others is not looked at.
    """
    x, y = (z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12) for z in (x, y))
    plan = _plan(_first_cost(x, y, known), known, FIRST)
    if known.all():
        return plan
    for softness in SOFTNESS:
        for _ in range(ROUNDS):
            turned = x @ rotation(x.T @ plan @ y, x)[0]
            plan = _plan(1 - turned @ y.T, known, softness)
    return plan
