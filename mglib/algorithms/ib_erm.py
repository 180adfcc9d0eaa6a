"""IB-ERM: empirical risk minimisation with an information bottleneck on the features.

Ahuja et al. (2021), https://arxiv.org/abs/2106.06607, with the annealing of DomainBed
(https://arxiv.org/abs/2007.01434), as in ModalBed (https://arxiv.org/abs/2412.18277).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Batch, Phase, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform, whole_log10_uniform


def feature_variances(z: Tensor, used: Tensor) -> Tensor:
    """Unbiased variance over the rows in use, averaged over features: [T, M].

    Features [T, M, B, D], rows in use [T, 1, B]. One row alone has none.
    """
    kept = used.unsqueeze(-1)
    rows = used.sum(-1)
    centred = (z - (z * kept).sum(-2, keepdim=True) / rows[..., None, None]) * kept
    return centred.square().sum(-2).mean(-1) / (rows - 1).clamp(min=1)


@algorithms.register("ib_erm")
class IBERM(ERM):
    """Mean cross-entropy plus the variance of the features within each modality.

    The penalty's weight is 0 for `ib_penalty_anneal_iters` steps and `ib_lambda` after them, when
    the optimiser starts anew.
    """

    title: ClassVar[str] = "IB-ERM"
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "ib_lambda": Hyperparameter(1e2, log10_uniform(-1, 5)),
        "ib_penalty_anneal_iters": Hyperparameter(500, whole_log10_uniform(0, 4), "iterations"),
    }

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy plus the weighted variance, [T]."""
        z = self.featurizer(batch.x)
        # ModalBed counts updates from 0.
        annealed = batch.step - 1 >= self.hparams["ib_penalty_anneal_iters"]
        weight = torch.where(annealed, self.hparams["ib_lambda"], 0.0)
        risk = batch.mean(cross_entropies(self.classifier(z), batch.y))
        return risk + weight * feature_variances(z, batch.used).mean(-1)

    def phases(self) -> list[Phase]:
        """One Adam, which starts anew when the penalty's weight jumps."""
        return [
            Phase(
                list(self.parameters()),
                self.loss,
                self.hparams["lr"],
                self.hparams["weight_decay"],
                resets=lambda step: self.hparams["ib_penalty_anneal_iters"] == step - 1,
            )
        ]
