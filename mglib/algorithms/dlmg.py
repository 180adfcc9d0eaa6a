"""DLMG: fit the labels and, early in training, close the gap between what the modalities say.

Yang et al. (2024), "Facilitating multimodal classification via dynamically learning modality gap",
https://papers.nips.cc/paper_files/paper/2024/hash/71b17f00017da0d73823ccf7fbce2d4f-Abstract-Conference.html
(code njustkmg/NeurIPS24-LFM), named DLMG in ModalBed's tables (https://arxiv.org/abs/2412.18277)
and LFM in its code. The authors fix the balance by a schedule or learn it by bilevel optimisation;
ours is the schedule, as in ModalBed. `corrected` compares what the modalities predict, as the
authors' code of the learned balance; ModalBed compares features. Its patience and gamma have no
effect and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mglib.algorithms.concat import Concat
from mglib.registry import algorithms
from mglib.trials.algorithm import Batch
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform, uniform
from mglib.trials.multimodal import MULTIMODAL_SEARCH, mean_of_present

FEATURES = "the gap is measured between features and not between what the modalities predict"


def gap(logits: Tensor) -> Tensor:
    """KL(m || p) / 2 + KL(m || q) / 2 for each pair of slots: [T, M, N, K] -> [T, pairs, N].

    p and q are the softmax of the two slots over the last axis, m their mean (as in the code of the
    authors and of ModalBed; Jensen and Shannon's divergence has the arguments the other way round).
    """
    slots = logits.log_softmax(-1)
    first, second = torch.triu_indices(slots.shape[1], slots.shape[1], 1, device=slots.device)
    p, q = slots[:, first], slots[:, second]
    middle = torch.logaddexp(p, q) - torch.log(slots.new_tensor(2.0))
    return (middle.exp() * (middle - (p + q) / 2)).sum(-1)


@algorithms.register("dlmg")
class DLMG(Concat):
    """2 a J + 2 (1 - a) CE by SGD: CE of the mean of the modalities' logits, J their mean `gap`.

    a falls as exp(-0.3 epoch) from 0.95 to 0.05. The logits of modality m are M W_m f(x^m) + b, so
    that their mean is what Concat's classifier says (ours; the authors have a head for each).
    `as_published` is a J + (1 - a) CE with J between features. Only slots that are present count.
    """

    title: ClassVar[str] = "DLMG"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("corrected", "aligned_rows", "as_published")
    defects: ClassVar[Mapping[str, str]] = {
        "aligned_rows": FEATURES,
        "as_published": f"{Concat.defects['as_published']}; {FEATURES}",
    }
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **MULTIMODAL_SEARCH,
        "lr": Hyperparameter(1e-3, log10_uniform(-4, -2), "rate"),
        "momentum": Hyperparameter(0.9, uniform(0.85, 0.95)),
    }

    def balance(self, step: int) -> Tensor:
        """The weight a of the gap at a step, [T]."""
        rows = self.hparams["batch_size"]
        instances = self.task.class_counts.sum(1).to(rows)
        # ModalBed counts updates from 0.
        epoch = (step - 1) * rows / instances
        return torch.exp(-0.3 * epoch).clamp(0.05, 0.95)

    def by_slot(self, shares: Tensor) -> Tensor:
        """The logits [T, M, N, C] that each slot gives alone, from what it adds to those of all."""
        return self.task.modalities * shares + self.classifier.bias.unsqueeze(1)

    def loss(self, batch: Batch) -> Tensor:
        """Gap and cross-entropy in the balance of the step, [T]."""
        corrected = self.variant == "corrected"
        slots = self.by_slot(self.added(batch)) if corrected else self.slots(batch)
        risk = self.risk(batch, slots.mean(1) if corrected else self.fuse(slots))
        apart = torch.zeros_like(risk)
        if self.task.modalities > 1:
            apart = batch.mean(gap(slots))
        weight = self.balance(batch.step)
        return (2 if corrected else 1) * (weight * apart + (1 - weight) * risk)

    def decide(self, z: Tensor, present: Tensor) -> Tensor:
        """Logits [T, N, C] of the features z [T, M, N, D] of the slots `present` [T, M]."""
        if self.variant == "corrected":
            return mean_of_present(self.by_slot(self.shares(z)), present)
        return super().decide(z, present)
