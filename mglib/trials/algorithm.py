"""The base class of training algorithms: networks, loss per trial, prediction, search ranges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mglib.trials.hyperparameters import Hyperparameter, log10_uniform, whole_log2_uniform
from mglib.trials.networks import Streams


@dataclass(frozen=True)
class Task:
    """What an algorithm is built for: D features, C classes, M modalities, class counts [T, C]."""

    features: int
    classes: int
    modalities: int
    class_counts: Tensor


@dataclass(frozen=True)
class Batch:
    """A minibatch of every trial: features x [T, M, B, D] and labels y [T, M, B]."""

    x: Tensor
    y: Tensor


# ModalBed's ranges for domain-generalization methods (its hparams_registry.py).
COMMON_SEARCH: dict[str, Hyperparameter] = {
    "lr": Hyperparameter(5e-5, log10_uniform(-5, -3.5)),
    "weight_decay": Hyperparameter(0.0, log10_uniform(-6, -2)),
    "batch_size": Hyperparameter(32, whole_log2_uniform(3, 5.5)),
}


class Algorithm(nn.Module, ABC):
    """A training algorithm over a stack of T trials; subclasses carry `@algorithms.register`.

    A subclass builds its networks in `__init__`, gives `loss` [T] and `predict` [T, N, C], and says
    whether it needs the same instances in every modality (`aligned`). It knows neither the device
    nor the optimiser loop.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("corrected",)
    aligned: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    optimiser: ClassVar[str] = "adam"
    search: ClassVar[Mapping[str, Hyperparameter]] = COMMON_SEARCH

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__()
        self.task = task
        self.hparams = hparams
        self.variant = variant

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The training loss of each trial, [T]."""

    @abstractmethod
    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, N, C] of features [T, N, D] of one modality, seen or unseen."""


def mean_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of logits [T, B, C] against labels [T, B], averaged over rows: [T]."""
    losses = cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
    return losses.view(y.shape[0], -1).mean(1)


def stack_hparams(values: list[dict[str, float]]) -> dict[str, Tensor]:
    """The hyper-parameters of T trials as tensors [T]."""
    return {name: torch.tensor([float(v[name]) for v in values]) for name in values[0]}
