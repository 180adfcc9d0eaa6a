"""A trial with lost frames: one temporal encoder under one law of loss, as a question."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mglib.errors import MglibError, check_different, unknown
from mglib.features import data_identity
from mglib.missing.sequences.laws import NONE, check_law
from mglib.missing.sequences.ways import WAYS
from mglib.missing.trial import MISSING_VERSION
from mglib.provenance import digest
from mglib.registry import datasets, perceptors
from mglib.trials.networks import rung
from mglib.trials.trial import ENGINE_VERSION

SEQUENCES_VERSION = 1
# Floats that the widest vector units take at a time: what is left over has another sigmoid.
VECTOR = 32
HPARAMS = {"lr": 3e-3, "weight_decay": 1e-4, "batch_size": 64, "hidden": 64}


@dataclass(frozen=True)
class SequenceTrial:
    """One (way with lost frames, law of loss in training, seed, split) on sequences of frames.

    In every minibatch `law` loses frames anew at `rate`, in each modality by itself; on the
    validation part it lost them once. The test part is measured whole and under each of `laws` at
    each of `rates`. `hparams` is the JSON of learning rate, weight decay, batch size and hidden
    width. The validation part is measured each `every` steps and after the last.
    """

    dataset: str
    perceptor: str
    modalities: tuple[str, ...]
    target: str
    way: str
    law: str
    rate: float
    seed: int
    split_seed: int
    steps: int
    every: int
    hparams: str
    laws: tuple[str, ...]
    rates: tuple[float, ...]
    precision: str = "float32"

    learns = True

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise unknown("way with lost frames", self.way, WAYS)
        for law, rate in ((self.law, self.rate), *self.tested):
            check_law(law, rate)
        if self.hidden < 1 or self.hidden % VECTOR:
            raise MglibError(
                f"hidden must be a multiple of {VECTOR}, not {self.hidden}: the places of a stack "
                "at which vector units end must be no trial's"
            )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the key stands for: the question, declared versions, data and source hashes."""
        return {
            "question": asdict(self),
            "engine": ENGINE_VERSION,
            "missing": MISSING_VERSION,  # whose answers and metrics are used
            "sequences": SEQUENCES_VERSION,
            "data": data_identity(self.dataset, self.perceptor),
        }

    @cached_property
    def key(self) -> str:
        """The result's name: the digest of its identity."""
        return digest(self.identity)

    @property
    def tested(self) -> tuple[tuple[str, float], ...]:
        """The laws and rates under which the test part is measured, the whole of it first."""
        return ((NONE, 0.0), *((law, rate) for law in self.laws for rate in self.rates))

    @cached_property
    def values(self) -> dict[str, float]:
        """The hyper-parameters by name."""
        return dict(json.loads(self.hparams))

    @property
    def rows(self) -> int:
        """Rows of a minibatch."""
        return int(self.values["batch_size"])

    @property
    def hidden(self) -> int:
        """H, the width of the state."""
        return int(self.values["hidden"])

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The steps after which the trial is measured."""
        return (*range(self.every, self.steps, self.every), self.steps)

    @property
    def stack(self) -> tuple[Any, ...]:
        """Trials with equal stacks have tensors of equal shapes and can train together."""
        return (
            self.source,
            self.target,
            self.way,
            self.steps,
            self.every,
            rung(self.rows),
            self.hidden,
            self.tested,
            self.precision,
        )

    @property
    def source(self) -> object:
        """What it reads."""
        return self.dataset, self.perceptor, self.modalities

    def columns(self) -> dict[str, Any]:
        """The columns of the result table that this trial fills alike in all its rows."""
        return {
            "dataset": self.dataset,
            "perceptor": self.perceptor,
            "algorithm": self.way,
            "train": "+".join(self.modalities),
            "modality": "+".join(self.modalities),
            "train_pattern": self.law,
            "train_rate": self.rate,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "precision": self.precision,
            "key": self.key,
            "hparams": self.hparams,
        }


def sequence_trials(
    *,
    dataset: str,
    perceptor: str,
    modalities: Sequence[str],
    ways: Iterable[str],
    trained: Iterable[tuple[str, float]],
    laws: Sequence[str],
    rates: Sequence[float],
    seeds: Iterable[int],
    split_seeds: Iterable[int],
    steps: int,
    every: int,
    target: str = "class",
    hparams: Mapping[str, float] = HPARAMS,
) -> list[SequenceTrial]:
    """Every combination of ways, (law, rate) in training, seeds and splits, as trials.

    Raises MglibError for an unknown name, an empty or repeated list, numbers out of range, and a
    perceptor that is fitted per split.
    """
    own: dict[str, list[Any]] = {
        "modalities": [*modalities],
        "ways": [*ways],
        "laws of loss in training": [*trained],
        "laws of loss at test": [*laws],
        "rates of loss at test": [float(rate) for rate in rates],
        "seeds": [*seeds],
        "split seeds": [*split_seeds],
    }
    for what, values in own.items():
        check_different(what, values)
    for what, count in (("steps", steps), ("every", every)):
        if count < 1:
            raise MglibError(f"{what} must be at least 1, not {count}")
    data = datasets.get(dataset)
    if perceptors.get(perceptor).fitted:
        raise MglibError(
            f"perceptor '{perceptor}' is fitted per split; frames are of one that is not"
        )
    for modality in own["modalities"]:
        if modality not in data.kinds:
            raise unknown(f"modality of {dataset}", modality, data.kinds)
    if target not in data.targets:
        raise unknown(f"target of {dataset}", target, data.targets)
    told = json.dumps(dict(hparams), sort_keys=True)
    return [
        SequenceTrial(
            dataset,
            perceptor,
            tuple(own["modalities"]),
            target,
            way,
            law,
            float(rate),
            int(seed),
            int(split_seed),
            steps,
            every,
            told,
            tuple(own["laws of loss at test"]),
            tuple(own["rates of loss at test"]),
        )
        for way in own["ways"]
        for law, rate in own["laws of loss in training"]
        for seed in own["seeds"]
        for split_seed in own["split seeds"]
    ]
