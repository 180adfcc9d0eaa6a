"""Trials with lost frames on their way: a stack of temporal encoders under the run loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mglib.missing.sequences.bank import SequenceBank
from mglib.missing.sequences.laws import draw
from mglib.missing.sequences.measuring import Shown, measure, rows_of
from mglib.missing.sequences.model import SequenceBatch, SequenceModel
from mglib.missing.sequences.question import SequenceQuestion
from mglib.trials.algorithm import stack_hparams
from mglib.trials.hyperparameters import seed_hash
from mglib.trials.networks import rung
from mglib.trials.sampling import BLOCK
from mglib.trials.stack import Stack


class SequenceTraining(Stack):
    """Trials of one stack on the sequences of a bank; see `Stack`."""

    def __init__(
        self, trials: Sequence[SequenceQuestion], bank: SequenceBank, keep_weights: bool = False
    ):
        self.bank = bank
        super().__init__(trials, [Shown.empty(t) for t in trials], bank.device, keep_weights)

    def build(self, trials: Sequence[Any]) -> SequenceModel:
        """The stacked model of some trials with their initial weights."""
        bank, first = self.bank, trials[0]
        shape = bank.widths, bank.classes, first.way, first.hidden
        return SequenceModel(*shape, *self.drawn(trials)).to(bank.device)

    def drawn(
        self, trials: Sequence[SequenceQuestion]
    ) -> tuple[dict[str, Tensor], list[torch.Generator]]:
        """Hyper-parameters [T] of some trials, and the streams of their initial weights."""
        hparams = {
            name: value.to(self.bank.device)
            for name, value in stack_hparams([t.values for t in trials]).items()
        }
        return hparams, [
            torch.Generator().manual_seed(seed_hash("weights", t.seed, t.split_seed))
            for t in trials
        ]

    def batches(
        self, trials: Sequence[SequenceQuestion], start: int, end: int
    ) -> Iterator[tuple[int, SequenceBatch]]:
        """The minibatches of steps `start` + 1 to `end`: instances uniform with replacement."""
        bank = self.bank
        sizes = [trial.rows for trial in trials]
        rows = rung(max(sizes))
        used = (torch.arange(rows) < torch.tensor(sizes)[:, None]).float().to(bank.device)
        first = start - start % BLOCK
        index, seen = [], []
        for trial in trials:
            asked = (trial.seed, trial.split_seed, first)
            pool = torch.from_numpy(bank.parts[trial.split_seed]["train"])
            stream = torch.Generator().manual_seed(seed_hash("minibatches", *asked))
            places = torch.randint(len(pool), (BLOCK, trial.rows), generator=stream)
            own = pool[torch.nn.functional.pad(places, (0, rows - trial.rows))]
            index.append(own)
            seen.append(self.left(trial, own.numpy(), first))
        drawn = torch.stack(index, 1).to(bank.device)
        left = [
            torch.from_numpy(np.stack(own, 1)).to(bank.device) for own in zip(*seen, strict=True)
        ]
        for step in range(start, end):
            at = drawn[step - first]
            yield (
                step + 1,
                SequenceBatch(
                    bank.rows(trials, at),
                    [own[step - first] for own in left],
                    bank.inside(at),
                    bank.answers[at],
                    used,
                ),
            )

    def left(self, trial: Any, index: np.ndarray, first: int) -> list[np.ndarray]:
        """Which frames are seen of instances `index` [..., B], by modality, each [..., B, F].

        What the trial's law loses is drawn anew for every row of every minibatch of the block of
        steps that begins after `first`.
        """
        bank, asked = self.bank, (trial.seed, trial.split_seed, first)
        return [
            draw(
                trial.law,
                trial.rate,
                lengths[index.flatten()],
                values.shape[1],
                seed_hash("lost in training", trial.law, name, *asked),
            ).reshape(*index.shape, -1)
            for name, values, lengths in zip(bank.names, bank.values, bank.lengths, strict=True)
        ]

    def measure(
        self, trials: Sequence[SequenceQuestion], found: Sequence[Shown], number: int
    ) -> list[bool]:
        """Measure trials at checkpoint `number`; which of them are better than ever before."""
        with torch.no_grad():
            return measure(self.model, self.bank, trials, found, number)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of every trial."""
        return [
            row
            for trial, found in zip(self.trials, self.found, strict=True)
            for row in rows_of(trial, self.bank, found)
        ]
