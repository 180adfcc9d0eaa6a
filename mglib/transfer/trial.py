"""A transfer trial: one fine-tuning of a body on a target by a method, as a question with a key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

from mglib.features import data_identity
from mglib.provenance import digest
from mglib.registry import transfers
from mglib.transfer.named import body_named

TRANSFER_VERSION = 1


@dataclass(frozen=True)
class TransferTrial:
    """One (method, body, target, seed, split) with its budget.

    `modality` of `dataset`, seen by `perceptor`, is the input, `target` the answer. `hparams` is
    the JSON of learning rate, weight decay, batch size and the share of the steps that the learning
    rate rises. The trial is measured before the first step, each `every` steps and after the last.
    """

    dataset: str
    perceptor: str
    modality: str
    target: str
    body: str
    method: str
    seed: int
    split_seed: int
    steps: int
    every: int
    hparams: str
    precision: str = "float32"

    learns: ClassVar[bool] = True

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the key stands for: the question, declared versions, data and source hashes."""
        body = body_named(self.body)
        dataset, perceptor, _ = body.source
        return {
            "question": asdict(self),
            "transfer": TRANSFER_VERSION,
            "method": transfers.get(self.method).version,
            "body": body.identity(),
            "data": data_identity(self.dataset, self.perceptor),
            "source": data_identity(dataset, perceptor),
        }

    @cached_property
    def key(self) -> str:
        """The result's name: the digest of its identity."""
        return digest(self.identity)

    @cached_property
    def values(self) -> dict[str, float]:
        """The hyper-parameters by name."""
        return dict(json.loads(self.hparams))

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The steps after which it is measured, 0 among them."""
        return (*range(0, self.steps, self.every), self.steps)

    @property
    def stack(self) -> tuple[Any, ...]:
        """Large bodies train one at a time: equal to no other trial's."""
        return (self.key,)

    @property
    def source(self) -> object:
        """What it reads."""
        return self.dataset, self.perceptor, self.modality

    def columns(self) -> dict[str, Any]:
        """The columns of the result table that this trial fills alike in all its rows."""
        return {
            "dataset": self.dataset,
            "perceptor": self.perceptor,
            "algorithm": self.method,
            "variant": self.body,
            "train": self.modality,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "precision": self.precision,
            "key": self.key,
            "hparams": self.hparams,
        }
