"""MMANet: a student of any subset, taught by a teacher of all and pressed where it is weak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from mglib.errors import MglibError
from mglib.missing.branches import Masked, uniform_subsets
from mglib.missing.method import Features, MissingBatch, MissingMethod, MissingTask
from mglib.registry import Setting, missing_methods
from mglib.trials.algorithm import Phase, cross_entropies
from mglib.trials.networks import Streams


@missing_methods.register("mmanet")
class MMANet(MissingMethod):
    """A student learns under uniform subsets of what is seen; a teacher, from all that is seen.

    After the share `pretraining` of the steps the teacher is frozen, the loss adds `distillation`
    x squared distances of rows of Gram matrices of a minibatch, weighted by shares of the teacher's
    entropy, and `weak` x each seen modality's own cross-entropy in rows within the weak subset: the
    one of M - 1 modalities whose mean answer is farthest from that of all (Kullback-Leibler).
    Source: Wei et al. 2023 (arXiv 2304.08028) and its code, whose teacher has a run of its own, and
    which looks for the weak subset in test data. Ours: the training part; mean probabilities for
    counts of answers; a head for each modality for one network of all.
    """

    title = "MMANet"
    settings = {
        "pretraining": Setting(float, 0.5, 0.0, 1.0, why="it is a share of the steps"),
        "distillation": Setting(float, 30.0, 0.0),
        "weak": Setting(float, 0.5, 0.0),
    }

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        hidden = int(hparams["hidden"][0])
        self.student = Masked(streams, task.widths, hidden, task.outputs, heads=True)
        self.teacher = Masked(streams, task.widths, hidden, task.outputs)
        self.edge = torch.round(hparams["pretraining"] * task.steps)
        self.without: Tensor  # the modality that the weak subset leaves out
        self.register_buffer("without", torch.zeros(len(streams), dtype=torch.int64))
        self.taken: Tensor
        self.register_buffer("taken", torch.zeros(len(streams)))

    @classmethod
    def check_task(cls, modalities: int, classes: int) -> None:
        """It weighs by entropies, and compares subsets."""
        if not classes or modalities < 2:
            raise MglibError(
                "mmanet is for classes, not real answers, and for 2 or more modalities"
            )

    def fits_at(self) -> Sequence[int]:
        """The weak subset is found where the teacher is frozen."""
        return sorted({int(edge) for edge in self.edge.tolist()})

    def fit(self, x: Features, seen: Tensor, y: Tensor) -> None:
        """Find the weak subset of the trials that are there."""
        rows = (seen.sum(-1, keepdim=True) > 1).float()

        def mean(kept: Tensor) -> Tensor:
            said = self.student(x, kept)[1].softmax(-1)
            return ((said * rows).sum(1) / rows.sum(1).clamp(min=1)).clamp(min=1e-12)

        whole, apart = mean(seen), []
        for without in range(self.task.modalities):
            kept = seen.clone()
            kept[..., without] = False
            part = mean(kept)
            apart.append((part * (part.log() - whole.log())).sum(-1))
        farthest = torch.stack(apart, -1).argmax(-1)
        self.without.copy_(torch.where(self.taken == self.edge, farthest, self.without))

    def finish(self, batch: MissingBatch) -> None:
        """Count the step."""
        self.taken.fill_(batch.step)

    def distilled(self, batch: MissingBatch, features: Tensor, rows: Tensor) -> Tensor:
        """Distances of rows of Gram matrices, weighted by the teacher's entropy, [T]."""
        with torch.no_grad():
            taught, said = self.teacher(batch.x, batch.seen)
            unsure = -(said.softmax(-1) * said.log_softmax(-1)).sum(-1) * rows
            share = unsure / unsure.sum(-1, keepdim=True).clamp(min=1e-12)
        own, wanted = (gram(z * rows[..., None]) for z in (features, taught))
        return ((own - wanted).square().sum(-1) * share).sum(-1)

    def pressed(self, batch: MissingBatch, seen: Tensor) -> Tensor:
        """Cross-entropies of each seen modality alone, of rows within the weak subset, [T, B]."""
        left = self.without[:, None, None].expand(*seen.shape[:2], 1)
        weak = ~seen.gather(-1, left)
        alone = self.student.branches.read(self.encode(batch.x))
        each = cross_entropies(alone, batch.y[..., None].expand(alone.shape[:-1]))
        return (each * (seen & weak)).sum(-1)

    def loss(self, batch: MissingBatch) -> Tensor:
        """The student's loss under uniform subsets; later distillation and the weak too, [T]."""
        seen = uniform_subsets(batch.seen, batch.noise["seed"])
        features, said = self.student(batch.x, seen)
        rows = batch.seen.any(-1)
        task = batch.mean(cross_entropies(said, batch.y), rows)
        more = self.hparams["distillation"] * self.distilled(batch, features, batch.used * rows)
        more = more + self.hparams["weak"] * batch.mean(self.pressed(batch, seen), rows)
        return task + torch.where(batch.step > self.edge, more, 0)

    def taught(self, batch: MissingBatch) -> Tensor:
        """The teacher's loss, [T]."""
        said = self.teacher(batch.x, batch.seen)[1]
        return batch.mean(cross_entropies(said, batch.y), batch.seen.any(-1))

    def phases(self) -> list[Phase]:
        """The teacher until it is frozen, and the student."""
        (plain,) = super().phases()
        return [
            replace(
                plain,
                parameters=list(self.teacher.parameters()),
                loss=self.taught,
                active=lambda step: self.edge >= step,
            ),
            replace(plain, parameters=list(self.student.parameters())),
        ]

    def encode(self, x: Features) -> list[Tensor]:
        """The student's encoded features by modality, each [T, N, H]."""
        return self.student.branches.encode(x)

    def answer(self, x: Features, seen: Tensor) -> Tensor:
        """What the student says, [T, N, C]."""
        answer: Tensor = self.student(x, seen)[1]
        return answer


def gram(z: Tensor) -> Tensor:
    """Inner products of the rows of z [T, B, H] with each other, each row of unit norm."""
    return functional.normalize(z @ z.transpose(1, 2), dim=-1)
