"""Classifiers of sequences: an encoder and a head for each modality, joined by their logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mglib.missing.sequences.gru import StackedGRU, StackedPerceptron
from mglib.missing.sequences.ways import POOLED, WAYS, width_of
from mglib.trials.algorithm import Phase, cross_entropies
from mglib.trials.networks import StackedLinear, Streams


@dataclass(frozen=True)
class SequenceBatch:
    """Frames by modality [T, B, F, D], those seen and those inside [T, B, F], classes [T, B].

    `used` [T, B] is 1 for rows in use and 0 for padding.
    """

    x: Sequence[Tensor]
    seen: Sequence[Tensor]
    inside: Sequence[Tensor]
    y: Tensor
    used: Tensor


def summary(states: Tensor, moved: Tensor) -> Tensor:
    """What a head reads [T, B, H] of states [T, B, F, H]: the largest value of every hidden unit.

    Over the frames at which the state `moved` [T, B, F], zeros if at none. Ours, better than the
    last and the mean state on validation parts.
    """
    most = states.masked_fill(~moved[..., None], -torch.inf).amax(2)
    return torch.where(moved.any(-1)[..., None], most, 0)


class SequenceModel(nn.Module):
    """A recurrent encoder of every modality's frames, and the sum of the logits of their heads."""

    learns = True

    def __init__(
        self,
        widths: Sequence[int],
        classes: int,
        way: str,
        hidden: int,
        hparams: Mapping[str, Tensor],
        streams: Streams,
    ):
        super().__init__()
        self.hparams, self.way = hparams, WAYS[way]
        kind = StackedPerceptron if way == POOLED else StackedGRU
        self.encoders = nn.ModuleList(
            kind(streams, width_of(way, width), hidden) for width in widths
        )
        self.heads = nn.ModuleList(StackedLinear(streams, hidden, classes) for _ in widths)

    def states(self, place: int, x: Tensor, seen: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """States [T, B, F, H] of the encoder at `place`, and the frames at which they moved."""
        read, moved = self.way(x, seen, inside)
        return self.encoders[place](read, moved), moved

    def logits(
        self, x: Sequence[Tensor], seen: Sequence[Tensor], inside: Sequence[Tensor]
    ) -> Tensor:
        """Logits [T, B, C] of frames by modality, of which only some are seen."""
        total: Tensor | None = None
        for place, frames in enumerate(zip(x, seen, inside, strict=True)):
            own = self.heads[place](summary(*self.states(place, *frames)))
            total = own if total is None else total + own
        assert total is not None
        return total

    def loss(self, batch: SequenceBatch) -> Tensor:
        """The mean cross-entropy of each trial, [T]."""
        found = cross_entropies(self.logits(batch.x, batch.seen, batch.inside), batch.y)
        return (found * batch.used).sum(-1) / batch.used.sum(-1)

    def phases(self) -> list[Phase]:
        """One Adam on the loss."""
        rates = self.hparams["lr"], self.hparams["weight_decay"]
        return [Phase([*self.parameters()], self.loss, *rates)]

    def finish(self, batch: SequenceBatch) -> None:
        """Nothing is changed without the optimiser."""
