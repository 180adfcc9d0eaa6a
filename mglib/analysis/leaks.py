"""Does anything leak: do the parts of a split share what would give the answer away?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mglib.analysis.held_out import percent
from mglib.analysis.measured import Answer, measured
from mglib.analysis.statistics import resampled_interval
from mglib.data.splits import split_indices
from mglib.features import FeatureSet, load_features, unpack_strings
from mglib.registry import datasets

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
NEAR = 0.95  # centred cosine from which two items count as near-duplicates (ours)
SEEN = ("binding", "train", "validation")  # what a learner or its perceptor may have met


def faults(parts: Mapping[str, np.ndarray], groups: np.ndarray) -> dict[str, int]:
    """Counts that must be 0, for parts of indices and groups [N].

    Groups in two parts, instances in two parts, instances in none.
    """
    times = np.bincount(np.concatenate([*parts.values()]), minlength=len(groups))
    homes = Counter(group for own in parts.values() for group in set(groups[own].tolist()))
    return {
        "straddling_groups": sum(count > 1 for count in homes.values()),
        "shared_instances": int((times > 1).sum()),
        "lost_instances": int((times == 0).sum()),
    }


def nearest(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Cosine of each query [N, D] to its nearest row of the gallery [M, D] -> [N].

    Both are centred on the mean of the gallery first: features that share a large common part all
    have cosines near 1. A zero row has the cosine 0.
    """
    centre = gallery.mean(axis=0, dtype=np.float64).astype(np.float32)
    units = []
    for rows in (queries, gallery):
        centred = rows.astype(np.float32) - centre
        norms = np.linalg.norm(centred, axis=1, keepdims=True)
        units.append(centred / np.where(norms > 0, norms, 1.0))
    return (units[0] @ units[1].T).max(axis=1)


def as_vectors(features: FeatureSet, kind: str) -> np.ndarray | None:
    """Raw items as vectors [N, D]: pixels, or counts of three letters in a row; else None."""
    if kind == "image":
        return features.values.reshape(len(features.values), -1).astype(np.float32)
    if kind == "text":
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(analyzer="char_wb", ngram_range=(3, 3), dtype=np.float32)
        return np.asarray(counter.fit_transform(unpack_strings(features.values)).todense())
    return None  # waveforms of two voices do not line up


def _items(features: FeatureSet, kind: str) -> list[Any]:
    """What makes raw items equal: a text whatever its case, all else byte for byte."""
    if kind == "text":
        return [text.casefold() for text in unpack_strings(features.values)]
    return [blake2b(item.tobytes()).digest() for item in features.values]


def fault_rows(
    experiment: str, dataset: str, split_seeds: Iterable[int], *, profile: str
) -> pa.Table:
    """Rows of the counts that must be 0, for every split seed."""

    def answer(question: dict[str, Any]) -> Answer:
        groups = load_features(dataset, "raw", datasets.get(dataset).anchor).groups
        found = faults(split_indices(groups, question["split_seed"]), groups)
        return [{"metric": m, "value": float(v), "n": len(groups)} for m, v in found.items()]

    questions = [
        {"task": "faults", "dataset": dataset, "perceptor": "raw", "split_seed": seed}
        for seed in split_seeds
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="checks of splits"
    )


def leak_rows(
    experiment: str, dataset: str, split_seeds: Iterable[int], *, profile: str
) -> pa.Table:
    """How near the test part comes to what was seen, in raw and frozen features.

    Rows `nearest` (median over the test part of the cosine to the nearest seen item), `near`
    (share of the test part with a cosine of at least NEAR) and, for raw items, `equal` (share that
    equal a seen item). `hparams` says whether groups were kept together ("group") or, for
    comparison, instances were split at random ("instance").
    """
    data = datasets.get(dataset)

    @lru_cache(maxsize=1)  # questions come modality by modality
    def loaded(perceptor: str, modality: str) -> tuple[np.ndarray, np.ndarray | None, list[Any]]:
        found = load_features(dataset, perceptor, modality)
        if perceptor != "raw":
            return found.groups, found.values, []
        kind = data.kinds[modality]
        return found.groups, as_vectors(found, kind), _items(found, kind)

    def answer(question: dict[str, Any]) -> Answer:
        groups, vectors, items = loaded(question["perceptor"], question["modality"])
        if json.loads(question["hparams"])["by"] == "instance":
            groups = np.arange(len(groups))
        parts = split_indices(groups, question["split_seed"])
        test, seen = parts["test"], np.concatenate([parts[name] for name in SEEN])
        values: dict[str, float] = {}
        if items:
            known = {items[place] for place in seen}
            values["equal"] = float(np.mean([items[place] in known for place in test]))
        if vectors is not None:
            cosines = nearest(vectors[test], vectors[seen])
            values["nearest"] = float(np.median(cosines))
            values["near"] = float((cosines >= NEAR).mean())
        return [{"metric": m, "value": v, "n": len(test)} for m, v in values.items()]

    questions = [
        {
            "task": "leaks",
            "dataset": dataset,
            "perceptor": perceptor,
            "split_seed": seed,
            "modality": modality,
            "split": "test",
            "hparams": {"by": by, "near": NEAR},
        }
        for modality in data.core
        for perceptor in ("raw", "frozen")
        for seed in split_seeds
        for by in ("group", "instance")
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="nearest seen items"
    )


def leak_values(rows: pa.Table) -> pd.DataFrame:
    """Columns modality, perceptor, by, metric, split_seed and value, from the rows."""
    table = rows.to_pandas()
    by = [json.loads(text)["by"] for text in table["hparams"]]
    return table.assign(by=by)[["modality", "perceptor", "by", "metric", "split_seed", "value"]]


def leak_table(values: pd.DataFrame, test_share: float) -> pd.DataFrame:
    """Equal items and near-duplicates [% of the test part], by group and by instance."""
    import pandas as pd

    rows = []
    for modality, perceptor in dict.fromkeys(
        zip(values["modality"], values["perceptor"], strict=True)
    ):
        own = values[(values["modality"] == modality) & (values["perceptor"] == perceptor)]
        row = {"Modality": modality, "Seen as": perceptor}
        for metric, title in (("equal", "Equal"), ("near", "Near")):
            for by in ("group", "instance"):
                found = own[(own["metric"] == metric) & (own["by"] == by)].sort_values("split_seed")
                shares = found["value"].tolist()
                row[f"{title}, by {by}"] = (
                    percent(resampled_interval(shares, test_share)) if shares else "–"
                )
        rows.append(row)
    return pd.DataFrame(rows)
