"""Classifiers of two sequences of which one may be wholly missing: what stands in for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mglib.missing.generating import Perceptron
from mglib.missing.matching import matching
from mglib.missing.sequences.model import SequenceBatch, SequenceModel, summary
from mglib.missing.sequences.stand_ins import (
    ALONE,
    FRAMES,
    MEAN,
    POOLED,
    UNMATCHED,
    in_relative_time,
    lengths_in,
    whole_sequence,
)
from mglib.trials.algorithm import cross_entropies
from mglib.trials.networks import Streams

LAYERS = 2
MEMORY = 10  # minibatches: so many count for the running mean


class VirtualModel(SequenceModel):
    """The present sequence first, the one that may be missing second, joined by their logits.

    Encoders and heads are those of `SequenceModel`. Loss: the task on complete rows with both real,
    the task on all rows with the stand-in, and `weight` times matching over complete rows. "alone"
    has one encoder and the task on all rows. What stands in for the second sequence's summary is
    zeros, a running mean of real summaries, what a perceptron of two layers makes of the present
    one's summary ("pooled"), or what the second encoder makes of virtual frames, each made by such
    a perceptron of the first encoder's state at the same relative time ("frames").
    Matching is symmetric cross-entropy over cosines, of summaries ("pooled") or of the frames
    themselves ("frames"); with `stop` real summaries take no gradient from it.
    Source: TRML (arXiv 2401.13697) has a recurrent encoder of frames, perceptrons between
    modalities and the matching; at which level it generates frames is not known. All else is ours.
    """

    means: Tensor
    counts: Tensor

    def __init__(
        self,
        widths: Sequence[int],
        classes: int,
        stand_in: str,
        level: str,
        stop: bool,
        hidden: int,
        hparams: Mapping[str, Tensor],
        streams: Streams,
    ):
        read = widths[:1] if stand_in == ALONE else widths
        super().__init__(read, classes, "zeros", hidden, hparams, streams)
        self.stand_in, self.level, self.stop = stand_in, level, stop
        if stand_in in (POOLED, FRAMES):
            made = hidden if stand_in == POOLED else widths[1]
            self.generator = Perceptron(streams, hidden, hidden, made, LAYERS)
        self.register_buffer("means", torch.zeros(len(streams), 1, hidden))
        self.register_buffer("counts", torch.zeros(len(streams)))

    def virtual(self, states: Tensor, inside: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Virtual frames [T, B, frames, D] of states [T, B, F, H], and which of them are inside."""
        lengths = lengths_in(inside, frames)
        at = in_relative_time(states, inside.sum(-1), lengths, frames)
        there = torch.arange(frames, device=states.device) < lengths[..., None]
        return self.generator(at), there

    def _instead(
        self, states: Tensor, own: Tensor, inside: Tensor, frames: int
    ) -> tuple[Tensor, Tensor | None]:
        """The summary that stands in [T, B, H], and as one vector the frames it was made of.

        `states`, their summary `own` and `inside` are those of the present sequence.
        """
        if self.stand_in == POOLED:
            return self.generator(own), None
        if self.stand_in == FRAMES:
            made, there = self.virtual(states, inside, frames)
            return summary(*self.states(1, made, there, there)), whole_sequence(made, there)
        return self.means.expand_as(own), None  # zeros if nothing is ever added to them

    def both(self, batch: SequenceBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [T, B, C] with the real and with what stands in, and the matching loss [T]."""
        first, second = zip(batch.x, batch.seen, batch.inside, strict=True)
        states, moved = self.states(0, *first)
        own = summary(states, moved)
        real = summary(*self.states(1, *second))
        made, virtual = self._instead(states, own, batch.inside[0], second[0].shape[2])
        said = self.heads[0](own)
        answers = said + self.heads[1](real), said + self.heads[1](made)
        if self.level == UNMATCHED:
            return *answers, torch.zeros_like(self.counts)
        pair = made, real.detach() if self.stop else real
        if self.level == FRAMES:
            assert virtual is not None
            pair = virtual, whole_sequence(self.way(*second)[0], second[1])
        rows = self.complete(batch) & (batch.used > 0)
        return *answers, matching(*pair, rows, "both", self.hparams["temperature"])

    def complete(self, batch: SequenceBatch) -> Tensor:
        """Which rows have both sequences, [T, B]."""
        return batch.seen[1].any(-1)

    def logits(
        self, x: Sequence[Tensor], seen: Sequence[Tensor], inside: Sequence[Tensor]
    ) -> Tensor:
        """Logits [T, B, C]; where no frame of the second sequence is seen, of what stands in."""
        if self.stand_in == ALONE:
            return super().logits(x[:1], seen[:1], inside[:1])
        there = seen[1].any(-1)
        if there.all():
            return super().logits(x, seen, inside)
        unused = torch.ones_like(there)
        real, made, _ = self.both(SequenceBatch(x, seen, inside, unused, unused))
        return torch.where(there[..., None], real, made)

    def loss(self, batch: SequenceBatch) -> Tensor:
        """Task on what is complete, task with what stands in, and matching, [T]."""
        if self.stand_in == ALONE:
            return super().loss(batch)
        real, made, matched = self.both(batch)
        complete = cross_entropies(real, batch.y) * self.complete(batch)
        lacking = cross_entropies(made, batch.y)
        task = ((complete + lacking) * batch.used).sum(-1) / batch.used.sum(-1)
        if self.level == UNMATCHED:
            return task
        return task + self.hparams["weight"] * matched

    def finish(self, batch: SequenceBatch) -> None:
        """Move the running mean towards that of the minibatch's complete rows, if it is used."""
        if self.stand_in != MEAN:
            return
        real = summary(*self.states(1, batch.x[1], batch.seen[1], batch.inside[1]))
        weight = batch.used * self.complete(batch)
        total = weight.sum(-1)
        mean = (weight[:, None] @ real) / total.clamp(min=1)[:, None, None]
        self.counts += total > 0
        step = (total > 0) / self.counts.clamp(min=1, max=MEMORY)
        self.means += step[:, None, None] * (mean - self.means)
