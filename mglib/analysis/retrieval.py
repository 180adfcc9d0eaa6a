"""Retrieval between two views of the same instances."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import data_identity, load_features
from mglib.provenance import Record, digest
from mglib.registry import datasets
from mglib.rows import read_rows, write_part

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
    have different widths have no cosine and no row. What has a row is not computed again.
    """
    record = Record()
    asked: dict[str, dict[str, Any]] = {}
    for split_seed in split_seeds:
        for perceptor in ("frozen", "bound"):
            for query, gallery in _pairs(dataset):
                question = {
                    "task": "retrieval",
                    "dataset": dataset,
                    "perceptor": perceptor,
                    "split_seed": split_seed,
                    "modality": query,
                    "split": "test",
                    "metric": f"recall_at_{k}",
                    "hparams": json.dumps({"gallery": gallery, "k": k}, sort_keys=True),
                }
                key = digest({"question": question, "data": data_identity(dataset, perceptor)})
                asked[key] = {**question, "key": key}
    present = set(pc.unique(read_rows(experiment, asked, profile)["key"]).to_pylist())
    rows = []
    for row in (row for key, row in asked.items() if key not in present):
        named = json.loads(row["hparams"])
        queries, pool = (
            load_features(dataset, row["perceptor"], modality, row["split_seed"])
            for modality in (row["modality"], named["gallery"])
        )
        if queries.values.shape == pool.values.shape:
            test = split_indices(queries.groups, row["split_seed"])["test"]
            value = recall_at_k(queries.values[test], pool.values[test], k)
            rows.append({**row, "value": value, "n": len(test), "status": "ok"})
    if rows:
        common = {"experiment": experiment, "profile": profile}
        keys = [row["key"] for row in rows]
        write_part(experiment, [{**common, **row} for row in rows], record.finish(keys=keys))
    return read_rows(experiment, asked, profile)
