"""Mixup between modalities: rows of two modalities and their labels, blended.

Zhang et al. (2018), https://arxiv.org/abs/1710.09412, between domains as in DomainBed
(https://arxiv.org/abs/2007.01434). `corrected` blends the inputs, as there; `as_published` blends
the logits, as ModalBed's code does (https://arxiv.org/abs/2412.18277).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Algorithm, Batch, Task, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform
from mglib.trials.networks import StackedLinear, Streams, featurizer


@algorithms.register("mixup")
class Mixup(Algorithm):
    """Cross-entropy of blended rows against both labels, weighted as the rows were.

    Each modality is paired with the next one of a random cycle, rows by their position in the
    minibatch; one share ~ Beta(mixup_alpha, mixup_alpha) for each pair. One modality alone is
    paired with itself, which is ERM.
    """

    title: ClassVar[str] = "Mixup"
    variants: ClassVar[tuple[str, ...]] = ("corrected", "as_published")
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "mixup_alpha": Hyperparameter(0.2, log10_uniform(-1, 1)),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.featurizer = featurizer(streams, task.features)
        self.classifier = StackedLinear(streams, task.features, task.classes)

    @classmethod
    def noise(
        cls,
        random: np.random.Generator,
        values: Mapping[str, float],
        modalities: int,
        rows: int,
        steps: int,
    ) -> dict[str, np.ndarray]:
        """A cycle of the modalities and the share of each one's own rows, [steps, M] each."""
        alpha = values["mixup_alpha"]
        cycles = np.tile(np.arange(modalities), (steps, 1))
        return {
            "cycle": random.permuted(cycles, axis=1),
            "share": random.beta(alpha, alpha, (steps, modalities)).astype(np.float32),
        }

    def loss(self, batch: Batch) -> Tensor:
        """Blended cross-entropy averaged over pairs and rows, [T]."""
        cycle = batch.noise["cycle"]
        share = batch.noise["share"].unsqueeze(-1)
        trials = torch.arange(len(cycle), device=cycle.device).unsqueeze(-1)
        partner = cycle.roll(-1, 1)
        own, other = batch.y[trials, cycle], batch.y[trials, partner]
        blended = self.predict(batch.x) if self.variant == "as_published" else batch.x
        blended = (
            share.unsqueeze(-1) * blended[trials, cycle]
            + (1 - share.unsqueeze(-1)) * blended[trials, partner]
        )
        logits = blended if self.variant == "as_published" else self.predict(blended)
        losses = share * cross_entropies(logits, own) + (1 - share) * cross_entropies(logits, other)
        return batch.mean(losses)

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D]."""
        return self.featurizer.into(self.classifier, x)
