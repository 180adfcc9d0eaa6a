"""Retrieval between two views of the same instances."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from mglib.analysis.measured import Answer, measured
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.registry import datasets

VERSION = 1
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


def _pairs(dataset: str) -> list[tuple[str, str]]:
    """Each core modality against the anchor, and modalities of one kind against each other."""
    data = datasets.get(dataset)
    others = [m for m in data.core if m != data.anchor]
    alike = [(a, b) for a, b in combinations(others, 2) if data.kinds[a] == data.kinds[b]]
    return [(m, data.anchor) for m in others] + alike


def retrieval_rows(
    experiment: str, dataset: str, split_seeds: Iterable[int], *, k: int, profile: str
) -> pa.Table:
    """Rows of recall@k on the test pairs, for the spaces before (frozen) and after binding (bound).

    Query is the column `modality`, the gallery stands in `hparams`. Pairs whose frozen features
    have different widths have no cosine: their row is null, with the status "undefined".
    """

    def answer(question: dict[str, Any]) -> Answer:
        gallery = json.loads(question["hparams"])["gallery"]
        queries, pool = (
            load_features(dataset, question["perceptor"], modality, question["split_seed"])
            for modality in (question["modality"], gallery)
        )
        test = split_indices(queries.groups, question["split_seed"])["test"]
        value = None
        if queries.values.shape == pool.values.shape:
            value = recall_at_k(queries.values[test], pool.values[test], k)
        return [{"metric": f"recall_at_{k}", "value": value, "n": len(test)}]

    questions = [
        {
            "task": "retrieval",
            "dataset": dataset,
            "perceptor": perceptor,
            "split_seed": split_seed,
            "modality": query,
            "split": "test",
            "hparams": {"gallery": gallery, "k": k},
        }
        for split_seed in split_seeds
        for perceptor in ("frozen", "bound")
        for query, gallery in _pairs(dataset)
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="retrieval"
    )
