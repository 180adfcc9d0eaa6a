"""What all trials on sequences share: their key, hyper-parameters, checkpoints, and grid."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from mglib.errors import MglibError, check_different, unknown
from mglib.provenance import digest
from mglib.registry import datasets, perceptors

# Floats that the widest vector units take at a time: what is left over has another sigmoid.
VECTOR = 32


class SequenceQuestion(ABC):
    """A question about sequences of frames; subclasses are frozen dataclasses with these fields."""

    dataset: str
    perceptor: str
    modalities: tuple[str, ...]
    target: str
    seed: int
    split_seed: int
    steps: int
    every: int
    hparams: str
    precision: str

    learns = True

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What the key stands for: the question, declared versions, data and source hashes."""

    @property
    @abstractmethod
    def held(self) -> tuple[str, float]:
        """The law and rate under which the validation part is measured."""

    @property
    @abstractmethod
    def tested(self) -> tuple[tuple[str, float], ...]:
        """The laws and rates under which the test part is measured, the whole of it first."""

    @property
    @abstractmethod
    def stack(self) -> tuple[Any, ...]:
        """Trials with equal stacks have tensors of equal shapes and can train together."""

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """The columns of the result table that this trial fills alike in all its rows."""

    @cached_property
    def key(self) -> str:
        """The result's name: the digest of its identity."""
        return digest(self.identity)

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
    def source(self) -> object:
        """What it reads."""
        return self.dataset, self.perceptor, self.modalities

    def check_hidden(self) -> None:
        """Raise MglibError for a width at which a trial's answer would hang on its place."""
        if self.hidden < 1 or self.hidden % VECTOR:
            raise MglibError(
                f"hidden must be a multiple of {VECTOR}, not {self.hidden}: the places of a stack "
                "at which vector units end must be no trial's"
            )

    def shared_columns(self) -> dict[str, Any]:
        """What every trial on sequences says of itself in the result table."""
        return {
            "dataset": self.dataset,
            "perceptor": self.perceptor,
            "train": "+".join(self.modalities),
            "seed": self.seed,
            "split_seed": self.split_seed,
            "precision": self.precision,
            "key": self.key,
            "hparams": self.hparams,
        }


def check_grid(
    own: Mapping[str, list[Any]], dataset: str, perceptor: str, target: str, steps: int, every: int
) -> None:
    """Raise MglibError for what a grid of trials on sequences cannot ask.

    `own` are its lists by name, "modalities" among them: none may be empty or repeat itself.
    """
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
