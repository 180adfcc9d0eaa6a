"""What a transfer method is: stages of training, with what each changes, by which gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mglib.errors import MglibError
from mglib.registry import Configured
from mglib.transfer.body import Body
from mglib.transfer.model import TransferModel
from mglib.transfer.target import Target


@dataclass(frozen=True)
class TransferBatch:
    """What one step sees: a target batch with its answers, and a source batch with its labels.

    `source` is None for a stage that needs none. `progress` in (0, 1] is the finished share of the
    stage.
    """

    inputs: Tensor
    answers: Tensor
    source: Any | None
    labels: Tensor | None
    progress: float


Gradients = Callable[[TransferModel, Target, TransferBatch, dict[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Stage:
    """A part of training: its name, its share of all steps, what it changes and how.

    `names` are those of the parameters changed; `gradients` gives one for each, of the model, the
    target, the batch and these parameters. `rate` multiplies the learning rate. `source` is the
    share of the surrogate set that its source batches are drawn from; 0: it needs none.
    """

    name: str
    share: float
    names: Sequence[str]
    gradients: Gradients
    rate: float = 1.0
    source: float = 0.0


class Method(Configured, ABC):
    """A way to fine-tune a body on a target; subclasses carry `@transfers.register`.

    `copied` is whether the target embedder starts from the source embedder's weights, `pretrained`
    whether the encoder starts from what the body learned; without that its normalisation is live.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    copied: ClassVar[bool] = True
    pretrained: ClassVar[bool] = True

    @classmethod  # noqa: B027 - most methods suit every body
    def check_body(cls, body: type[Body]) -> None:
        """Raise MglibError for a body that this method is not for."""

    @abstractmethod
    def stages(self, model: TransferModel) -> list[Stage]:
        """The stages in their order; their shares sum to 1."""


def task_gradients(
    model: TransferModel, target: Target, batch: TransferBatch, own: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The gradient of the target's loss for some parameters."""
    loss = target.loss(model.answer(batch.inputs), batch.answers)
    found = torch.autograd.grad(loss, list(own.values()), allow_unused=True)
    return filled(found, own)


def filled(found: Sequence[Tensor | None], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradients by name; zero for what the loss does not hang on."""
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for gradient, (name, parameter) in zip(found, own.items(), strict=True)
    }


def all_names(model: TransferModel, *parts: str) -> list[str]:
    """Names of all parameters of some parts of a model, or of all parts."""
    return list(model.named(*(parts or ("embedder", "encoder", "predictor"))))


def source_of(batch: TransferBatch) -> tuple[Any, Tensor]:
    """The source batch and its labels; MglibError if the stage did not ask for one."""
    if batch.source is None or batch.labels is None:
        raise MglibError("a stage that uses the source set must say `source=1.0`")
    return batch.source, batch.labels
