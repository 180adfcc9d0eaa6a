"""Empirical risk minimisation: cross-entropy over the rows of all training modalities alike.

Vapnik (1998), in the form of DomainBed (https://arxiv.org/abs/2007.01434) and ModalBed
(https://arxiv.org/abs/2412.18277): one featurizer and one linear classifier shared by modalities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from mglib.registry import algorithms
from mglib.trials.algorithm import Algorithm, Batch, Task, cross_entropies
from mglib.trials.networks import StackedLinear, Streams, featurizer


@algorithms.register("erm")
class ERM(Algorithm):
    """Mean cross-entropy over M x B rows; the classifier sees one modality at a time."""

    title: ClassVar[str] = "ERM"

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.featurizer = featurizer(streams, task.features)
        self.classifier = StackedLinear(streams, task.features, task.classes)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy averaged over the rows of every modality, [T]."""
        return batch.mean(cross_entropies(self.predict(batch.x), batch.y))

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D]."""
        return self.featurizer.into(self.classifier, x)
