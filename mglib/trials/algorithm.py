"""The base class of training algorithms: networks, loss per trial, prediction, search ranges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mglib.errors import MglibError
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform, whole_log2_uniform
from mglib.trials.networks import Streams, rung


@dataclass(frozen=True)
class Task:
    """What an algorithm is built for: D features, C classes, M modalities, class counts [T, C]."""

    features: int
    classes: int
    modalities: int
    class_counts: Tensor


@dataclass(frozen=True)
class Batch:
    """A minibatch of every trial: features x [T, M, B, D] and labels y [T, M, B].

    Trials of other batch sizes share a stack: `used` [T, 1, B] is 1 for rows in use and 0 for
    padding, so means are taken with `mean` or `means`. `step` counts from 1; `noise` holds what
    the algorithm's `noise` drew for this step, each [T, ...].
    """

    x: Tensor
    y: Tensor
    used: Tensor
    step: int = 1
    noise: Mapping[str, Tensor] = field(default_factory=dict)

    def means(self, values: Tensor) -> Tensor:
        """Values [T, M, B] averaged over the rows in use: [T, M]."""
        return (values * self.used).sum(-1) / self.used.sum(-1)

    def mean(self, values: Tensor) -> Tensor:
        """Values [T, M, B] averaged over rows in use and modalities: [T]."""
        return self.means(values).mean(-1)


# ModalBed's ranges for domain-generalization methods (its hparams_registry.py).
COMMON_SEARCH: dict[str, Hyperparameter] = {
    "lr": Hyperparameter(5e-5, log10_uniform(-5, -3.5), "rate"),
    "weight_decay": Hyperparameter(0.0, log10_uniform(-6, -2)),
    "batch_size": Hyperparameter(32, whole_log2_uniform(3, 5.5)),
}


@dataclass(frozen=True)
class Phase:
    """One optimiser of an algorithm: what it changes, by which loss [T], how fast, and when.

    `lr` and `weight_decay` are [T], `lr` also a function of the step (a schedule). `optimiser` is a
    name of optimisers.OPTIMISERS, `settings` its further arguments, [T] or plain (momentum, betas).
    `active` and `resets` say for each trial [T] whether this phase moves it at a step, and whether
    its optimiser starts anew before that step. Steps count from 1. `modulate` changes the gradients
    (in the order of `parameters`) between the backward pass and the update. Phases run in their
    order, each on the weights that the ones before it left; one that `continues` an earlier phase,
    by its number, has the same parameters and goes on with its optimiser.
    """

    parameters: Sequence[nn.Parameter]
    loss: Callable[[Any], Tensor]
    lr: Tensor | Callable[[int], Tensor]
    weight_decay: Tensor
    optimiser: str = "adam"
    settings: Mapping[str, Any] = field(default_factory=dict)
    active: Callable[[int], Tensor] | None = None
    resets: Callable[[int], Tensor] | None = None
    modulate: Callable[[Any, Sequence[Tensor]], Sequence[Tensor]] | None = None
    continues: int | None = None


class Algorithm(nn.Module, ABC):
    """A training algorithm over a stack of T trials; subclasses carry `@algorithms.register`.

    A subclass builds its networks in `__init__`, gives `loss` [T] and `predict` [T, N, C], and says
    whether it needs the same instances in every modality (`aligned`). It knows neither the device
    nor the optimiser loop. All that it learns is in parameters and buffers that lead with T.
    `defects` says of a variant, in one sentence, what its published code does wrong.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("corrected",)
    defects: ClassVar[Mapping[str, str]] = {}
    aligned: ClassVar[bool] = False
    learns: ClassVar[bool] = True
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

    def predict_together(self, x: Tensor, slots: Tensor) -> Tensor:
        """Log-probabilities [T, N, C] of K modalities of the same instances, x [T, K, N, D].

        By default the mean of those of each alone (a product of experts; ours). `slots` [T, K] are
        the places of the modalities among those trained on, -1 for an unseen one.
        """
        alone = [self.predict(x[:, k]).log_softmax(-1) for k in range(x.shape[1])]
        return torch.stack(alone).mean(0)

    def predict_by_slot(self, x: Tensor) -> Tensor:
        """Logits [T, N, C] of one modality as the mean over slots, of a method that has slots."""
        raise MglibError(f"'{self.name}' has no slots for modalities")

    def phases(self) -> list[Phase]:
        """The optimisers that make up one step, in order; by default one Adam on the loss."""
        return [
            Phase(
                list(self.parameters()), self.loss, self.hparams["lr"], self.hparams["weight_decay"]
            )
        ]

    def finish(self, batch: Batch) -> None:  # noqa: B027 - most algorithms have nothing to do
        """Change what no optimiser does (running means, in buffers) once a step is done.

        Called after the phases of the step, on its minibatch, without gradients.
        """

    @classmethod
    def noise(
        cls,
        random: np.random.Generator,
        values: Mapping[str, float],
        modalities: int,
        rows: int,
        steps: int,
    ) -> dict[str, np.ndarray]:
        """What one trial draws at random in `steps` steps, each [steps, ...]; by default nothing.

        `values` are the trial's hyper-parameters, `rows` the padded rows of its minibatches.
        """
        return {}

    @classmethod
    def shape(cls, values: Mapping[str, float]) -> tuple[Hashable, ...]:
        """What of the hyper-parameters decides shapes: trials that differ here do not stack.

        By default the padded batch size. Widths go through `networks.rung`, too.
        """
        return (rung(int(values["batch_size"])),) if "batch_size" in values else ()


def cross_entropies(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of every row: logits [..., C] against labels [...]."""
    losses = functional.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="none")
    return losses.view(y.shape)


def stack_hparams(values: Sequence[Mapping[str, float]]) -> dict[str, Tensor]:
    """The hyper-parameters of T trials as tensors [T]."""
    return {name: torch.tensor([float(v[name]) for v in values]) for name in values[0]}
