"""Trials with missing modalities on their way: a stack of fusion models under the run loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mglib.missing.bank import MissingBank, learned
from mglib.missing.measuring import Shown, measure, rows_of
from mglib.missing.method import MissingBatch, MissingMethod, MissingTask, hide
from mglib.missing.trial import MissingTrial
from mglib.registry import missing_methods
from mglib.trials.algorithm import stack_hparams
from mglib.trials.hyperparameters import seed_hash
from mglib.trials.networks import rung
from mglib.trials.sampling import BLOCK
from mglib.trials.stack import Stack


def priors(trials: Sequence[MissingTrial], bank: MissingBank) -> Tensor:
    """How often each class is in what each trial learns from, [T, C]; zeros of real answers."""
    found = torch.zeros(len(trials), max(1, bank.classes), device=bank.device)
    if bank.classes:
        for place, (trial, own) in enumerate(zip(trials, bank.paired, strict=True)):
            counts = np.bincount(own.answers[learned(trial, own)], minlength=bank.classes)
            found[place] = torch.from_numpy(counts / counts.sum())
    return found


def build(trials: Sequence[MissingTrial], bank: MissingBank) -> MissingMethod:
    """The stacked model of some trials with their initial weights, on the bank's device."""
    first = trials[0]
    kind: type[MissingMethod] = missing_methods.get(first.method)
    kind.check_task(len(first.modalities), bank.classes)
    blocks = bank.blocks(trials)
    task = MissingTask(
        tuple(values.shape[-1] for values in bank.values),
        bank.classes,
        priors(trials, bank),
        tuple(zeros[blocks] for zeros in bank.zeros),
        first.steps,
        bank.shapes,
    )
    hparams = {
        name: value.to(bank.device)
        for name, value in stack_hparams([t.values for t in trials]).items()
    }
    streams = [
        torch.Generator().manual_seed(seed_hash("weights", t.seed, t.split_seed)) for t in trials
    ]
    return kind(task, hparams, streams).to(bank.device)


class MissingTraining(Stack):
    """Trials of one stack on the features of a bank; see `Stack`."""

    def __init__(
        self, trials: Sequence[MissingTrial], bank: MissingBank, keep_weights: bool = False
    ):
        self.bank = bank
        found = [
            Shown.empty(trial, own, bank.classes)
            for trial, own in zip(trials, bank.paired, strict=True)
        ]
        super().__init__(trials, found, bank.device, keep_weights)

    def build(self, trials: Sequence[MissingTrial]) -> MissingMethod:
        """The stacked model of some trials with their initial weights."""
        places = [self._trials.index(trial) for trial in trials]
        self.present = self.bank.narrow(places)
        return build(trials, self.present)

    def part(
        self, trials: Sequence[MissingTrial], name: str
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """A whole part as a batch: features by modality [T, P, D], seen [T, P, M], answers [T, P].

        Trials of fewer instances repeat their first one, which is seen in nothing.
        """
        bank = self.present
        rows = [
            learned(trial, own) if name == "train" else own.parts[name]
            for trial, own in zip(trials, bank.paired, strict=True)
        ]
        longest = max(map(len, rows))
        index = torch.from_numpy(np.stack([np.resize(own, longest) for own in rows]))
        real = torch.arange(longest)[None] < torch.tensor([len(own) for own in rows])[:, None]
        index, real = index.to(bank.device), real.to(bank.device)
        trial = torch.arange(len(rows), device=bank.device)[:, None]
        seen = bank.seen[trial, index] & real[..., None]
        x = bank.rows(bank.blocks(trials), index)
        return hide(x, seen), seen, bank.answers[trial, index]

    def batches(
        self, trials: Sequence[MissingTrial], start: int, end: int
    ) -> Iterator[tuple[int, MissingBatch]]:
        """The minibatches of steps `start` + 1 to `end`: instances uniform with replacement.

        Before the steps that the method names, it is shown the whole training part.
        """
        bank, blocks = self.present, self.present.blocks(trials)
        sizes = [trial.rows for trial in trials]
        rows = rung(max(sizes))
        used = (torch.arange(rows) < torch.tensor(sizes)[:, None]).float().to(bank.device)
        first = start - start % BLOCK
        drawn, noises = [], []
        for trial, own in zip(trials, bank.paired, strict=True):
            seed = seed_hash("minibatches", trial.seed, trial.split_seed, first)
            pool = torch.from_numpy(learned(trial, own))
            places = torch.randint(
                len(pool), (BLOCK, trial.rows), generator=torch.Generator().manual_seed(seed)
            )
            drawn.append(pool[torch.nn.functional.pad(places, (0, rows - trial.rows))])
            random = np.random.default_rng(seed_hash("noise", trial.seed, trial.split_seed, first))
            noises.append(self.model.noise(random, BLOCK, rows, len(bank.values)))
        index = torch.stack(drawn, 1).to(bank.device)
        noise = {
            name: torch.from_numpy(np.stack([own[name] for own in noises], 1)).to(bank.device)
            for name in noises[0]
        }
        trial_places = torch.arange(len(trials), device=bank.device)[:, None]
        fits = set(self.model.fits_at())
        for step in range(start, end):
            if step in fits:
                with torch.no_grad():
                    self.model.fit(*self.part(trials, "train"))
            at = index[step - first]
            seen = bank.seen[trial_places, at]
            yield (
                step + 1,
                MissingBatch(
                    hide(bank.rows(blocks, at), seen),
                    seen,
                    bank.answers[trial_places, at],
                    used,
                    step + 1,
                    {name: values[step - first] for name, values in noise.items()},
                ),
            )

    def measure(
        self, trials: Sequence[MissingTrial], found: Sequence[Shown], number: int
    ) -> list[bool]:
        """Measure trials at checkpoint `number`; which of them are better than ever before."""
        with torch.no_grad():
            if not self.model.learns and 0 in self.model.fits_at():
                self.model.fit(*self.part(trials, "train"))
            self.model.calibrate(*self.part(trials, "validation"))
            return measure(self.model, self.present, trials, found, number)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of every trial at every checkpoint."""
        return [
            row
            for trial, own, found in zip(self.trials, self.bank.paired, self.found, strict=True)
            for row in rows_of(trial, own, self.bank.classes, found)
        ]
