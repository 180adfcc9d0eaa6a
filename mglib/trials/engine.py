"""Train a stack of trials as one model and measure it; knows no algorithm, dataset or file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from mglib.registry import algorithms
from mglib.trials.algorithm import Algorithm, Batch, Task, stack_hparams
from mglib.trials.bank import FeatureBank
from mglib.trials.measuring import Measurements, measure, rows_of
from mglib.trials.sampling import initial_streams, minibatches, rows_in_use
from mglib.trials.stack import Stack, Told
from mglib.trials.trial import Trial


def build(trials: Sequence[Trial], bank: FeatureBank) -> Algorithm:
    """The stacked model of some trials with their initial weights, on the bank's device."""
    first = trials[0]
    labels = bank.labels.cpu().numpy()
    aligned = algorithms.get(first.algorithm).aligned
    counts = np.stack(
        [np.bincount(labels[bank.pools(t, aligned)[0]], minlength=bank.classes) for t in trials]
    )
    task = Task(bank.values.shape[-1], bank.classes, len(first.train), torch.from_numpy(counts))
    hparams = {
        name: value.to(bank.values.device)
        for name, value in stack_hparams([t.values for t in trials]).items()
    }
    model = algorithms.get(first.algorithm)(task, hparams, initial_streams(trials), first.variant)
    return model.to(bank.values.device)


class Training(Stack):
    """The benchmark's learners on their way: trials of one stack on the features of a bank."""

    def __init__(self, trials: Sequence[Trial], bank: FeatureBank, keep_weights: bool = False):
        self.bank = bank
        found = [Measurements.empty(trial, bank) for trial in trials]
        super().__init__(trials, found, bank.values.device, keep_weights)

    def build(self, trials: Sequence[Trial]) -> Algorithm:
        """The stacked model of some trials with their initial weights."""
        return build(trials, self.bank)

    def batches(self, trials: Sequence[Trial], start: int, end: int) -> Iterator[tuple[int, Batch]]:
        """The minibatches of steps `start` + 1 to `end` with their steps."""
        device = self.device
        used = rows_in_use(trials).to(self.bank.values)
        blocks = torch.stack(
            [torch.tensor([self.bank.block[m, t.split_seed] for m in t.train]) for t in trials]
        ).to(device)[:, :, None]
        pools = [self.bank.pools(t, self.model.aligned) for t in trials]
        for draw in minibatches(type(self.model), trials, pools, end, start):
            index = draw.index.to(device)
            yield (
                draw.step,
                Batch(
                    self.bank.rows(blocks, index),
                    self.bank.labels[index],
                    used,
                    draw.step,
                    {name: value.to(device) for name, value in draw.noise.items()},
                ),
            )

    def measure(
        self, trials: Sequence[Trial], found: Sequence[Measurements], number: int
    ) -> list[bool]:
        """Measure trials at checkpoint `number`; which of them are better than ever before."""
        return measure(self.model, self.bank, trials, found, number)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of every trial at every checkpoint."""
        return [
            row
            for trial, found in zip(self.trials, self.found, strict=True)
            for row in rows_of(trial, self.bank, found)
        ]


def train(
    trials: Sequence[Trial], bank: FeatureBank, tick: Told = lambda steps: None
) -> list[dict[str, Any]]:
    """Train trials of one stack together; return their rows at every checkpoint."""
    training = Training(trials, bank)
    training.run(tick)
    return training.rows()
