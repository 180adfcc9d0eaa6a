"""ShaSpec: features shared by all modalities and specific ones; shared ones stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mglib.missing.branches import Branches, drop
from mglib.missing.heads import Answerer, head
from mglib.missing.late import ramped
from mglib.missing.method import Features, MissingBatch, MissingMethod, MissingTask, hide, losses
from mglib.registry import Setting, missing_methods
from mglib.trials.algorithm import cross_entropies
from mglib.trials.networks import StackedLinear, Streams


@missing_methods.register("shaspec")
class ShaSpec(MissingMethod):
    """Of a seen modality r + W[r; s], of others the shared features r of the seen ones, decoded.

    The loss adds `alignment` x L1 distances of shared features around a ring of modalities and
    `identity` x cross-entropy of telling the modality from its specific features s, where seen.
    Source: Wang et al. 2023 (arXiv 2307.14126) and its code (billhhh/ShaSpec), whose "first" seen
    modality stands in for the paper's `stand_in` "mean"; dropping more and more is its authors'
    advice (#7 there). Ours: a linear map of every modality to one width before the shared encoder,
    one layer for each encoder and a perceptron as decoder; rates; a ring of two is one pair.
    """

    title = "ShaSpec"
    settings = {
        "alignment": Setting(float, 0.1, 0.0),
        "identity": Setting(float, 0.02, 0.0),
        "stand_in": Setting(str, "mean", words=("mean", "first")),
        "probability": Setting(float, 0.5, 0.0, 1.0),
        "schedule": Setting(str, "ramp", words=("constant", "ramp")),
    }

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        hidden, modalities = int(hparams["hidden"][0]), task.modalities
        self.specific = Branches(streams, task.widths, hidden)
        self.projections = Branches(streams, task.widths, hidden)
        self.shared = StackedLinear(streams, hidden, hidden)
        self.composed = StackedLinear(streams, 2 * hidden, hidden)
        self.decoder = Answerer(streams, [modalities * hidden, hidden, task.outputs])
        self.identity = head(streams, hidden, modalities)

    def features(self, x: Features) -> tuple[list[Tensor], list[Tensor]]:
        """Shared and specific features by modality, each [T, B, H]."""
        projected = [layer(own) for layer, own in zip(self.projections.encoders, x, strict=True)]
        return [self.shared(own).relu() for own in projected], self.specific.encode(x)

    def compose(self, shared: Sequence[Tensor], specific: Sequence[Tensor]) -> list[Tensor]:
        """What stands for each modality that is seen, each [T, B, H]."""
        pairs = zip(shared, specific, strict=True)
        return [r + self.composed(torch.cat([r, s], -1)) for r, s in pairs]

    def encode(self, x: Features) -> list[Tensor]:
        """Shared and specific features of each modality as one, each [T, N, H]."""
        return self.compose(*self.features(x))

    def decode(self, shared: Sequence[Tensor], specific: Sequence[Tensor], seen: Tensor) -> Tensor:
        """The answer [T, B, C] of shared and specific features by modality, each [T, B, H]."""
        weight = seen.to(shared[0])
        if self.own["stand_in"] == "first":
            weight = weight * (weight.cumsum(-1) == 1)
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1)
        general = (torch.stack([*shared], -1) * weight[:, :, None]).sum(-1)
        parts = [
            torch.where(seen[..., m, None], own, general)
            for m, own in enumerate(self.compose(shared, specific))
        ]
        answer: Tensor = self.decoder(torch.cat(parts, -1))
        return answer

    def distances(self, batch: MissingBatch, shared: Sequence[Tensor], seen: Tensor) -> Tensor:
        """Mean absolute differences of shared features summed around the ring, [T]."""
        modalities = len(shared)
        total = torch.zeros_like(self.hparams["lr"])
        for m in range(modalities if modalities > 2 else modalities - 1):
            after = (m + 1) % modalities
            apart = (shared[m] - shared[after]).abs().mean(-1)
            total = total + batch.mean(apart, seen[..., m] & seen[..., after])
        return total

    def confusion(self, batch: MissingBatch, specific: Sequence[Tensor], seen: Tensor) -> Tensor:
        """Cross-entropy of telling the modality, over all that is seen, [T]."""
        told = self.identity(torch.stack([*specific], 2))
        truth = torch.arange(len(specific), device=seen.device).expand(seen.shape)
        weight = batch.used[..., None] * seen
        each = cross_entropies(told, truth) * weight
        return each.flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1)

    def loss(self, batch: MissingBatch) -> Tensor:
        """The loss of the answer with modalities dropped, alignment and identity, [T]."""
        rate = ramped(self.own["schedule"], batch.step, self.task.steps)
        seen = drop(
            batch.seen, batch.noise["seed"], self.hparams["probability"] * rate, "independent"
        )
        shared, specific = self.features(hide(batch.x, seen))
        answers = self.decode(shared, specific, seen)
        task = batch.mean(losses(answers, batch.y, self.task.classes), batch.seen.any(-1))
        aligned = self.hparams["alignment"] * self.distances(batch, shared, seen)
        return task + aligned + self.hparams["identity"] * self.confusion(batch, specific, seen)

    def answer(self, x: Features, seen: Tensor) -> Tensor:
        """What the decoder says, [T, N, C]."""
        return self.decode(*self.features(x), seen)
