"""A trial: one training run as a question with a key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mglib.errors import MglibError, unknown
from mglib.features import data_identity
from mglib.provenance import digest
from mglib.registry import algorithms

ENGINE_VERSION = 3
SPLITS = ("disjoint", "as_published")
PATTERNS = ("by_slot", "seen", "all")


@dataclass(frozen=True)
class Trial:
    """One (algorithm variant, draw, seed, split, training modalities) on one dataset and perceptor.

    `hparams` is the JSON of the drawn values. The trial is evaluated on every modality of
    `evaluate` each `every` steps and after the last. `target` names the labels. The test modality
    is no part of it: any modality outside `train` is unseen. `unseen` names the perceptor through
    which unseen modalities are seen at test (strong generalization; empty: the same one), with
    `unseen_for_all`, as published, the training modalities at test too. `splits` are "disjoint", or
    "as_published": every modality shuffled by itself. `patterns` are further ways of testing:
    "by_slot" (a multimodal learner's mean over slots), "seen" (all training modalities together)
    and "all" (and the unseen ones with them).
    """

    dataset: str
    perceptor: str
    algorithm: str
    variant: str
    train: tuple[str, ...]
    evaluate: tuple[str, ...]
    seed: int
    split_seed: int
    draw: int
    steps: int
    every: int
    hparams: str
    target: str = "class"
    unseen: str = ""
    unseen_for_all: bool = False
    splits: str = "disjoint"
    patterns: tuple[str, ...] = ()
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision != "float32":
            raise MglibError(f"precision '{self.precision}' is not known (float32 is)")
        if self.splits not in SPLITS:
            raise unknown("splits", self.splits, SPLITS)
        for pattern in self.patterns:
            if pattern not in PATTERNS:
                raise unknown("test pattern", pattern, PATTERNS)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the key stands for: the question, declared versions and the data's source hashes."""
        found = {
            "question": asdict(self),
            "engine": ENGINE_VERSION,
            "algorithm": algorithms.get(self.algorithm).version,
            "data": data_identity(self.dataset, self.perceptor),
        }
        return (
            {**found, "unseen": data_identity(self.dataset, self.unseen)} if self.unseen else found
        )

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
        """Rows of a minibatch per modality; 1 for an algorithm that has no minibatches."""
        return int(self.values.get("batch_size", 1))

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The steps after which the trial is measured; 0 if its algorithm learns nothing."""
        if not algorithms.get(self.algorithm).learns:
            return (0,)
        return (*range(self.every, self.steps, self.every), self.steps)

    @property
    def stack(self) -> tuple[Any, ...]:
        """Trials with equal stacks have tensors of equal shapes and can train together."""
        return (
            self.dataset,
            self.perceptor,
            self.target,
            self.algorithm,
            self.variant,
            len(self.train),
            self.evaluate,
            self.steps,
            self.every,
            algorithms.get(self.algorithm).shape(self.values),
            self.unseen,
            self.unseen_for_all,
            self.splits,
            self.patterns,
            self.precision,
        )

    @property
    def learns(self) -> bool:
        """Whether its algorithm learns anything."""
        return bool(algorithms.get(self.algorithm).learns)

    @property
    def source(self) -> object:
        """What it reads: trials of one source are best trained from one reading."""
        return self.dataset, self.perception

    @property
    def perception(self) -> str:
        """The perceptor in tables: "a>b" if b sees what is unseen, "a>>b" if b sees all at test."""
        arrow = ">>" if self.unseen_for_all else ">"
        return f"{self.perceptor}{arrow}{self.unseen}" if self.unseen else self.perceptor

    def columns(self) -> dict[str, Any]:
        """The columns of the result table that this trial fills alike in all its rows."""
        return {
            "dataset": self.dataset,
            "perceptor": self.perception,
            "algorithm": self.algorithm,
            "variant": self.variant,
            "train": "+".join(self.train),
            "draw": self.draw,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "precision": self.precision,
            "key": self.key,
            "hparams": self.hparams,
        }
