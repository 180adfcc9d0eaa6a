"""Train a stack of trials as one model and measure it; knows no algorithm, dataset or file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mglib.registry import algorithms
from mglib.trials.algorithm import Algorithm, Batch, Task, stack_hparams
from mglib.trials.bank import FeatureBank
from mglib.trials.measuring import Measurements, measure, rows_of
from mglib.trials.optimisers import Optimiser, optimiser_of
from mglib.trials.sampling import BLOCK, initial_streams, minibatches, rows_in_use
from mglib.trials.trial import Trial

Told = Callable[[int], None]


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


class Training:
    """A stack of trials on its way: model, optimisers, the step, and what each trial has shown.

    A trial whose weights stop being finite leaves the stack at the next block of steps, recorded
    as diverged; the others never see it. With `keep_weights` the weights of each trial's chosen
    checkpoint are kept in `weights`, by name, each [T, ...].
    """

    def __init__(self, trials: Sequence[Trial], bank: FeatureBank, keep_weights: bool = False):
        self.trials = list(trials)
        self.bank = bank
        self.step = 0
        self.found = [Measurements.empty(trial, bank) for trial in trials]
        self._enter(range(len(self.trials)))
        learned = self.model.state_dict().items() if keep_weights else ()
        self.weights = {name: value.detach().clone() for name, value in learned}

    def _enter(self, alive: Sequence[int]) -> None:
        """Build the model and the optimisers anew for the trials at these places."""
        self.alive = list(alive)
        own = [self.trials[place] for place in self.alive]
        self.model = build(own, self.bank)
        self.phases = self.model.phases() if self.model.learns else []
        self.optimisers: list[Optimiser] = []
        for phase in self.phases:
            self.optimisers.append(
                self.optimisers[phase.continues]
                if phase.continues is not None
                else optimiser_of(phase.optimiser)(
                    phase.parameters, phase.weight_decay, **phase.settings
                )
            )
        self._used = (rows_in_use(own) if self.phases else torch.ones(0)).to(
            self.bank.values.device
        )
        self._blocks = torch.stack(
            [torch.tensor([self.bank.block[m, t.split_seed] for m in t.train]) for t in own]
        ).to(self.bank.values.device)[:, :, None]

    def moving(self) -> dict[str, Tensor]:
        """All that training changes in the trials still alive, by name, each leading with them."""
        found = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for number, optimiser in enumerate(dict.fromkeys(self.optimisers)):
            for name, value in optimiser.tensors().items():
                found[f"optimiser{number}.{name}"] = value
        return found

    def resume(self, step: int, alive: Sequence[int], moving: Mapping[str, Tensor]) -> None:
        """Go on from `step` with the trials at the places `alive` and what was `moving` in them."""
        self.step = step
        if not alive:
            self.alive = []
            return
        if list(alive) != self.alive:
            self._enter(alive)
        with torch.no_grad():
            for name, tensor in self.moving().items():
                tensor.copy_(moving[name])

    def _leave_diverged(self) -> int:
        """Drop the trials whose weights are not finite; how many there were."""
        sound = torch.ones(len(self.alive), dtype=torch.bool, device=self.bank.values.device)
        for parameter in self.model.parameters():
            sound &= torch.isfinite(parameter).flatten(1).all(1)
        lost = int((~sound).sum())
        if 0 < lost < len(self.alive):
            moving = {name: tensor[sound] for name, tensor in self.moving().items()}
            self.resume(self.step, [self.alive[i] for i in sound.nonzero().flatten()], moving)
        elif lost:
            self.resume(self.step, [], {})
        return lost

    def measure_now(self) -> None:
        """Measure the living trials at the present step, which is one of their checkpoints."""
        own = [self.trials[place] for place in self.alive]
        number = own[0].checkpoints.index(self.step)
        better = measure(
            self.model, self.bank, own, [self.found[place] for place in self.alive], number
        )
        here = [number for number, chosen in enumerate(better) if chosen]
        for name, kept in self.weights.items():
            kept[[self.alive[i] for i in here]] = self.model.state_dict()[name][here].to(kept)

    def run(
        self, tick: Told = lambda steps: None, pause: Callable[[], None] = lambda: None
    ) -> None:
        """Train to the last step; `tick` is told of trial-steps, `pause` called between steps."""
        first = self.trials[0]
        if not self.phases:
            self.measure_now()
            return
        while self.alive and self.step < first.steps:
            self._run_block(tick, pause)
            if self.step < first.steps:
                lost = self._leave_diverged()
                tick(lost * (first.steps - self.step))

    def _run_block(self, tick: Told, pause: Callable[[], None]) -> None:
        """Train to the next multiple of BLOCK, or to the end."""
        own = [self.trials[place] for place in self.alive]
        pools = [self.bank.pools(t, self.model.aligned) for t in own]
        end = min(self.step - self.step % BLOCK + BLOCK, own[0].steps)
        device = self.bank.values.device
        for draw in minibatches(type(self.model), own, pools, end, self.step):
            index = draw.index.to(device)
            batch = Batch(
                self.bank.values[self._blocks, index],
                self.bank.labels[index],
                self._used,
                draw.step,
                {name: value.to(device) for name, value in draw.noise.items()},
            )
            for phase, optimiser in zip(self.phases, self.optimisers, strict=True):
                if phase.resets is not None:
                    optimiser.reset(phase.resets(draw.step))
                active = phase.active(draw.step) if phase.active else None
                if active is not None and not active.any():
                    continue
                gradients: Sequence[Tensor] = torch.autograd.grad(
                    phase.loss(batch).sum(), list(phase.parameters)
                )
                if phase.modulate is not None:
                    with torch.no_grad():
                        gradients = phase.modulate(batch, gradients)
                lr = phase.lr(draw.step) if callable(phase.lr) else phase.lr
                optimiser.step(gradients, lr, active)
            with torch.no_grad():
                self.model.finish(batch)
            self.step = draw.step
            tick(len(own))
            if self.step in own[0].checkpoints:
                self.measure_now()
            pause()

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
