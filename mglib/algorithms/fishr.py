"""Fishr: the same variance of the classifier's gradients in every modality.

Rame et al. (2022), https://arxiv.org/abs/2109.02934, with the moving averages and the annealing
of its authors' code in DomainBed (https://arxiv.org/abs/2007.01434).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Batch, Phase, Task, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform, uniform, whole_uniform
from mglib.trials.networks import Streams


def gradient_variances(z: Tensor, logits: Tensor, y: Tensor, used: Tensor) -> Tensor:
    """Variance over rows of the gradient of each weight of a linear classifier: [T, M, D + 1, C].

    Features [T, M, B, D], logits [T, M, B, C], labels [T, M, B], rows in use [T, 1, B]; the last
    of D + 1 is the bias. A row's gradient is the outer product of (z, 1) and of the residual
    softmax - label, so both of its moments are sums over rows of such products.
    """
    residual = logits.softmax(-1) - one_hot(y, logits.shape[-1])
    residual = residual * used.unsqueeze(-1)
    inputs = torch.cat([z, torch.ones_like(z[..., :1])], -1)
    rows = used.sum(-1)[..., None, None]
    mean = inputs.mT @ residual / rows
    return inputs.square().mT @ residual.square() / rows - mean.square()


@algorithms.register("fishr")
class Fishr(ERM):
    """Mean cross-entropy plus the gap of each modality's gradient variances to their mean.

    The variances are moving averages, kept with their share `ema` of the past and divided by
    1 - ema. The penalty's weight is 0 for `penalty_anneal_iters` steps and `lambda` after them,
    when the optimiser starts anew. One modality alone is ERM.
    """

    title: ClassVar[str] = "Fishr"
    averages: Tensor
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "lambda": Hyperparameter(1000.0, log10_uniform(1, 4)),
        "penalty_anneal_iters": Hyperparameter(1500, whole_uniform(0, 5000), "iterations"),
        "ema": Hyperparameter(0.95, uniform(0.90, 0.99)),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        shape = (len(streams), task.modalities, task.features + 1, task.classes)
        self.register_buffer("averages", torch.zeros(shape))
        self._fresh = self.averages

    def penalty(self, z: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Squared gap to the mean over modalities, averaged over modalities and weights, [T]."""
        fresh = gradient_variances(z, logits, batch.y, batch.used)
        ema = self.hparams["ema"][:, None, None, None]
        averages = ema * self.averages + (1 - ema) * fresh
        self._fresh = averages.detach()
        averages = averages / (1 - ema)
        return (averages - averages.mean(1, keepdim=True)).square().mean((1, 2, 3))

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy plus the weighted penalty, [T]."""
        z = self.featurizer(batch.x)
        logits = self.classifier(z)
        # DomainBed counts updates from 0.
        annealed = batch.step - 1 >= self.hparams["penalty_anneal_iters"]
        weight = torch.where(annealed, self.hparams["lambda"], 0.0)
        risk = batch.mean(cross_entropies(logits, batch.y))
        return risk + weight * self.penalty(z, logits, batch)

    def finish(self, batch: Batch) -> None:
        """Keep the averages that the step's loss was taken with."""
        self.averages.copy_(self._fresh)

    def phases(self) -> list[Phase]:
        """One Adam, which starts anew when the penalty's weight jumps."""
        return [
            Phase(
                list(self.parameters()),
                self.loss,
                self.hparams["lr"],
                self.hparams["weight_decay"],
                resets=lambda step: self.hparams["penalty_anneal_iters"] == step - 1,
            )
        ]
