"""What multimodal learners share: a slot for each training modality, and ways to fill the slots."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from mglib.trials.algorithm import COMMON_SEARCH, Algorithm, Batch, Phase
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform

# ModalBed's ranges for multimodal learners, whose weight decay has a name of its own.
MULTIMODAL_SEARCH: dict[str, Hyperparameter] = {
    "lr": Hyperparameter(1e-3, log10_uniform(-4, -2)),
    "wc": Hyperparameter(1e-4, log10_uniform(-4.5, -3.5)),
    "batch_size": COMMON_SEARCH["batch_size"],
}


class Multimodal(Algorithm):
    """A learner that sees all training modalities of one instance at once, each in its slot.

    A subclass gives `predict_slots`. An unseen modality has no slot: `predict` copies it into every
    one, as ModalBed publishes it; `predict_by_slot` is the mean over the slots, ours.
    """

    aligned: ClassVar[bool] = True
    search: ClassVar[Mapping[str, Hyperparameter]] = MULTIMODAL_SEARCH

    @abstractmethod
    def predict_slots(self, x: Tensor, present: Tensor) -> Tensor:
        """Logits [T, N, C] of features [T, M, N, D], one in each slot; `present` bool [T, M].

        A slot that is not present holds zeros and must have no influence.
        """

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, N, C] of one modality [T, N, D], copied into the slot of each training one."""
        slots = self.task.modalities
        present = torch.ones(len(x), slots, dtype=torch.bool, device=x.device)
        return self.predict_slots(x.unsqueeze(1).expand(-1, slots, -1, -1), present)

    def predict_by_slot(self, x: Tensor) -> Tensor:
        """Mean over slots of the logits of one modality [T, N, D] in that slot alone: [T, N, C]."""
        slots = self.task.modalities
        total = torch.zeros(())
        for slot in range(slots):
            present = torch.zeros(len(x), slots, dtype=torch.bool, device=x.device)
            present[:, slot] = True
            filled = torch.zeros(len(x), slots, *x.shape[1:], dtype=x.dtype, device=x.device)
            filled[:, slot] = x
            total = total.to(x) + self.predict_slots(filled, present)
        return total / slots

    def predict_together(self, x: Tensor, slots: Tensor) -> Tensor:
        """Log-probabilities [T, N, C] of K modalities of the same instances, x [T, K, N, D].

        Modalities that have a slot (`slots` [T, K], -1: none) are seen together, an unseen one by
        itself; the mean gives the former as many votes as there are of them (ours).
        """
        trials = torch.arange(len(x), device=x.device)
        filled = x.new_zeros(len(x), self.task.modalities, *x.shape[2:])
        present = torch.zeros(filled.shape[:2], dtype=torch.bool, device=x.device)
        for k in range(x.shape[1]):
            known = slots[:, k] >= 0
            filled[trials[known], slots[known, k]] = x[known, k]
            present[trials[known], slots[known, k]] = True
        votes = present.sum(1)[:, None, None]
        total = votes * self.predict_slots(filled, present).log_softmax(-1)
        for k in range(x.shape[1]):
            if (unseen := slots[:, k] < 0).any():
                total = total + unseen[:, None, None] * self.predict(x[:, k]).log_softmax(-1)
        return total / x.shape[1]

    def phases(self) -> list[Phase]:
        """One optimiser on the loss: SGD for a method with a `momentum`, else Adam."""
        own = {name: self.hparams[name] for name in ("momentum",) if name in self.hparams}
        return [
            Phase(
                list(self.parameters()),
                self.loss,
                self.hparams["lr"],
                self.hparams["wc"],
                "sgd" if own else "adam",
                own,
            )
        ]


def each_slot(networks: nn.ModuleList, x: Tensor) -> Tensor:
    """Each slot's own network applied to it: [T, M, N, ...] -> [T, M, N, ...]."""
    own = zip(networks, x.unbind(1), strict=True)
    return torch.stack([network(slot) for network, slot in own], 1)


def zero_absent(z: Tensor, present: Tensor) -> Tensor:
    """Features or logits [T, M, N, ...] with zeros in the slots that are not `present` [T, M]."""
    return torch.where(present[:, :, None, None], z, 0)


def mean_of_present(logits: Tensor, present: Tensor) -> Tensor:
    """The mean over the slots `present` [T, M] of their own logits [T, M, N, C]: [T, N, C]."""
    count = present.sum(1).clamp(min=1).view(-1, 1, 1)
    return zero_absent(logits, present).sum(1) / count


def published_rows(x: Tensor) -> Tensor:
    """The rows that ModalBed's code gives each slot, of an aligned minibatch [T, M, B, D].

    Its list of rows interleaves the modalities: row r is instance r // M in modality r mod M. Slot
    i takes the rows i, i + 1, ..., i + B - 1 instead of every M-th from i on, while the labels are
    those of instances 0 to B - 1. Of two modalities or more, only the first row is wholly right.
    """
    modalities, rows = x.shape[1], x.shape[2]
    taken = torch.arange(modalities, device=x.device)[:, None] + torch.arange(rows, device=x.device)
    return x[:, taken % modalities, taken // modalities]


def in_slots(batch: Batch, published: bool) -> Tensor:
    """The features of a minibatch in their slots [T, M, B, D]: as they belong, or as published."""
    return published_rows(batch.x) if published else batch.x
