"""Concat: one linear classifier on the features of all modalities of an instance, side by side.

The multimodal baseline of ModalBed (https://arxiv.org/abs/2412.18277). `corrected`: each instance
meets its own label; `as_published` pairs rows and labels of different instances, as its code does.
ModalBed's momentum, patience and gamma have no effect on it and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mglib.registry import algorithms
from mglib.trials.algorithm import Batch, Task, cross_entropies
from mglib.trials.multimodal import Multimodal, in_slots, zero_absent
from mglib.trials.networks import StackedLinear, Streams, featurizer


@algorithms.register("concat")
class Concat(Multimodal):
    """Cross-entropy of a linear map of [f(x^1); ...; f(x^M)], f shared by the modalities.

    One unseen modality is copied into every slot for prediction, as ModalBed publishes it; a slot
    that is not present counts as zero features (ours).
    """

    title: ClassVar[str] = "Concat"
    version: ClassVar[int] = 2
    variants: ClassVar[tuple[str, ...]] = ("corrected", "as_published")
    defects: ClassVar[Mapping[str, str]] = {
        "as_published": "slots are filled from rows of other instances than their labels'"
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.featurizer = featurizer(streams, task.features)
        self.classifier = StackedLinear(streams, task.modalities * task.features, task.classes)

    def place(self, z: Tensor) -> Tensor:
        """What the classifier is given of the features z [T, M, N, D] of all slots: themselves."""
        return z

    def fuse(self, z: Tensor) -> Tensor:
        """Logits [T, N, C] of the features of all slots [T, M, N, D], side by side."""
        return self.classifier(z.transpose(1, 2).flatten(2))

    def shares(self, z: Tensor) -> Tensor:
        """What each slot adds to the logits, [T, M, N, C]; the bias is added once to their sum."""
        return z @ self.classifier.weight.unflatten(1, (self.task.modalities, -1))

    def slots(self, batch: Batch) -> Tensor:
        """Features z [T, M, B, D] of a minibatch in the slots that the variant puts them in."""
        return self.place(self.featurizer(in_slots(batch, self.variant == "as_published")))

    def added(self, batch: Batch) -> Tensor:
        """The `shares` of a minibatch that is placed as it is, [T, M, B, C], past its features."""
        weights = self.classifier.weight.unflatten(1, (self.task.modalities, -1))
        x = in_slots(batch, self.variant == "as_published")
        every = self.featurizer.through(weights.transpose(1, 2).flatten(2), x)
        own = every.unflatten(-1, (self.task.modalities, -1)).diagonal(dim1=1, dim2=3)
        return own.movedim(-1, 1)

    def risk(self, batch: Batch, logits: Tensor) -> Tensor:
        """Cross-entropy of logits [T, B, C] averaged over the B instances, [T]."""
        return batch.mean(cross_entropies(logits, batch.y[:, 0]).unsqueeze(1))

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy averaged over the B instances, [T]."""
        return self.risk(batch, self.added(batch).sum(1) + self.classifier.bias)

    def decide(self, z: Tensor, present: Tensor) -> Tensor:
        """Logits [T, N, C] of the features z [T, M, N, D] of the slots `present` [T, M]."""
        return self.fuse(zero_absent(z, present))

    def predict_slots(self, x: Tensor, present: Tensor) -> Tensor:
        """Logits [T, N, C] of the slots [T, M, N, D] that are `present` [T, M]."""
        return self.decide(self.place(self.featurizer(x)), present)

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, N, C] of one modality [T, N, D], copied into the slot of each training one."""
        copies = self.featurizer(x).unsqueeze(1).expand(-1, self.task.modalities, -1, -1)
        present = torch.ones(copies.shape[:2], dtype=torch.bool, device=x.device)
        return self.decide(self.place(copies), present)
