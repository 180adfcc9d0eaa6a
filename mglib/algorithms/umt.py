"""UMT: uni-modal teachers, whose features the encoders of a multimodal learner imitate.

Du et al. (2021), https://arxiv.org/abs/2106.11059; the mean squared error and its weight as in
GeWu-Lab/BalanceBenchmark. There teachers are trained in runs of their own; ours learn in the same
run, for its first `umt_teacher_steps` steps, while the learner does without them; from then on they
are frozen and imitated. Ours, too: a featurizer of ModalBed (https://arxiv.org/abs/2412.18277) as
each encoder, the search ranges, and zero features for a slot that is not present.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from mglib.algorithms.late_average import Unimodal
from mglib.registry import algorithms
from mglib.trials.algorithm import Batch, Phase, Task, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform, whole_log10_uniform
from mglib.trials.multimodal import MULTIMODAL_SEARCH, Multimodal, each_slot, zero_absent
from mglib.trials.networks import StackedLinear, Streams, featurizer


@algorithms.register("umt")
class UMT(Multimodal):
    """CE of a linear map of [f_1(x^1); ...; f_M(x^M)] + umt_lambda x sum_m MSE(f_m, taught f_m)."""

    title: ClassVar[str] = "UMT"
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **MULTIMODAL_SEARCH,
        "umt_lambda": Hyperparameter(10.0, log10_uniform(0, 2)),
        "umt_teacher_steps": Hyperparameter(1500, whole_log10_uniform(3, 3.5), "iterations"),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.featurizers = nn.ModuleList(
            featurizer(streams, task.features) for _ in range(task.modalities)
        )
        self.classifier = StackedLinear(streams, task.modalities * task.features, task.classes)
        self.teachers = Unimodal(task, streams)

    def fuse(self, z: Tensor) -> Tensor:
        """Logits [T, N, C] of the features of all slots [T, M, N, D], side by side."""
        return self.classifier(z.transpose(1, 2).flatten(2))

    def teaching(self, step: int) -> Tensor:
        """Whether the teachers are frozen and imitated at a step, bool [T]."""
        return step > self.hparams["umt_teacher_steps"]

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy over the B instances and, from frozen teachers, imitation, [T]."""
        z = each_slot(self.featurizers, batch.x)
        risk = batch.mean(cross_entropies(self.fuse(z), batch.y[:, 0]).unsqueeze(1))
        with torch.no_grad():
            taught = self.teachers.features(batch.x)
        imitation = batch.means((z - taught).square().mean(-1)).sum(-1)
        weight = torch.where(self.teaching(batch.step), self.hparams["umt_lambda"], 0.0)
        return risk + weight * imitation

    def phases(self) -> list[Phase]:
        """Adam for the teachers until they are frozen, and Adam for the learner."""
        lr, decay = self.hparams["lr"], self.hparams["wc"]
        learner = [*self.featurizers.parameters(), *self.classifier.parameters()]
        return [
            Phase(
                list(self.teachers.parameters()),
                self.teachers.loss,
                lr,
                decay,
                active=lambda step: ~self.teaching(step),
            ),
            Phase(learner, self.loss, lr, decay),
        ]

    def predict_slots(self, x: Tensor, present: Tensor) -> Tensor:
        """Logits [T, N, C] of the slots [T, M, N, D] that are `present` [T, M]."""
        return self.fuse(zero_absent(each_slot(self.featurizers, x), present))
