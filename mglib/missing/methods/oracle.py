"""Subset oracle: for every observed subset a model of its own, trained on that subset alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from mglib.missing.late import NETWORK, LateFusion
from mglib.missing.method import Features, MissingBatch, MissingMethod, MissingTask
from mglib.missing.subsets import Subset, subsets
from mglib.registry import Setting, missing_methods
from mglib.trials.algorithm import Phase
from mglib.trials.networks import Streams


@missing_methods.register("oracle")
class Oracle(MissingMethod):
    """2^M - 1 fusion models; each learns from the rows that have all of its subset, and only it.

    It answers by the model of just what is seen: the empirical ceiling of every subset, for as
    many encoders as there are places in all subsets. The models begin from the same random
    numbers: each is what it would be alone, on a data set of its subset. A share of the steps for
    `pretraining` is as in `ume_mma`. Ours; of nothing seen its answer is zeros.
    """

    title = "Subset oracle"
    settings = {
        "fusion": Setting(str, "sum", words=("sum", "mid")),
        "pretraining": Setting(float, 0.0, 0.0, 1.0, why="it is a share of the steps"),
        **NETWORK,
    }

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        self.subsets = subsets(task.modalities)
        begins = [stream.get_state() for stream in streams]
        self.models = nn.ModuleList()
        for subset in self.subsets:
            for stream, begin in zip(streams, begins, strict=True):
                stream.set_state(begin)
            own = replace(
                task,
                widths=_of(task.widths, subset),
                zeros=_of(task.zeros, subset),
                shapes=_of(task.shapes, subset) if task.shapes else (),
            )
            words = {name: self.own[name] for name in ("fusion", "network")}
            self.models.append(_One(own, hparams, streams, **words))

    def pairs(self) -> Iterator[tuple[Subset, _One]]:
        """The subsets and their models."""
        return zip(self.subsets, cast("Sequence[_One]", self.models), strict=True)

    def each(self, batch: MissingBatch, way: Callable[[_One, MissingBatch], Tensor]) -> Tensor:
        """The sum of what models [T] get from their part of a minibatch; no two share anything."""
        total = torch.zeros_like(self.hparams["lr"])
        for subset, model in self.pairs():
            place = torch.tensor(subset, device=batch.seen.device)
            whole = (batch.seen | ~place).all(-1, keepdim=True)
            own = replace(batch, x=_of(batch.x, subset), seen=whole.expand(-1, -1, sum(subset)))
            total = total + way(model, own)
        return total

    def loss(self, batch: MissingBatch) -> Tensor:
        """The sum of the models' losses, each on the rows that have all of its subset, [T]."""
        return self.each(batch, _One.loss)

    def phases(self) -> list[Phase]:
        """Those of all models at once."""
        alone, together = zip(*(model.phases() for _, model in self.pairs()), strict=True)
        return [
            replace(
                first,
                parameters=[p for phase in (first, *others) for p in phase.parameters],
                loss=loss,
            )
            for (first, *others), loss in (
                (alone, lambda batch: self.each(batch, _One.alone)),
                (together, self.loss),
            )
        ]

    def answer(self, x: Features, seen: Tensor) -> Tensor:
        """What the model of exactly the seen subset says, [T, N, C]."""
        found = torch.zeros(*seen.shape[:2], self.task.outputs, device=seen.device)
        for subset, model in self.pairs():
            match = (seen == torch.tensor(subset, device=seen.device)).all(-1, keepdim=True)
            if match.any():
                own = match.expand(-1, -1, sum(subset))
                found = torch.where(match, model.answer(_of(x, subset), own), found)
        return found


class _One(LateFusion):
    """Plain late fusion of one subset, in which nothing is ever missing."""

    settings = {"pretraining": Oracle.settings["pretraining"]}


def _of(items: Sequence[Any], subset: Subset) -> tuple[Any, ...]:
    return tuple(item for item, here in zip(items, subset, strict=True) if here)
