"""Late average: a learner for each modality, trained alone; at test their logits are averaged.

The uni-modal ensemble (UME) of Du et al. (2023), https://arxiv.org/abs/2305.01233, with ModalBed's
featurizer (https://arxiv.org/abs/2412.18277) as each encoder. No modality ever sees another in
training, so the minibatches of different modalities need not show the same instances. Ours: the
hyper-parameters, which are those of Concat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from mglib.registry import algorithms
from mglib.trials.algorithm import Batch, Task, cross_entropies
from mglib.trials.multimodal import Multimodal, each_slot, mean_of_present
from mglib.trials.networks import StackedLinear, StackedMLP, Streams, featurizer


class Unimodal(nn.Module):
    """A featurizer and a linear classifier for each slot; nothing is shared."""

    def __init__(self, task: Task, streams: Streams):
        super().__init__()
        self.featurizers, self.heads = nn.ModuleList(), nn.ModuleList()
        for _ in range(task.modalities):
            self.featurizers.append(featurizer(streams, task.features))
            self.heads.append(StackedLinear(streams, task.features, task.classes))

    def features(self, x: Tensor) -> Tensor:
        """Features [T, M, N, D] of the slots [T, M, N, D]."""
        return each_slot(self.featurizers, x)

    def forward(self, x: Tensor) -> Tensor:
        """Each slot's own logits, [T, M, N, C]."""
        pairs = cast(
            list[tuple[StackedMLP, StackedLinear]],
            [*zip(self.featurizers, self.heads, strict=True)],
        )
        own = zip(pairs, x.unbind(1), strict=True)
        return torch.stack([body.into(head, slot) for (body, head), slot in own], 1)

    def loss(self, batch: Batch) -> Tensor:
        """The sum of the slots' cross-entropies [T]: each learns as if it were alone."""
        return batch.means(cross_entropies(self(batch.x), batch.y)).sum(-1)


@algorithms.register("late_average")
class LateAverage(Multimodal):
    """One ERM for each training modality; the mean of the logits of those that are present."""

    title: ClassVar[str] = "Late average"
    aligned: ClassVar[bool] = False

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.learners = Unimodal(task, streams)

    def loss(self, batch: Batch) -> Tensor:
        """The sum of the learners' cross-entropies, [T]."""
        return self.learners.loss(batch)

    def predict_slots(self, x: Tensor, present: Tensor) -> Tensor:
        """Logits [T, N, C] of the slots [T, M, N, D] that are `present` [T, M]."""
        return mean_of_present(self.learners(x), present)
