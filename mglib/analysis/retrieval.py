"""Retrieval between two views of the same instances."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.registry import datasets

if TYPE_CHECKING:
    import pandas as pd

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
        raise MglibError(
            f"recall needs two [N, D] arrays of pairs, not {queries.shape} and {gallery.shape}"
        )
    if not 1 <= k <= len(queries):
        raise MglibError(f"k must be in 1..{len(queries)}, not {k}")
    if not (np.isfinite(queries).all() and np.isfinite(gallery).all()):
        raise MglibError("recall needs finite features")
    likeness = _unit(queries) @ _unit(gallery).T
    own = np.diagonal(likeness)[:, None]
    rank = (likeness >= own - TIE).sum(axis=1)
    return float((rank <= k).mean())


def retrieval_table(dataset: str, split_seeds: Iterable[int], k: int = 10) -> pd.DataFrame:
    """Recall@k of every core modality against the anchor on the test pairs, bound and frozen.

    Columns modality, split_seed, chance, frozen, bound; frozen is null where the two modalities'
    own spaces have different widths, so that no cosine between them exists.
    """
    import pandas as pd

    data = datasets.get(dataset)
    found = []
    for split_seed in split_seeds:
        spaces = {
            perceptor: {m: load_features(dataset, perceptor, m, split_seed) for m in data.core}
            for perceptor in ("frozen", "bound")
        }
        test = split_indices(spaces["bound"][data.anchor].groups, split_seed)["test"]
        for modality in data.core:
            if modality == data.anchor:
                continue
            row: dict[str, object] = {
                "modality": modality,
                "split_seed": split_seed,
                "chance": k / len(test),
            }
            for perceptor, features in spaces.items():
                queries, gallery = (features[m].values[test] for m in (modality, data.anchor))
                row[perceptor] = (
                    recall_at_k(queries, gallery, k) if queries.shape == gallery.shape else None
                )
            found.append(row)
    return pd.DataFrame(found)
