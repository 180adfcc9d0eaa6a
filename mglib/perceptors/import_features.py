"""From ModalBed's feature files to the feature store: all modalities of a file, or nothing.

A file `<class of the dataset>_<perceptor>.h5` holds one vector for each `<modality>_<instance>`;
`modalities.json` beside the raw data says which instances there are, and their classes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mglib import paths
from mglib.data._base import Index
from mglib.data._hdf5 import opened, stored
from mglib.data._imported import Entries, Entry, ImportedDataset
from mglib.errors import MglibError, unknown
from mglib.features import FeatureSet, recipe, save_features
from mglib.perceptors._imported import Imported, read_vectors, record_path
from mglib.progress import Progress
from mglib.provenance import file_sha256
from mglib.registry import Registry, datasets, perceptors

INDEX = "modalities.json"
LARGEST_INDEX = 256 * 2**20
ALLOWED = "a feature file of ModalBed's, such as MSR_VTT_imagebind.h5"


@dataclass(frozen=True)
class Import:
    """What became of one file: instances kept, classes, width, and those without a modality."""

    dataset: str
    perceptor: str
    instances: int
    classes: int
    width: int
    left_out: dict[str, int]

    def told(self) -> str:
        """In one line."""
        without = ", ".join(f"{n} without {name}" for name, n in self.left_out.items() if n)
        return (
            f"{self.dataset}/{self.perceptor}: {self.instances} instances in {self.classes} "
            f"classes, vectors of {self.width}" + (f"; left out: {without}" if without else "")
        )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def named(
    path: Path, dataset: str | None = None, perceptor: str | None = None
) -> tuple[ImportedDataset, Imported]:
    """The dataset and the perceptor that a file's name tells, unless they are given.

    Raises MglibError for a name that tells none, and for unknown ones.
    """
    first, _, last = path.stem.rpartition("_")
    return (
        _one_of(datasets, ImportedDataset, path, first, dataset),
        _one_of(perceptors, Imported, path, last, perceptor),
    )


def _one_of(registry: Registry, base: type, path: Path, told: str, given: str | None) -> Any:
    """What is `given` by its name, else `told` by its published one, among those of a base."""
    known = {name: registry.get(name) for name in registry.names()}
    known = {name: own for name, own in known.items() if issubclass(own, base)}
    if given is not None and given not in known:
        raise unknown(f"imported {registry.kind}", given, known)
    published = {_plain(own.published): name for name, own in known.items()}
    if given is None and _plain(told) not in published:
        names = [own.published for own in known.values()]
        raise MglibError(
            f"{unknown(f'{registry.kind} in the name of {path}', told, names)}; say "
            f"--{registry.kind} ({', '.join(known)}) if the file is named otherwise"
        )
    return known[given or published[_plain(told)]]()


def read_index(path: Path, dataset: ImportedDataset) -> Entries:
    """The entries of `modalities.json`, by modality and instance; of repeated ones the first.

    Raises MglibError for a file that is missing or of another form, for a modality that is missing,
    and for an instance with two classes or a class with two numbers.
    """
    if not path.is_file():
        raise MglibError(
            f"no file '{path}': ModalBed writes {INDEX} beside the raw data of {dataset.name}; put "
            "it beside the features or say --index FILE"
        )
    if path.stat().st_size > LARGEST_INDEX:
        raise MglibError(f"'{path}' has {path.stat().st_size:,} bytes: refused as an index")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MglibError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise MglibError(f"'{path}' is no object of modalities: it is no {INDEX} of ModalBed's")
    for modality in dataset.core:
        if modality not in content:
            raise unknown(f"modality in '{path}'", modality, content)
        if not isinstance(content[modality], list):
            raise MglibError(f"'{modality}' in '{path}' is no list of instances")
    found: Entries = {m: {} for m in dataset.core}
    classes: dict[str, tuple[str, int]] = {}
    numbers: dict[str, int] = {}
    for modality in dataset.core:
        for place, item in enumerate(content[modality]):
            entry = _entry(item, f"{path}, {modality}[{place}]")
            told = (entry.label, entry.number)
            if classes.setdefault(entry.id, told) != told:
                raise MglibError(
                    f"'{entry.id}' in '{path}' is of class {classes[entry.id]} and of {told}"
                )
            if numbers.setdefault(entry.label, entry.number) != entry.number:
                raise MglibError(f"class '{entry.label}' in '{path}' has two numbers")
            found[modality].setdefault(entry.id, entry)
    if len(set(numbers.values())) < len(numbers):
        raise MglibError(f"two classes in '{path}' share a number: {numbers}")
    return found


def _entry(item: Any, place: str) -> Entry:
    """[{"label", "id", "modal", "data"}, number] as an entry; raises MglibError for all else."""
    try:
        told, number = item
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"its number is {number!r}")
        return Entry(str(told["id"]), str(told["label"]), number, str(told["data"]))
    except (TypeError, ValueError, KeyError) as error:
        raise MglibError(
            f'{place} is no [{{"label", "id", "modal", "data"}}, number]: {error!r}'
        ) from error


def import_features(
    path: Path,
    index: Path | None = None,
    dataset: str | None = None,
    perceptor: str | None = None,
) -> Import:
    """Bring one feature file of ModalBed's into the store, whole or not at all.

    `index` is its `modalities.json` (None: beside the file); `dataset` and `perceptor` are told by
    the file's name unless given. Kept are the instances that have every modality, in the order of
    the anchor's. Raises MglibError for files that are missing or of another form.
    """
    data, sense = named(path, dataset, perceptor)
    index = index or path.with_name(INDEX)
    with opened(path, ALLOWED) as file:
        entries = read_index(index, data)
        held = set(file)
        there = {m: {name for name in own if f"{m}_{name}" in held} for m, own in entries.items()}
        ids = [name for name in entries[data.anchor] if all(name in own for own in there.values())]
        left_out = {m: len(entries[data.anchor].keys() - own) for m, own in there.items()}
        if not ids:
            raise MglibError(
                f"'{path}' has no instance of '{index}' in all of {', '.join(data.core)}: keys are "
                f"such as '{data.anchor}_{next(iter(entries[data.anchor]), 'ID')}', here "
                f"{sorted(held)[:3]}"
            )
        first = stored(file, f"{data.core[0]}_{ids[0]}")
        width = first.shape[0] if first.ndim == 1 else 0
        with Progress(f"import {path.name}", len(ids) * len(data.core), "vectors") as progress:
            values = {m: read_vectors(file, m, ids, width, progress.advance) for m in data.core}
    content = data.frame(entries, ids)
    _write(data, sense, content, values, {path.name: file_sha256(path), INDEX: file_sha256(index)})
    classes = content.class_names["class"]
    return Import(data.name, sense.name, len(ids), len(classes), width, left_out)


def _write(
    data: ImportedDataset,
    sense: Imported,
    content: Index,
    values: Mapping[str, np.ndarray],
    sources: dict[str, str],
) -> None:
    """What was imported, then every modality; a kill in between leaves them missing or outdated."""
    record = record_path(data.name, sense.name)
    with paths.writing(record):
        paths.replace(record, json.dumps({"sources": sources}, indent=1) + "\n")
    for modality, own in values.items():
        card = {
            "title": data.title,
            "kind": data.kinds[modality],
            "licence": data.licences[modality],
            "data_sources": list(data.sources),
            "unit_norm": sense.unit_norm,
            "class_names": content.class_names,
        }
        save_features(
            recipe(data.name, sense.name, modality, None),
            FeatureSet(own, None, content.targets, content.instance_ids, content.groups, card),
        )
