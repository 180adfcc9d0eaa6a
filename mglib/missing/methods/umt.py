"""UMT: uni-modal teachers first, then late fusion whose encoders imitate their features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mglib.missing.branches import Branches
from mglib.missing.late import LateFusion
from mglib.missing.method import MissingBatch, MissingTask
from mglib.missing.pretraining import losses_alone
from mglib.registry import Setting, missing_methods
from mglib.trials.algorithm import Phase
from mglib.trials.networks import Streams


@missing_methods.register("umt")
class UMT(LateFusion):
    """The loss of the fused answer + `weight` x sum over m of MSE(encoder m, frozen teacher m).

    Teachers learn alone in the share `pretraining` of the steps, the learner after that; with
    weight 0 it is `mean_fill` that begins then.
    Source: Du et al. 2021 (arXiv 2106.11059), whose teachers have runs of their own; the weight as
    in this library's benchmark (`umt` there). Ours: one run for both, squared errors on the rows
    that have the modality, the training mean for what is missing.
    """

    title = "UMT"
    settings = {
        "weight": Setting(float, 10.0, 0.0),
        "pretraining": Setting(float, 0.5, 0.0, 1.0, why="it is a share of the steps"),
    }

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        hidden = int(hparams["hidden"][0])
        self.teachers = Branches(streams, task.widths, hidden, task.outputs)

    def alone(self, batch: MissingBatch) -> Tensor:
        """The teachers' loss, [T]."""
        return losses_alone(self.teachers, batch, self.task.classes)

    def imitation(self, batch: MissingBatch) -> Tensor:
        """Squared errors of encoded features against the teachers', summed over modalities, [T]."""
        with torch.no_grad():
            taught = self.teachers.encode(batch.x)
        pairs = zip(self.branches.encode(batch.x), taught, strict=True)
        return torch.stack(
            [
                batch.mean((own - wanted).square().mean(-1), batch.seen[..., m])
                for m, (own, wanted) in enumerate(pairs)
            ]
        ).sum(0)

    def loss(self, batch: MissingBatch) -> Tensor:
        """The loss of the fused answer and imitation, [T]."""
        return super().loss(batch) + self.hparams["weight"] * self.imitation(batch)

    def phases(self) -> list[Phase]:
        """The teachers for their share of the steps, then the learner."""
        alone, together = super().phases()
        return [replace(alone, parameters=list(self.teachers.parameters())), together]
