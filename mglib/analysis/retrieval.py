"""Retrieval between two views of the same instances."""

from __future__ import annotations

import numpy as np

from mglib.errors import MglibError

TIE = 1e-12  # equal rows may differ by a few roundings when multiplied in blocks


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def recall_at_k(queries: np.ndarray, gallery: np.ndarray, k: int) -> float:
    """Share of queries [N, D] whose own row of the gallery [N, D] is among the k most alike.

    Likeness is the cosine; a tie counts against the query, so constant features score 0. Chance is
    k / N. Raises MglibError for unequal shapes, values that are not finite, or k outside 1..N.
    """
    if queries.shape != gallery.shape or queries.ndim != 2:
        raise MglibError(f"recall needs two [N, D] arrays of pairs, not {queries.shape} and {gallery.shape}")
    if not 1 <= k <= len(queries):
        raise MglibError(f"k must be in 1..{len(queries)}, not {k}")
    if not (np.isfinite(queries).all() and np.isfinite(gallery).all()):
        raise MglibError("recall needs finite features")
    likeness = _unit(queries) @ _unit(gallery).T
    own = np.diagonal(likeness)[:, None]
    rank = (likeness >= own - TIE).sum(axis=1)
    return float((rank <= k).mean())
