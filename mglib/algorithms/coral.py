"""CORAL: features with the same mean and covariance in every modality.

Sun and Saenko (2016), https://arxiv.org/abs/1607.01719, between domains as in DomainBed
(https://arxiv.org/abs/2007.01434), which matches the means, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Batch, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform


def moment_gap(z: Tensor, used: Tensor) -> Tensor:
    """Squared gaps of means and of unbiased covariances, averaged over entries and pairs: [T].

    Features [T, M, B, D], rows in use [T, 1, B]; 0 for one modality alone. The covariances'
    inner products are those of the rows' Gram matrices, which are D/B times smaller.
    """
    modalities, width = z.shape[1], z.shape[-1]
    kept, rows = used.unsqueeze(-1), used.sum((-2, -1))
    means = (z * kept).sum(-2) / rows[:, None, None]
    centred = (z - means.unsqueeze(-2)) * kept
    flat = centred.flatten(1, 2)
    grams = (flat @ flat.mT).view(*z.shape[:3], *z.shape[1:3])
    products = grams.square().sum((2, 4)) / (rows - 1).clamp(min=1)[:, None, None].square()
    gap = torch.zeros_like(rows)
    pairs = list(combinations(range(modalities), 2))
    for i, j in pairs:
        covariances = products[:, i, i] + products[:, j, j] - 2 * products[:, i, j]
        gap = gap + (means[:, i] - means[:, j]).square().mean(-1) + covariances / width**2
    return gap / max(len(pairs), 1)


@algorithms.register("coral")
class CORAL(ERM):
    """Mean cross-entropy plus `mmd_gamma` times the gap between the modalities' moments."""

    title: ClassVar[str] = "CORAL"
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "mmd_gamma": Hyperparameter(1.0, log10_uniform(-1, 1)),
    }

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy plus the weighted gap, [T]."""
        z = self.featurizer(batch.x)
        risk = batch.mean(cross_entropies(self.classifier(z), batch.y))
        return risk + self.hparams["mmd_gamma"] * moment_gap(z, batch.used)
