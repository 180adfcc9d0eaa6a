"""Imputation: what is missing is computed from what is seen, and one fusion model reads it all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from mglib.errors import MglibError
from mglib.missing.branches import Branches, uniform_subsets
from mglib.missing.fusion import Fusion
from mglib.missing.heads import Answerer
from mglib.missing.method import Features, MissingBatch, MissingMethod, MissingTask, hide, losses
from mglib.registry import Setting
from mglib.trials.networks import Streams

READING = ("sum", "mean", "weighted", "head", "early")


def filled(x: Features, seen: Tensor, made: Sequence[Tensor]) -> list[Tensor]:
    """Features by modality with what is not seen [T, B, M] taken from `made`."""
    return [torch.where(seen[..., m, None], own, made[m]) for m, own in enumerate(x)]


class Reader(nn.Module):
    """Answers from features of which none is missing any more, by a word of READING.

    "early" is a perceptron on all features side by side; the others are late fusion.
    """

    def __init__(self, streams: Streams, task: MissingTask, hidden: int, word: str):
        super().__init__()
        self.early = word == "early"
        if self.early:
            self.perceptron = Answerer(streams, [sum(task.widths), hidden, task.outputs])
        else:
            self.branches = Branches(streams, task.widths, hidden, task.outputs)
            self.fusion = Fusion(streams, task.modalities, hidden, task.outputs, word)

    def encode(self, x: Features) -> list[Tensor] | None:
        """Encoded features by modality, each [T, B, H]; None if there are none of each."""
        return None if self.early else self.branches.encode(x)

    def forward(self, x: Features) -> Tensor:
        """The answer [T, B, C] of features by modality, each [T, B, D]."""
        answer: Tensor
        if self.early:
            answer = self.perceptron(torch.cat([*x], -1))
            return answer
        z = self.branches.encode(x)
        said = self.branches.read(z)
        counts = torch.ones_like(said[..., 0], dtype=torch.bool)
        answer = self.fusion(z, said, counts, torch.empty(0))
        return answer


class Imputation(MissingMethod):
    """A method that differs from others only in `imputed`; its fusion and training are alike.

    Each row is learned twice: as it is, and with a smaller set of its modalities, uniformly; the
    two losses are added (as TRML's). What is not seen is imputed before fusion, from statistics of
    the training part; that is not differentiated.
    """

    settings: ClassVar[Mapping[str, Setting]] = {"fusion": Setting(str, "sum", words=READING)}

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        self.reader = Reader(streams, task, int(hparams["hidden"][0]), self.own["fusion"])

    @classmethod
    def check_task(cls, modalities: int, classes: int) -> None:
        """One modality can be imputed from nothing."""
        if modalities < 2:
            raise MglibError(f"'{cls.name}' needs two or more modalities")

    @abstractmethod
    def imputed(self, x: Features, seen: Tensor, learning: bool) -> Sequence[Tensor]:
        """By modality [T, B, D] what it is if it is not seen; what is not seen has no influence.

        `learning` is whether the rows may be of the training part itself.
        """

    def fits_at(self) -> Sequence[int]:
        """Statistics are taken before the first step."""
        return (0,)

    def fill(self, x: Features, seen: Tensor, learning: bool = False) -> list[Tensor]:
        """Features with what is not seen imputed."""
        with torch.no_grad():
            x = hide(x, seen)
            return filled(x, seen, self.imputed(x, seen, learning))

    def encode(self, x: Features) -> list[Tensor] | None:
        """See MissingMethod; only late fusion has them."""
        return self.reader.encode(x)

    def loss(self, batch: MissingBatch) -> Tensor:
        """The loss of the rows as they are, and of the same with something taken away, [T]."""
        less = uniform_subsets(batch.seen, batch.noise["seed"], proper=True)
        seen = torch.cat([batch.seen, less], 1)
        twice = [torch.cat([own, own], 1) for own in batch.x]
        answers = self.reader(self.fill(twice, seen, learning=True))
        rows = batch.seen.any(-1)
        own = losses(answers, torch.cat([batch.y, batch.y], 1), self.task.classes)
        return batch.mean(own[:, : rows.shape[1]], rows) + batch.mean(own[:, rows.shape[1] :], rows)

    def answer(self, x: Features, seen: Tensor) -> Tensor:
        """The fused answer, [T, N, C]."""
        answer: Tensor = self.reader(self.fill(x, seen))
        return answer
