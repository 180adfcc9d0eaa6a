"""MMIN: a cascade of residual autoencoders imagines the embeddings of what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from mglib.missing.branches import uniform_subsets
from mglib.missing.cascade import Cascade
from mglib.missing.heads import Answerer
from mglib.missing.method import Features, MissingBatch, MissingMethod, MissingTask, losses
from mglib.registry import Setting, missing_methods
from mglib.trials.algorithm import Phase
from mglib.trials.networks import StackedLinear, Streams


@missing_methods.register("mmin")
class MMIN(MissingMethod):
    """Embeddings with zeros for what is missing go through a cascade, whose codes are classified.

    For `pretraining`, a share of the steps, encoders and a classifier learn on all that is seen;
    a copy of these encoders is the teacher from then on. Loss: task + `reconstruction` * squared
    error to the teacher's embeddings of what was taken away, zeros for what was not, + `cycle` *
    squared error of a second cascade that leads back to its input.
    Source: Zhao, Li and Jin 2021 (MMIN, doi 10.18653/v1/2021.acl-long.203) and its code: 5 blocks
    256-128-64 for embeddings of 128, weights 4 and 2, equal phases. Ours: encoders are one layer
    on features and blocks scale with its width; zeros in the embeddings, not in the input; what
    is really absent has no target and does not count; no dropout.
    """

    title = "MMIN"
    settings = {
        "pretraining": Setting(float, 0.5, 0.0, 1.0, why="it is a share of the steps"),
        "reconstruction": Setting(float, 4.0, 0.0),
        "cycle": Setting(float, 2.0, 0.0),
        "blocks": Setting(int, 5, 1, 16),
    }

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        hidden, blocks = int(hparams["hidden"][0]), self.own["blocks"]
        width, layers = task.modalities * hidden, [2 * hidden, hidden, max(2, hidden // 2)]
        self.encoders = nn.ModuleList(StackedLinear(streams, own, hidden) for own in task.widths)
        self.first = Answerer(streams, [width, hidden, task.outputs])
        self.ahead, self.back = (Cascade(streams, width, layers, blocks) for _ in range(2))
        self.classifier = Answerer(streams, [blocks * layers[-1], hidden, task.outputs])
        self.teacher = deepcopy(self.encoders).requires_grad_(False)

    def embed(self, encoders: nn.ModuleList, x: Features, seen: Tensor) -> Tensor:
        """Embeddings side by side [T, B, M * H], zeros where a modality is not seen."""
        z = [encoder(own).relu() for encoder, own in zip(encoders, x, strict=True)]
        return torch.cat([torch.where(seen[..., m, None], own, 0) for m, own in enumerate(z)], -1)

    def encode(self, x: Features) -> list[Tensor]:
        """Encoded features by modality, [T, N, H]."""
        return [encoder(own).relu() for encoder, own in zip(self.encoders, x, strict=True)]

    def pretrain(self, batch: MissingBatch) -> Tensor:
        """The loss of encoders and their own classifier on all that is seen, [T]."""
        answers = self.first(self.embed(self.encoders, batch.x, batch.seen))
        return batch.mean(losses(answers, batch.y, self.task.classes), batch.seen.any(-1))

    def loss(self, batch: MissingBatch) -> Tensor:
        """Task, imagination and the way back, on rows with something taken away, [T]."""
        seen = uniform_subsets(batch.seen, batch.noise["seed"], proper=True)
        taken, rows = batch.seen & ~seen, batch.seen.any(-1)
        embedded = self.embed(self.encoders, batch.x, seen)
        made, codes = self.ahead(embedded)
        returned, _ = self.back(made)
        known = batch.seen.repeat_interleave(made.shape[-1] // seen.shape[-1], -1)
        missed = ((made - self.embed(self.teacher, batch.x, taken)) ** 2 * known).sum(-1)
        missed = missed / known.sum(-1).clamp(min=1)
        cycle = ((returned - embedded.detach()) ** 2).mean(-1)
        answers = self.classifier(codes)
        return (
            batch.mean(losses(answers, batch.y, self.task.classes), rows)
            + self.hparams["reconstruction"] * batch.mean(missed, rows)
            + self.hparams["cycle"] * batch.mean(cycle, rows)
        )

    def answer(self, x: Features, seen: Tensor) -> Tensor:
        """The answer of the codes, [T, N, C]."""
        _, codes = self.ahead(self.embed(self.encoders, x, seen))
        answer: Tensor = self.classifier(codes)
        return answer

    @property
    def edge(self) -> Tensor:
        """The last step of pretraining, [T]."""
        return torch.round(self.hparams["pretraining"] * self.task.steps)

    def phases(self) -> list[Phase]:
        """Encoders first, then with the cascades."""
        edge, (plain,) = self.edge, super().phases()
        first = [*self.encoders.parameters(), *self.first.parameters()]
        after = [self.encoders, self.ahead, self.back, self.classifier]
        rest = [parameter for part in after for parameter in part.parameters()]
        return [
            replace(plain, parameters=first, loss=self.pretrain, active=lambda step: edge >= step),
            replace(plain, parameters=rest, loss=self.loss, active=lambda step: edge < step),
        ]

    def finish(self, batch: MissingBatch) -> None:
        """Copy the encoders to the teacher where pretraining has just ended."""
        now = (self.edge == batch.step)[:, None, None]
        for own, learned in zip(self.teacher.parameters(), self.encoders.parameters(), strict=True):
            own.copy_(torch.where(now, learned, own))
