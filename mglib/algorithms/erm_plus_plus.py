"""ERM++: empirical risk minimisation, classifier first, predicting with averaged weights.

Teterwak et al. (2023), https://arxiv.org/abs/2304.01973, in the form of DomainBed
(https://arxiv.org/abs/2007.01434) as ModalBed trains it (https://arxiv.org/abs/2412.18277): at
constant learning rates, since its trainer never asks for the automatic schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.func import functional_call

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Batch, Phase, Task, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, choice, log10_uniform
from mglib.trials.networks import Streams


def mean_of(name: str) -> str:
    """The name of the buffer that holds a parameter's mean."""
    return f"mean_{name.replace('.', '_')}"


@algorithms.register("erm_plus_plus")
class ERMPlusPlus(ERM):
    """Mean cross-entropy; the featurizer waits until `linear_steps` updates are counted.

    The classifier alone has an Adam of its own at the rate `linear_lr`. From step `averaging_from`
    on (600 in the published code, a constant there) predictions are made by the mean of the weights
    since the step before it, until then by the current ones.
    """

    title: ClassVar[str] = "ERM++"
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "linear_lr": Hyperparameter(5e-5, log10_uniform(-5, -3.5), "rate"),
        "linear_steps": Hyperparameter(500, choice(500), "iterations"),
        "averaging_from": Hyperparameter(600, choice(600), "iterations"),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        for name, parameter in list(self.named_parameters()):
            self.register_buffer(mean_of(name), parameter.detach().clone())

    def logits(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D] by the current weights."""
        return super().predict(x)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the current weights averaged over the rows of every modality, [T]."""
        return batch.mean(cross_entropies(self.logits(batch.x), batch.y))

    def phases(self) -> list[Phase]:
        """An Adam of the classifier, and one of everything that takes its place."""
        h = self.hparams
        # ModalBed counts updates from 0 and compares with "greater".
        return [
            Phase(
                list(self.classifier.parameters()),
                self.loss,
                h["linear_lr"],
                h["weight_decay"],
                active=lambda step: h["linear_steps"] >= step - 1,
            ),
            Phase(
                list(self.parameters()),
                self.loss,
                h["lr"],
                h["weight_decay"],
                active=lambda step: h["linear_steps"] < step - 1,
            ),
        ]

    def finish(self, batch: Batch) -> None:
        """Let the mean follow the weights until averaging begins, then take them in."""
        averaged = (batch.step - self.hparams["averaging_from"] + 1).clamp(min=0)
        share = (1 / (1 + averaged))[:, None, None]
        for name, parameter in self.named_parameters():
            self.get_buffer(mean_of(name)).lerp_(parameter, share.to(parameter))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D] by the weights that it holds for now."""
        return self.logits(x)

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D] by the mean of the weights."""
        names = [name for name, _ in self.named_parameters()]
        means = {name: self.get_buffer(mean_of(name)) for name in names}
        found: Tensor = functional_call(self, means, (x,))
        return found
