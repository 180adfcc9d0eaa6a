"""VREx: risk extrapolation, equal risks in all modalities by a penalty on their variance.

Krueger et al. (2021), https://arxiv.org/abs/2003.00688, V-REx, with the annealing of DomainBed
(https://arxiv.org/abs/2007.01434).
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


@algorithms.register("vrex")
class VREx(ERM):
    """Mean of the modalities' cross-entropies plus their variance (over M, not M - 1).

    The penalty's weight is 1 for `vrex_penalty_anneal_iters` steps and `vrex_lambda` after them,
    when the optimiser starts anew. One modality alone is ERM.
    """

    title: ClassVar[str] = "VREx"
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "vrex_lambda": Hyperparameter(1e1, log10_uniform(-1, 5)),
        "vrex_penalty_anneal_iters": Hyperparameter(500, whole_log10_uniform(0, 4), "iterations"),
    }

    def loss(self, batch: Batch) -> Tensor:
        """Mean risk plus the weighted variance of the risks, [T]."""
        risks = batch.means(cross_entropies(self.predict(batch.x), batch.y))
        mean = risks.mean(-1)
        # DomainBed counts updates from 0.
        annealed = batch.step - 1 >= self.hparams["vrex_penalty_anneal_iters"]
        weight = torch.where(annealed, self.hparams["vrex_lambda"], 1.0)
        return mean + weight * (risks - mean.unsqueeze(-1)).square().mean(-1)

    def phases(self) -> list[Phase]:
        """One Adam, which starts anew when the penalty's weight jumps."""
        return [
            Phase(
                list(self.parameters()),
                self.loss,
                self.hparams["lr"],
                self.hparams["weight_decay"],
                resets=lambda step: self.hparams["vrex_penalty_anneal_iters"] == step - 1,
            )
        ]
