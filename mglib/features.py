"""The feature store: one safetensors file and one JSON card per dataset, perceptor and modality.

The card carries the recipe (names, versions and parameters at any depth, splitting, source hashes)
and the sha256 of the file, so that what is damaged or outdated is never read in silence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mglib import paths
from mglib.data._base import Dataset, pack_strings, unpack_strings
from mglib.data._imported import IMPORTED
from mglib.data.splits import splitting
from mglib.errors import MglibError, unknown
from mglib.provenance import file_sha256
from mglib.registry import datasets, perceptors

FORMAT = 1
# what `mglib prepare` makes unless told otherwise (some datasets have `perceptors` of their own):
# these, and split seeds 0 to STANDARD_SPLITS - 1
STANDARD_PERCEPTORS = Dataset.perceptors
STANDARD_SPLITS = 5


@dataclass(frozen=True)
class FeatureSet:
    """One modality of one dataset as a perceptor sees it; instances in the dataset's order.

    values [N, D] float32 (raw: any rank and type), lengths [N] or [N, ...] of sequences,
    targets name -> [N], groups [N] (a group never straddles two splits).
    """

    values: np.ndarray
    lengths: np.ndarray | None
    targets: dict[str, np.ndarray]
    instance_ids: list[str]
    groups: np.ndarray
    card: dict[str, Any]


def _lineage(
    dataset: Dataset, perceptor: str, modalities: Iterable[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """A perceptor and all that it is computed from, and sha256 of what they read; by name."""
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    pending = [(perceptor, modality) for modality in modalities]
    while pending:
        name, modality = step = pending.pop()
        if step not in seen:
            seen.add(step)
            sense = found.setdefault(name, perceptors.get(name)())
            sources |= sense.sources(dataset, modality)
            pending += sense.parts(dataset, modality)
    return dict(sorted(found.items())), dict(sorted(sources.items()))


def _identity(data: Dataset, perceptor: str, modalities: Iterable[str]) -> dict[str, Any]:
    """What decides the features of some modalities, whatever the split; JSON-serialisable."""
    lineage, sources = _lineage(data, perceptor, modalities)
    return {
        "format": FORMAT,
        "dataset": data.name,
        "perceptor": perceptor,
        "versions": {
            "dataset": data.version,
            "perceptors": {name: sense.version for name, sense in lineage.items()},
        },
        "parameters": {name: sense.parameters() for name, sense in lineage.items()},
        "splitting": splitting() if any(sense.fitted for sense in lineage.values()) else None,
        "sources": sources,
    }


def _with_features(dataset: str) -> Dataset:
    """The dataset of a name; raises MglibError if it has no features of its own."""
    data: Dataset = datasets.get(dataset)()
    if data.features_of:
        raise MglibError(
            f"{dataset} has no features of its own: ask for those of {data.features_of}, in which "
            "its instances are found by their ids"
        )
    return data


def data_identity(dataset: str, perceptor: str) -> dict[str, Any]:
    """All that decides what a learner is given: features of every modality, and the splits.

    JSON-serialisable, for the keys of results; of the perceptor and all that it is computed from.
    Nothing needs to be prepared. Raises MglibError for unknown names, and for a dataset whose
    instances are rows of another's features: its answers have an identity of their own.
    """
    data, sense = _with_features(dataset), perceptors.get(perceptor)
    fitting = [modality for modality, kind in data.kinds.items() if kind in sense.kinds]
    return {**_identity(data, perceptor, fitting), "splitting": splitting()}


def source_hashes(dataset: str, perceptor: str) -> dict[str, str]:
    """sha256 of every carrier that these features depend on, by its name; nothing is prepared."""
    return data_identity(dataset, perceptor)["sources"]


def recipe(dataset: str, perceptor: str, modality: str, split_seed: int | None) -> dict[str, Any]:
    """All that decides the content of one file; raises MglibError for unknown names."""
    data, sense = _with_features(dataset), perceptors.get(perceptor)()
    if modality not in data.kinds:
        raise unknown(f"modality of {dataset}", modality, data.kinds)
    if data.kinds[modality] not in sense.kinds:
        raise MglibError(
            f"perceptor '{perceptor}' takes {', '.join(sorted(sense.kinds))}, but "
            f"modality '{modality}' of {dataset} is {data.kinds[modality]}"
        )
    if not sense.fitted:
        split_seed = None
    elif split_seed is None:
        raise MglibError(f"perceptor '{perceptor}' is fitted per split: give a split_seed")
    elif isinstance(split_seed, bool) or not isinstance(split_seed, int) or split_seed < 0:
        raise MglibError(f"split_seed must be a whole number from 0, not {split_seed!r}")
    return {
        **_identity(data, perceptor, [modality]),
        "modality": modality,
        "split_seed": split_seed,
        "space": sense.space(data, modality),
    }


def path_of(recipe: dict[str, Any]) -> Path:
    """Where the safetensors file of a recipe lies; its card lies beside it with suffix .json."""
    split = "" if recipe["split_seed"] is None else f".split{recipe['split_seed']}"
    return (
        paths.cache()
        / "features"
        / recipe["dataset"]
        / recipe["perceptor"]
        / f"{recipe['modality']}{split}.safetensors"
    )


def _card_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_card(path: Path) -> dict[str, Any] | None:
    """The card beside a file; None if it is missing or unreadable."""
    try:
        card = json.loads(_card_path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return card if isinstance(card, dict) else None


def feature_card(
    dataset: str, perceptor: str, modality: str, split_seed: int | None = None
) -> dict[str, Any]:
    """The card of one prepared file: shape, names, licence; MglibError if there is none."""
    wanted = recipe(dataset, perceptor, modality, split_seed)
    card = _read_card(path_of(wanted))
    if card is None:
        raise MglibError(f"no prepared features {path_of(wanted)}; `{_remedy(wanted)}` makes them")
    return card


def state(wanted: dict[str, Any]) -> str:
    """Of the file of a recipe: 'ready', 'missing', 'stale' (other version) or 'damaged'."""
    path = path_of(wanted)
    if not path.is_file() or not _card_path(path).is_file():
        return "missing"
    card = _read_card(path)
    if card is None:
        return "damaged"
    if any(card.get(field) != value for field, value in wanted.items()):
        return "stale"
    return "ready" if file_sha256(path) == card.get("content_hash") else "damaged"


def save_features(wanted: dict[str, Any], features: FeatureSet) -> Path:
    """Write one file of the store, then its card; a kill between the two leaves it 'missing'."""
    tensors = {
        "values": features.values,
        "groups": features.groups,
        "instance_ids": pack_strings(features.instance_ids)[0],
    }
    if features.lengths is not None:
        tensors["lengths"] = features.lengths
    for name, target in features.targets.items():
        tensors[f"targets.{name}"] = target
    content = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    card = {
        **features.card,
        **wanted,
        "shape": list(features.values.shape),
        "dtype": str(features.values.dtype),
        "content_hash": hashlib.sha256(content).hexdigest(),
    }
    path = path_of(wanted)
    with paths.writing(path):
        _card_path(path).unlink(missing_ok=True)
        paths.replace(path, content)
        paths.replace(_card_path(path), json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return path


def load_features(
    dataset: str, perceptor: str, modality: str, split_seed: int | None = None
) -> FeatureSet:
    """One modality from the store, checked against its card.

    `split_seed` names the split that a fitted perceptor (bound) learned on; others disregard it.
    Raises MglibError for unknown names and for a missing, damaged or outdated file.
    """
    wanted = recipe(dataset, perceptor, modality, split_seed)
    path, remedy = path_of(wanted), _remedy(wanted)
    card = _read_card(path)
    if not path.is_file() or not _card_path(path).is_file():
        raise MglibError(f"no prepared features {path}; `{remedy}` makes them")
    if card is None:
        raise MglibError(
            f"damaged cache file {_card_path(path)} (it is no card); `{remedy}` rebuilds it"
        )
    old = [field for field, value in wanted.items() if card.get(field) != value]
    if old:
        raise MglibError(
            f"outdated cache file {path} (made with other {', '.join(old)}); `{remedy}` rebuilds it"
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.get("content_hash"):
        raise MglibError(
            f"damaged cache file {path} (its sha256 is not the one on its card); "
            f"`{remedy}` rebuilds it"
        )
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise MglibError(f"damaged cache file {path} ({error}); `{remedy}` rebuilds it") from error
    targets = {
        name.removeprefix("targets."): tensor
        for name, tensor in sorted(tensors.items())
        if name.startswith("targets.")
    }
    return FeatureSet(
        tensors["values"],
        tensors.get("lengths"),
        targets,
        unpack_strings(tensors["instance_ids"]),
        tensors["groups"],
        card,
    )


def _remedy(wanted: dict[str, Any]) -> str:
    """The command that makes the file of a recipe."""
    if datasets.get(wanted["dataset"]).kinds[wanted["modality"]] == IMPORTED:
        return "mglib import-features FILE"
    standard = wanted["perceptor"] in datasets.get(wanted["dataset"]).perceptors
    option = "" if standard else f" --perceptor {wanted['perceptor']}"
    if wanted["modality"] not in datasets.get(wanted["dataset"]).core:
        option += f" --modality {wanted['modality']}"
    if (wanted["split_seed"] or 0) >= STANDARD_SPLITS:
        option += f" --splits {wanted['split_seed'] + 1}"
    return f"mglib prepare {wanted['dataset']}{option}"
