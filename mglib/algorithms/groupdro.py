"""GroupDRO: the risk of the worst modality, by weights that follow the risks.

Sagawa et al. (2020), https://arxiv.org/abs/1911.08731, algorithm 1, with every modality a group,
in the form of DomainBed (https://arxiv.org/abs/2007.01434).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Batch, Task, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform
from mglib.trials.networks import Streams


@algorithms.register("groupdro")
class GroupDRO(ERM):
    """Cross-entropies of the modalities, weighted by q, which grows with exp(eta x risk).

    The weights q [T, M] sum to 1, begin equal and are kept from step to step; those of a step
    already hold its own risks. One modality alone is ERM.
    """

    title: ClassVar[str] = "GroupDRO"
    q: Tensor
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "groupdro_eta": Hyperparameter(1e-2, log10_uniform(-3, -1)),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.register_buffer("q", torch.full((len(streams), task.modalities), 1 / task.modalities))
        self._weights = self.q

    def loss(self, batch: Batch) -> Tensor:
        """Weighted sum of the modalities' risks, [T]."""
        risks = batch.means(cross_entropies(self.predict(batch.x), batch.y))
        growth = self.hparams["groupdro_eta"].unsqueeze(-1) * risks.detach()
        self._weights = (self.q.log() + growth).softmax(-1)
        return (self._weights * risks).sum(-1)

    def finish(self, batch: Batch) -> None:
        """Keep the weights that the step's loss was taken with."""
        self.q.copy_(self._weights)
