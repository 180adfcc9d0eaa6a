"""What a method for missing modalities is: a stack of fusion models, their loss and answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mglib.registry import Configured
from mglib.trials.algorithm import Phase, cross_entropies
from mglib.trials.networks import Streams

Features = Sequence[Tensor]  # by modality, each [T, B, D] with a width of its own


@dataclass(frozen=True)
class MissingTask:
    """What a method is built for: widths D by modality, C outputs, the classes' prior [T, C].

    `classes` is 0 for a real answer, which has one output. `zeros` are the vectors of zeros of the
    modalities on the features' scale, each [T, D]; `shapes` are those of one item, of D in all,
    where they are known.
    """

    widths: tuple[int, ...]
    classes: int
    prior: Tensor
    zeros: tuple[Tensor, ...]
    steps: int
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def modalities(self) -> int:
        """M."""
        return len(self.widths)

    @property
    def outputs(self) -> int:
        """C, or 1 for a real answer."""
        return self.classes or 1


@dataclass(frozen=True)
class MissingBatch:
    """A minibatch: features by modality [T, B, D], what is seen [T, B, M], answers [T, B].

    What is not seen holds zeros and must have no influence. `used` [T, B] is 1 for rows in use and
    0 for padding; `noise` holds what the method's `noise` drew for this step, each [T, ...].
    """

    x: Features
    seen: Tensor
    y: Tensor
    used: Tensor
    step: int = 1
    noise: Mapping[str, Tensor] = field(default_factory=dict)

    def mean(self, values: Tensor, rows: Tensor | None = None) -> Tensor:
        """Values [T, B] averaged over the rows in use, or over those of them in `rows`: [T]."""
        weight = self.used if rows is None else self.used * rows
        return (values * weight).sum(-1) / weight.sum(-1).clamp(min=1)


class MissingMethod(nn.Module, Configured, ABC):
    """A way to train and use a fusion model; subclasses carry `@missing_methods.register`.

    A subclass gives `loss` [T] and `answer` [T, N, C] under any seen subset. All that it learns is
    in parameters and buffers that lead with T. Settings that are numbers with a point are tensors
    [T] in `hparams`; words and whole numbers, alike in a stack, are in `own`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    learns: ClassVar[bool] = True

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__()
        self.task = task
        self.hparams = hparams
        self.own = self.options()

    @classmethod
    def numbers(cls) -> dict[str, float]:
        """The settings that may differ within a stack."""
        return {k: float(v) for k, v in cls.values().items() if cls.settings[k].kind is float}

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The settings that decide shapes and ways: words and whole numbers."""
        return {k: v for k, v in cls.values().items() if cls.settings[k].kind is not float}

    @classmethod  # noqa: B027 - most methods suit every task
    def check_task(cls, modalities: int, classes: int) -> None:
        """Raise MglibError for a number of modalities, or answers, that the method is not for."""

    @abstractmethod
    def loss(self, batch: MissingBatch) -> Tensor:
        """The training loss of each trial, [T]."""

    @abstractmethod
    def answer(self, x: Features, seen: Tensor) -> Tensor:
        """Log-odds up to a constant, or the real answer, [T, N, C] of features as in a batch.

        `seen` is [T, N, M]; what is not seen has no influence.
        """

    def phases(self) -> list[Phase]:
        """The optimisers that make up one step, in order; by default one Adam on the loss."""
        return [
            Phase(
                list(self.parameters()), self.loss, self.hparams["lr"], self.hparams["weight_decay"]
            )
        ]

    def finish(self, batch: MissingBatch) -> None:  # noqa: B027 - most have nothing to do
        """Change what no optimiser does (running means, in buffers) once a step is done."""

    def encode(self, x: Features) -> list[Tensor] | None:
        """Encoded features by modality [T, N, H], if each is encoded by itself; else None."""
        return None

    def fill(self, x: Features, seen: Tensor) -> list[Tensor] | None:
        """Features by modality [T, N, D], virtual where not seen, if the method makes such."""
        return None

    def bias(self, x: Features, seen: Tensor) -> Tensor | None:
        """How far what stands in for each modality turns the answer: [T, N, M] in nats, or None.

        The standard deviation over classes of ln p(y | what stands in) - ln p(y), as the branch of
        a modality that is not seen says it; 0 where it is seen. Source: ours; a constant that
        stands in is harmless for late fusion if and only if this is 0.
        """
        return None

    def fits_at(self) -> Sequence[int]:
        """The steps before which `fit` is shown the whole training part; 0: before all."""
        return ()

    def fit(self, x: Features, seen: Tensor, y: Tensor) -> None:  # noqa: B027
        """Take what has a closed form (means, linear maps) from the training part, in buffers.

        As a batch: x [T, P, D] by modality, seen [T, P, M], y [T, P]; padding is seen in nothing.
        """

    def calibrate(self, x: Features, seen: Tensor, y: Tensor) -> None:  # noqa: B027
        """Set what is chosen on the validation part (temperatures), in buffers; as in `fit`.

        Called before every measurement. Nothing of it may enter the training.
        """

    @classmethod
    def noise(
        cls, random: np.random.Generator, steps: int, rows: int, modalities: int
    ) -> dict[str, np.ndarray]:
        """What one trial draws at random in `steps` steps: by default a seed for each, `seed`."""
        return {"seed": random.integers(2**63, size=steps)}


def losses(answers: Tensor, y: Tensor, classes: int) -> Tensor:
    """Cross-entropy in nats or squared error of every row, [..., B], of answers [..., B, C]."""
    return cross_entropies(answers, y) if classes else (answers.squeeze(-1) - y) ** 2


def hide(x: Features, seen: Tensor) -> list[Tensor]:
    """Features with zeros where a modality is not seen [T, B, M]."""
    return [torch.where(seen[..., m, None], own, 0) for m, own in enumerate(x)]
