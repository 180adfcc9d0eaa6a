"""CondCAD: a contrastive bottleneck that hides the modality among rows of one class.

Ruan et al. (2022), https://arxiv.org/abs/2201.00057, conditional and in its flipped form, without
normalisation or projection, as in DomainBed (https://arxiv.org/abs/2007.01434) and ModalBed
(https://arxiv.org/abs/2412.18277).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Batch, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, choice

BASE_TEMPERATURE = 0.07


def log_sums(values: Tensor, chosen: Tensor) -> Tensor:
    """Logarithm of the sum of exponentials of the chosen values [T, n, n]: [T, n].

    A row of which nothing is chosen gets a number without meaning or gradient.
    """
    masked = torch.where(chosen, values, -torch.inf)
    return torch.where(chosen.any(-1, keepdim=True), masked, 0.0).logsumexp(-1)


def bottleneck(z: Tensor, y: Tensor, used: Tensor, temperature: Tensor) -> Tensor:
    """How surely a row's similar rows of its own class are of its own modality, [T].

    Minus the logarithm of the share that other modalities have in the exponential similarities
    z_i . z_j / temperature to the other rows of the class, scaled by temperature / 0.07; its mean
    over the rows that have such rows elsewhere, 0 without any. Features [T, M, B, D], labels
    [T, M, B], rows in use [T, 1, B], temperature [T].
    """
    flat, label = z.flatten(1, 2), y.flatten(1)
    real = used.expand_as(y).flatten(1) > 0
    place = torch.arange(label.shape[1], device=y.device)
    modality = place // y.shape[2]
    similarity = flat @ flat.mT / temperature[:, None, None]
    alike = label.unsqueeze(2) == label.unsqueeze(1)
    alike = alike & (place[:, None] != place) & real.unsqueeze(1) & real.unsqueeze(2)
    elsewhere = alike & (modality[:, None] != modality)
    losses = log_sums(similarity, alike) - log_sums(similarity, elsewhere)
    valid = elsewhere.any(-1)
    total = torch.where(valid, losses, 0.0).sum(-1)
    return temperature / BASE_TEMPERATURE * total / valid.sum(-1).clamp(min=1)


@algorithms.register("condcad")
class CondCAD(ERM):
    """Mean cross-entropy plus `lmbda` times the bottleneck; one modality alone is ERM."""

    title: ClassVar[str] = "CondCAD"
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "lmbda": Hyperparameter(0.1, choice(1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)),
        "temperature": Hyperparameter(0.1, choice(0.05, 0.1)),
    }

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy plus the weighted bottleneck, [T]."""
        z = self.featurizer(batch.x)
        risk = batch.mean(cross_entropies(self.classifier(z), batch.y))
        hidden = bottleneck(z, batch.y, batch.used, self.hparams["temperature"])
        return risk + self.hparams["lmbda"] * hidden
