"""How large a dataset and the parts of its splits are, as rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mglib.analysis.measured import Answer, measured
from mglib.data._imported import ImportedDataset
from mglib.data.splits import FRACTIONS, split_indices
from mglib.features import load_features
from mglib.perceptors._imported import imported_here
from mglib.registry import datasets

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1  # of both measures here


def size_rows(
    experiment: str, dataset: str, split_seeds: Iterable[int], *, profile: str
) -> pa.Table:
    """Rows `instances` and `groups` of every part (column `split`) of every split seed.

    Of imported features, those of the first perceptor that they came through.
    """
    seen = "raw"
    if issubclass(datasets.get(dataset), ImportedDataset):
        seen = next(iter(imported_here(dataset)), datasets.get(dataset).perceptors[0])

    def answer(question: dict[str, Any]) -> Answer:
        groups = load_features(dataset, seen, datasets.get(dataset).anchor).groups
        return [
            {"split": part, "metric": metric, "value": float(value), "n": len(groups)}
            for part, own in split_indices(groups, question["split_seed"]).items()
            for metric, value in (("instances", len(own)), ("groups", len(set(groups[own]))))
        ]

    questions = [
        {"task": "sizes", "dataset": dataset, "perceptor": seen, "split_seed": seed}
        for seed in split_seeds
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="sizes of the parts"
    )


def size_table(rows: pa.Table) -> pd.DataFrame:
    """Part, instances, groups and share of instances, each a mean over the splits of the rows."""
    import pandas as pd

    table = rows.to_pandas()
    means = table.pivot_table(index="split", columns="metric", values="value").loc[[*FRACTIONS]]
    return pd.DataFrame(
        {
            "part": list(means.index),
            "instances": means["instances"].round().astype(int).tolist(),
            "groups": means["groups"].round().astype(int).tolist(),
            "share of instances": (means["instances"] / table["n"].iloc[0]).tolist(),
        }
    )


def tested_share(rows: pa.Table) -> float:
    """Share of the instances in the test part, mean over splits: what intervals are told."""
    sizes = size_table(rows).set_index("part")
    return float(sizes.loc["test", "share of instances"])


def count_rows(experiment: str, dataset: str, *, profile: str) -> pa.Table:
    """One row for each count that a text on the dataset prints: concepts, groups, classes, ..."""

    def answer(question: dict[str, Any]) -> Answer:
        data = datasets.get(dataset)
        first = load_features(dataset, "raw", data.anchor)
        sounds = [m for m in data.core if data.kinds[m] == "audio"]
        shape = load_features(dataset, "raw", sounds[0]).values.shape if sounds else (0, 0, 0)
        counts = {
            "concepts": len(first.instance_ids),
            "groups": len(np.unique(first.groups)),
            "classes": len(first.card["class_names"]["class"]),
            "subgroups": len(first.card["class_names"].get("subgroup", [])),
            "languages": sum(kind == "text" for kind in data.kinds.values()),
            "takes": shape[1],
            "seconds": shape[2] / (data.sample_rate or 1),
        }
        n = len(first.instance_ids)
        return [{"metric": name, "value": float(v), "n": n} for name, v in counts.items()]

    question = {"task": "counts", "dataset": dataset, "perceptor": "raw"}
    return measured(
        experiment, [question], answer, version=VERSION, profile=profile, label="counts"
    )


def count_numbers(rows: pa.Table) -> dict[str, str]:
    """The counts, formatted for the text by name."""
    values = zip(rows["metric"].to_pylist(), rows["value"].to_pylist(), strict=True)
    return {name: f"{value:g}" if value % 1 else f"{int(value):,}" for name, value in values}
