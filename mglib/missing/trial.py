"""A trial with missing modalities: one fusion model under one law of loss, as a question."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mglib.errors import unknown
from mglib.features import data_identity
from mglib.missing.answers import answers_identity
from mglib.provenance import digest
from mglib.registry import base_name, datasets, laws, missing_methods, pairings
from mglib.transfer.trial import TRANSFER_VERSION
from mglib.trials.networks import rung
from mglib.trials.trial import ENGINE_VERSION

MISSING_VERSION = 2
ALSO = ("", "heads", "virtual", "substitutes", "graded")


@dataclass(frozen=True)
class MissingTrial:
    """One (method, law of loss in training, seed, split) on the modalities of a dataset.

    `pairing` joins items of the modalities into instances, `target` names the answer. Of the
    training and validation instances `law` hides modalities at `rate`, by tables drawn once; of
    the former only a `share` is there at all. The test part is whole, and is measured under every
    observed subset; `also` measures fresh "heads" on the encoders, what is "virtual" beside the
    real, of "substitutes" that and the bias of their branches, or answers as substitutes are
    "graded" from what stands in to the real. `hparams` is the JSON of learning
    rate, weight decay, batch size and hidden width. The trial is measured each `every` steps and
    after the last.
    """

    dataset: str
    perceptor: str
    modalities: tuple[str, ...]
    target: str
    pairing: str
    method: str
    law: str
    rate: float
    seed: int
    split_seed: int
    steps: int
    every: int
    hparams: str
    share: float = 1.0
    also: str = ""
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.also not in ALSO:
            raise unknown("further measurement", self.also, ALSO)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the key stands for: the question, declared versions, data and source hashes."""
        source = datasets.get(self.dataset).features_of
        found = {
            "question": asdict(self),
            "engine": ENGINE_VERSION,
            "missing": MISSING_VERSION,
            "method": missing_methods.get(self.method).version,
            "law": laws.get(self.law).version,
            "pairing": pairings.get(self.pairing).version,
            "data": data_identity(source or self.dataset, self.perceptor),
        }
        if self.also == "heads":
            found["probe"] = TRANSFER_VERSION  # holds the version of the linear probe, too
        return {**found, "answers": answers_identity(self.dataset)} if source else found

    @cached_property
    def key(self) -> str:
        """The result's name: the digest of its identity."""
        return digest(self.identity)

    @cached_property
    def values(self) -> dict[str, float]:
        """The hyper-parameters by name, those that stand in the method's name among them."""
        return {**json.loads(self.hparams), **missing_methods.get(self.method).numbers()}

    @property
    def rows(self) -> int:
        """Rows of a minibatch."""
        return int(self.values["batch_size"])

    @property
    def pictured(self) -> bool:
        """Whether its method may read pictures; else every modality is one vector."""
        network = missing_methods.get(self.method).values().get("network", "dense")
        return bool(network == "convolution")

    @property
    def learns(self) -> bool:
        """Whether its method learns anything by steps."""
        return bool(missing_methods.get(self.method).learns)

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The steps after which the trial is measured; 0 if its method takes no steps."""
        if not self.learns:
            return (0,)
        return (*range(self.every, self.steps, self.every), self.steps)

    @property
    def stack(self) -> tuple[Any, ...]:
        """Trials with equal stacks have tensors of equal shapes and can train together.

        Numbers in a method's name differ within a stack, words and whole numbers do not.
        """
        return (
            self.dataset,
            self.perceptor,
            self.modalities,
            self.target,
            self.pairing,
            base_name(self.method),
            tuple(missing_methods.get(self.method).options().items()),
            self.steps,
            self.every,
            rung(self.rows),
            int(self.values["hidden"]),
            self.also,
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
            "algorithm": self.method,
            "variant": self.pairing,
            "train": "+".join(self.modalities),
            "train_pattern": self.law,
            "train_rate": self.rate,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "precision": self.precision,
            "key": self.key,
            "hparams": self.hparams,
        }
