"""What a dataset holds: a few of its instances in every modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mglib.errors import MglibError, unknown
from mglib.features import load_features, unpack_strings
from mglib.perceptors.prepare import prepare
from mglib.registry import datasets


@dataclass(frozen=True)
class Sample:
    """One instance in every core modality: values by modality, and the name of its class."""

    values: dict[str, np.ndarray | str]
    kinds: dict[str, str]
    category: str
    sample_rate: int | None


def find_concept(dataset: str, concept: str) -> int:
    """The first instance of a name in the dataset's anchor, whatever its case.

    Where the anchor is no text, instances have no names but those of their classes. Raises
    MglibError with the nearest names if there is none.
    """
    data = datasets.get(dataset)
    anchor = load_features(dataset, "raw", data.anchor)
    if data.kinds[data.anchor] == "text":
        names = unpack_strings(anchor.values)
    else:
        names = [anchor.card["class_names"]["class"][label] for label in anchor.targets["class"]]
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        found.setdefault(name.casefold(), place)
    if concept.casefold() not in found:
        raise unknown(f"concept of {dataset}", concept, dict.fromkeys(names))
    return found[concept.casefold()]


def samples_at(dataset: str, instances: Sequence[int]) -> list[Sample]:
    """Some instances in every core modality; the first take of a sound."""
    data = datasets.get(dataset)
    raw = {modality: load_features(dataset, "raw", modality) for modality in data.core}
    first = raw[data.core[0]]
    samples = []
    for instance in instances:
        values: dict[str, np.ndarray | str] = {}
        for modality, features in raw.items():
            own = features.values[instance]
            if data.kinds[modality] == "audio" and features.lengths is not None:
                own = own[0][: features.lengths[instance, 0]]
            values[modality] = (
                unpack_strings(own[None])[0] if data.kinds[modality] == "text" else own
            )
        name = first.card["class_names"]["class"][first.targets["class"][instance]]
        samples.append(
            Sample(values, {m: data.kinds[m] for m in data.core}, name, data.sample_rate)
        )
    return samples


def sample_instances(dataset: str, count: int, seed: int = 0) -> list[Sample]:
    """Instances of `count` different classes, drawn at random; the first take of a sound.

    Raises MglibError unless there are so many classes, and at least one.
    """
    labels = load_features(dataset, "raw", datasets.get(dataset).anchor).targets["class"]
    random = np.random.RandomState(seed)
    if not 1 <= count <= len(np.unique(labels)):
        raise MglibError(
            f"{count} concepts of different classes cannot be drawn; {dataset} has "
            f"{len(np.unique(labels))} classes, and at least 1 is needed"
        )
    classes = random.permutation(np.unique(labels))[:count]
    return samples_at(
        dataset, [int(random.choice(np.flatnonzero(labels == c))) for c in sorted(classes)]
    )


def takes_of(dataset: str, instance: int) -> dict[str, list[np.ndarray]]:
    """Every take [samples] of every sound of one instance, cut to its length; by modality."""
    data = datasets.get(dataset)
    found = {}
    for modality in (m for m in data.core if data.kinds[m] == "audio"):
        features = load_features(dataset, "raw", modality)
        takes = features.values[instance]
        lengths = (
            features.lengths[instance] if features.lengths is not None else [None] * len(takes)
        )
        found[modality] = [take[:length] for take, length in zip(takes, lengths, strict=True)]
    return found


def texts_of(dataset: str, instance: int) -> dict[str, str]:
    """What is written of one instance, in every text modality; those not prepared yet are."""
    data = datasets.get(dataset)
    texts = [modality for modality, kind in data.kinds.items() if kind == "text"]
    prepare(dataset, ("raw",), modalities=texts)
    return {
        m: unpack_strings(load_features(dataset, "raw", m).values[instance][None])[0] for m in texts
    }
