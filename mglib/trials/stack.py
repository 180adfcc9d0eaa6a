"""A stack of trials on its way: phases, optimisers, the step, and what each trial has shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mglib.trials.algorithm import Phase
from mglib.trials.optimisers import Optimiser, optimiser_of
from mglib.trials.sampling import BLOCK

Told = Callable[[int], None]


class StackModel(Protocol):
    """A model of T trials: its optimisers, and what it changes without one after a step."""

    learns: Any

    def phases(self) -> list[Phase]: ...
    def finish(self, batch: Any) -> None: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...


class Stack(ABC):
    """Trains T trials of equal shapes as one model; a subclass builds, draws and measures.

    A trial whose weights stop being finite leaves the stack at the next block of steps, recorded
    as diverged; the others never see it. With `keep_weights` the weights of each trial's chosen
    checkpoint are kept in `weights`, by name, each [T, ...]. `found` is what each has shown so far.
    """

    found: list[Any]

    def __init__(
        self,
        trials: Sequence[Any],
        found: Sequence[Any],
        device: torch.device,
        keep_weights: bool = False,
    ):
        self._trials, self.found = list(trials), list(found)
        self.device = device
        self.step = 0
        self._enter(range(len(self._trials)))
        learned = self.model.state_dict().items() if keep_weights else ()
        self.weights = {name: value.detach().clone() for name, value in learned}

    @property
    def trials(self) -> Sequence[Any]:
        """All trials, also those that have left."""
        return self._trials

    @abstractmethod
    def build(self, trials: Sequence[Any]) -> Any:
        """The model of some of the trials with their initial weights, on the device."""

    @abstractmethod
    def batches(self, trials: Sequence[Any], start: int, end: int) -> Iterator[tuple[int, Any]]:
        """The minibatches of steps `start` + 1 to `end` with their steps."""

    @abstractmethod
    def measure(self, trials: Sequence[Any], found: Sequence[Any], number: int) -> list[bool]:
        """Measure trials at checkpoint `number`; which of them are better than ever before."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """The rows of every trial at every checkpoint."""

    def _own(self) -> list[Any]:
        return [self._trials[place] for place in self.alive]

    def _enter(self, alive: Sequence[int]) -> None:
        """Build the model and the optimisers anew for the trials at these places."""
        self.alive = list(alive)
        self.model = self.build(self._own())
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
        sound = torch.ones(len(self.alive), dtype=torch.bool, device=self.device)
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
        own = self._own()
        number = own[0].checkpoints.index(self.step)
        better = self.measure(own, [self.found[place] for place in self.alive], number)
        here = [number for number, chosen in enumerate(better) if chosen]
        for name, kept in self.weights.items():
            kept[[self.alive[i] for i in here]] = self.model.state_dict()[name][here].to(kept)

    def run(
        self, tick: Told = lambda steps: None, pause: Callable[[], None] = lambda: None
    ) -> None:
        """Train to the last step; `tick` is told of trial-steps, `pause` called between steps."""
        first = self._trials[0]
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
        own = self._own()
        end = min(self.step - self.step % BLOCK + BLOCK, own[0].steps)
        for step, batch in self.batches(own, self.step, end):
            self._take(step, batch)
            self.step = step
            tick(len(own))
            if self.step in own[0].checkpoints:
                self.measure_now()
            pause()

    def _take(self, step: int, batch: Any) -> None:
        """One step: every phase in its order, then what the model changes by itself."""
        for phase, optimiser in zip(self.phases, self.optimisers, strict=True):
            if phase.resets is not None:
                optimiser.reset(phase.resets(step))
            active = phase.active(step) if phase.active else None
            if active is not None and not active.any():
                continue
            gradients: Sequence[Tensor] = torch.autograd.grad(
                phase.loss(batch).sum(), list(phase.parameters)
            )
            if phase.modulate is not None:
                with torch.no_grad():
                    gradients = phase.modulate(batch, gradients)
            lr = phase.lr(step) if callable(phase.lr) else phase.lr
            optimiser.step(gradients, lr, active)
        with torch.no_grad():
            self.model.finish(batch)
