"""What a dataset holds: a few of its instances in every modality, and the sizes of its splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mglib.data.splits import split_indices
from mglib.features import load_features, unpack_strings
from mglib.registry import datasets

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Sample:
    """One instance in every core modality: values by modality, and the name of its class."""

    values: dict[str, np.ndarray | str]
    kinds: dict[str, str]
    category: str
    sample_rate: int | None


def sample_instances(dataset: str, count: int, seed: int = 0) -> list[Sample]:
    """Instances of `count` different classes, drawn at random; the first take of a sound."""
    data = datasets.get(dataset)
    raw = {modality: load_features(dataset, "raw", modality) for modality in data.core}
    first = raw[data.core[0]]
    labels = first.targets["class"]
    random = np.random.RandomState(seed)
    classes = random.permutation(np.unique(labels))[:count]
    samples = []
    for category in sorted(classes):
        instance = random.choice(np.flatnonzero(labels == category))
        values: dict[str, np.ndarray | str] = {}
        for modality, features in raw.items():
            own = features.values[instance]
            if data.kinds[modality] == "audio" and features.lengths is not None:
                own = own[0][: features.lengths[instance, 0]]
            values[modality] = (
                unpack_strings(own[None])[0] if data.kinds[modality] == "text" else own
            )
        name = first.card["class_names"]["class"][category]
        samples.append(
            Sample(values, {m: data.kinds[m] for m in data.core}, name, data.sample_rate)
        )
    return samples


def split_sizes(dataset: str, splits: int) -> pd.DataFrame:
    """Instances and leak-free groups in each part: means over split seeds 0 to splits - 1."""
    import pandas as pd

    groups = load_features(dataset, "frozen", datasets.get(dataset).core[0]).groups
    found = [split_indices(groups, seed) for seed in range(splits)]
    return pd.DataFrame(
        [
            {
                "part": part,
                "instances": round(float(np.mean([len(f[part]) for f in found]))),
                "groups": round(float(np.mean([len(set(groups[f[part]])) for f in found]))),
                "share of instances": float(np.mean([len(f[part]) for f in found]) / len(groups)),
            }
            for part in found[0]
        ]
    )


def data_numbers(dataset: str) -> dict[str, str]:
    """Counts that a text on the dataset prints, formatted: concepts, classes, groups, ..."""
    data = datasets.get(dataset)
    first = load_features(dataset, "raw", data.core[0])
    names = first.card["class_names"]
    sounds = [load_features(dataset, "raw", m) for m in data.core if data.kinds[m] == "audio"]
    takes, samples = sounds[0].values.shape[1:] if sounds else (0, 0)
    return {
        "concepts": f"{len(first.instance_ids):,}",
        "groups": f"{len(np.unique(first.groups)):,}",
        "classes": str(len(names["class"])),
        "subgroups": str(len(names["subgroup"])),
        "languages": str(sum(kind == "text" for kind in data.kinds.values())),
        "takes": str(takes),
        "seconds": f"{samples / (data.sample_rate or 1):g}",
    }
