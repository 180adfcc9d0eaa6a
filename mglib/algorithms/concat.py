"""Concat: one linear classifier on the features of all modalities of an instance, side by side.

The multimodal baseline of ModalBed (https://arxiv.org/abs/2412.18277). `corrected`: each instance
meets its own label (the published code pairs rows and labels of different instances).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Algorithm, Batch, Task, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform
from mglib.trials.networks import StackedLinear, Streams, featurizer


@algorithms.register("concat")
class Concat(Algorithm):
    """Cross-entropy of a linear map of [f(x^1); ...; f(x^M)], f shared by the modalities.

    One unseen modality is copied into every slot for prediction, as ModalBed publishes it.
    """

    title: ClassVar[str] = "Concat"
    aligned: ClassVar[bool] = True
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "lr": Hyperparameter(1e-3, log10_uniform(-4, -2)),
        "weight_decay": Hyperparameter(1e-4, log10_uniform(-4.5, -3.5)),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.featurizer = featurizer(streams, task.features)
        self.classifier = StackedLinear(streams, task.modalities * task.features, task.classes)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy averaged over the B instances, [T]."""
        z = self.featurizer(batch.x).transpose(1, 2).flatten(2)
        return batch.mean(cross_entropies(self.classifier(z), batch.y[:, 0]).unsqueeze(1))

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, N, C] of one modality [T, N, D], copied into the slot of each training one."""
        return self.classifier(self.featurizer(x).repeat(1, 1, self.task.modalities))
