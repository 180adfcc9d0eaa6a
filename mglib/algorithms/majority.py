"""Majority: the constant predictor, the lower bound that stands in every table (ours)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from mglib.registry import algorithms
from mglib.trials.algorithm import Algorithm, Batch, Task, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter
from mglib.trials.networks import Streams


@algorithms.register("majority")
class Majority(Algorithm):
    """Predicts the training split's most frequent class whatever it sees; has no parameters."""

    title: ClassVar[str] = "Majority class"
    learns: ClassVar[bool] = False
    log_prior: Tensor
    search: ClassVar[Mapping[str, Hyperparameter]] = {}

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        # One imaginary instance per class keeps the logarithm of an absent class finite.
        self.register_buffer("log_prior", (task.class_counts + 1.0).log().unsqueeze(1))

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the training prior on the batch, [T]."""
        logits = self.log_prior.unsqueeze(1).expand(*batch.y.shape, -1)
        return batch.mean(cross_entropies(logits, batch.y))

    def predict(self, x: Tensor) -> Tensor:
        """The logarithm of the class counts for every row, [T, N, C]."""
        return self.log_prior.expand(-1, x.shape[1], -1)
