"""IRM: invariant risk minimisation, one classifier that is optimal for every modality at once.

Arjovsky et al. (2019), https://arxiv.org/abs/1907.02893, IRMv1, with the minibatch-split penalty
and the annealing of DomainBed (https://arxiv.org/abs/2007.01434), as in ModalBed
(https://arxiv.org/abs/2412.18277).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Algorithm, Batch, Phase, Task, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform, whole_log10_uniform
from mglib.trials.networks import StackedLinear, Streams, featurizer


def scale_gradients(logits: Tensor, y: Tensor) -> Tensor:
    """Derivative at s = 1 of the cross-entropy of s times the logits, for every row: [...].

    Logits [..., C], labels [...]; mean logit under the softmax minus the label's logit.
    """
    expected = (logits.softmax(-1) * logits).sum(-1)
    return expected - logits.gather(-1, y.unsqueeze(-1)).squeeze(-1)


@algorithms.register("irm")
class IRM(Algorithm):
    """Mean cross-entropy plus the product of the scale gradients of even and odd rows.

    The penalty's weight is 1 for `irm_penalty_anneal_iters` steps and `irm_lambda` after them, when
    the optimiser starts anew. The product may be negative.
    """

    title: ClassVar[str] = "IRM"
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "irm_lambda": Hyperparameter(1e2, log10_uniform(-1, 5)),
        "irm_penalty_anneal_iters": Hyperparameter(500, whole_log10_uniform(0, 4), "iterations"),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.featurizer = featurizer(streams, task.features)
        self.classifier = StackedLinear(streams, task.features, task.classes)

    def penalty(self, batch: Batch, logits: Tensor) -> Tensor:
        """Mean over modalities of the gradient on even rows times that on odd rows, [T]."""
        gradients = scale_gradients(logits, batch.y) * batch.used
        even, odd = (
            gradients[..., start::2].sum(-1) / batch.used[..., start::2].sum(-1).clamp(min=1)
            for start in (0, 1)
        )
        return (even * odd).mean(-1)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy plus the weighted penalty, [T]."""
        logits = self.predict(batch.x)
        # ModalBed counts updates from 0.
        annealed = batch.step - 1 >= self.hparams["irm_penalty_anneal_iters"]
        weight = torch.where(annealed, self.hparams["irm_lambda"], 1.0)
        risk = batch.mean(cross_entropies(logits, batch.y))
        return risk + weight * self.penalty(batch, logits)

    def phases(self) -> list[Phase]:
        """One Adam, which starts anew when the penalty's weight jumps."""
        return [
            Phase(
                list(self.parameters()),
                self.loss,
                self.hparams["lr"],
                self.hparams["weight_decay"],
                resets=lambda step: self.hparams["irm_penalty_anneal_iters"] == step - 1,
            )
        ]

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D]."""
        return self.featurizer.into(self.classifier, x)
