"""A transfer trial on its way: one body, one target, the stages of one method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mglib.provenance import digest
from mglib.registry import transfers
from mglib.transfer.measuring import Shown, measure, nothing_shown, rows_of
from mglib.transfer.method import Method, Stage, TransferBatch
from mglib.transfer.model import PARTS, TransferModel
from mglib.transfer.named import body_named
from mglib.transfer.recomputed import asked_by_environment, recomputing
from mglib.transfer.source import Source, load_source, on
from mglib.transfer.target import Target, load_target
from mglib.transfer.trial import TransferTrial

MOMENTS = ("exp_avg", "exp_avg_sq")
LONGEST = 1.0  # norm of a step's whole gradient; longer ones are shortened (ORCA's clip)


def seed_of(trial: TransferTrial, use: str) -> int:
    """A seed of its own for every use of randomness; the same for all methods."""
    return int(digest([use, trial.seed, trial.split_seed])[:12], 16)


def build(trial: TransferTrial, target: Target) -> TransferModel:
    """The model of a trial with its initial weights, which hang on its seed and split alone."""
    method: type[Method] = transfers.get(trial.method)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(trial, "weights"))
        body = body_named(trial.body)()
        if not method.pretrained:
            body.fresh()
        return TransferModel(body, target.shape, method.copied)


def state_of(model: TransferModel) -> dict[str, Tensor]:
    """All that training may change in a model, by 'part.name': parameters and buffers."""
    return {
        f"{part}.{name}": value.detach()
        for part in PARTS
        for name, value in getattr(model, part).state_dict(keep_vars=True).items()
    }


def boundaries(stages: Sequence[Stage], steps: int) -> list[int]:
    """The steps at which stages begin and the last one ends; whole numbers by rounding."""
    edges = np.rint(np.cumsum([0.0, *(stage.share for stage in stages)]) * steps)
    return [int(edge) for edge in edges]


def learning_rate(progress: float, rise: float) -> float:
    """Factor of the rate at a finished share of a stage: rises over `rise`, then falls to 0."""
    if progress <= rise:
        return progress / rise
    return (1 - progress) / (1 - rise)


class TransferTraining:
    """One trial at T = 1 under the run loop: model, optimiser, the step, and what it has shown.

    With `keep_weights` the parts' weights at the chosen checkpoint are kept in `weights`, each
    [1, ...]. A trial whose gradient stops being finite ends there,
    recorded as diverged. MGLIB_RECOMPUTE=on has layers computed again on the way back instead of
    their hidden values kept: the same numbers, less memory, more time.
    """

    def __init__(self, trial: TransferTrial, device: str = "cpu", keep_weights: bool = False):
        self.trials = [trial]
        self.trial, self.device = trial, device
        self.step, self.alive = 0, [0]
        self.recompute = asked_by_environment()
        self.method: Method = transfers.get(trial.method)()
        self.target: Target = load_target(
            trial.dataset, trial.perceptor, trial.modality, trial.target, trial.split_seed
        )
        self.model = build(trial, self.target).to(device)
        self.source: Source = load_source(self.model.body, trial.split_seed)
        self.stages = self.method.stages(self.model)
        self.edges = boundaries(self.stages, trial.steps)
        self.before = self.source.features(self.model)
        width = self.before["test"].shape[1]
        self.found: list[Shown] = [nothing_shown(trial, self.target, self.source, width)]
        learned = state_of(self.model).items() if keep_weights else ()
        self.weights = {name: value[None].clone() for name, value in learned}
        self._enter(0)

    def _enter(self, step: int) -> None:
        """Begin the stage that the step after `step` belongs to, with a new optimiser."""
        self.number = next(
            n for n, (start, end) in enumerate(pairwise(self.edges)) if start <= step < end
        )
        stage, everything = self.stages[self.number], self.model.named(*PARTS)
        self.own = {name: everything[name] for name in stage.names}
        self.optimiser = torch.optim.AdamW(
            list(self.own.values()),
            lr=self.trial.values["lr"] * stage.rate,
            betas=(0.9, 0.98),
            weight_decay=self.trial.values["weight_decay"],
            fused=True,
        )
        self.peak = self.trial.values["lr"] * stage.rate

    def moving(self) -> dict[str, Tensor]:
        """All that training changes, by name, each [1, ...]."""
        found = {f"model.{name}": p.detach() for name, p in self.model.named(*PARTS).items()}
        for part in PARTS:
            for name, value in getattr(self.model, part).named_buffers():
                found[f"buffer.{part}.{name}"] = value
        for name, parameter in self.own.items():
            for moment in MOMENTS:
                kept = self.optimiser.state.get(parameter, {}).get(moment)
                found[f"{moment}.{name}"] = torch.zeros_like(parameter) if kept is None else kept
        return {name: value.detach()[None] for name, value in found.items()}

    def resume(self, step: int, alive: Sequence[int], moving: Mapping[str, Tensor]) -> None:
        """Go on from `step` with what was `moving`."""
        self.step, self.alive = step, list(alive)
        if not alive:
            return
        if step < self.trial.steps:
            self._enter(step)
        with torch.no_grad():
            for name, parameter in self.model.named(*PARTS).items():
                parameter.copy_(moving[f"model.{name}"][0])
            for part in PARTS:
                for name, value in getattr(self.model, part).named_buffers():
                    value.copy_(moving[f"buffer.{part}.{name}"][0])
        done = step - self.edges[self.number]
        for name, parameter in self.own.items() if done else ():
            self.optimiser.state[parameter] = {
                "step": torch.tensor(float(done), device=self.device),
                **{
                    moment: moving[f"{moment}.{name}"][0].to(self.device).clone()
                    for moment in MOMENTS
                },
            }

    def measure_now(self) -> None:
        """Measure at the present step, which is a checkpoint."""
        number = self.trial.checkpoints.index(self.step)
        measure(self.model, self.target, self.source, self.before, self.found[0], number)
        if self.found[0].chosen == number:
            present = state_of(self.model) if self.weights else {}
            for name, kept in self.weights.items():
                kept[0].copy_(present[name])

    def _batch(self, stage: Stage, progress: float) -> TransferBatch:
        """The batch of the present step; it hangs on seed, split and step alone."""
        rows = int(self.trial.values["batch_size"])

        def drawn(use: str, pool: np.ndarray) -> np.ndarray:
            random = np.random.Generator(np.random.PCG64([seed_of(self.trial, use), self.step]))
            return random.choice(pool, min(rows, len(pool)), replace=False)

        inputs, answers = self.target.rows(drawn("target", self.target.parts["train"]))
        source: Any = None
        labels: Tensor | None = None
        if stage.source:
            source, labels = self.source.rows(drawn("source", self._surrogate(stage.source)))
            source, labels = on(source, self.device), labels.to(self.device)
        return TransferBatch(
            inputs.to(self.device), answers.to(self.device), source, labels, progress
        )

    def _surrogate(self, share: float) -> np.ndarray:
        """A share of the surrogate set, at least two of it; a smaller one is part of a larger."""
        pool = self.source.parts["surrogate"]
        if share == 1:
            return pool
        random = np.random.Generator(np.random.PCG64(seed_of(self.trial, "surrogate")))
        return random.permutation(pool)[: max(2, round(share * len(pool)))]

    def _live(self, live: bool) -> None:
        """Normalise by the batch's own statistics, or by those that were learned."""
        for part in (self.model.embedder, self.model.encoder):
            for module in part.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.train(live)

    def advance(self) -> bool:
        """One step; whether its gradient was finite (if not, nothing was changed)."""
        start, end = self.edges[self.number], self.edges[self.number + 1]
        stage, progress = self.stages[self.number], (self.step - start + 1) / (end - start)
        batch = self._batch(stage, progress)
        self._live(not self.method.pretrained)
        try:
            with recomputing(self.recompute):
                gradients = stage.gradients(self.model, self.target, batch, self.own)
        finally:
            self._live(False)
        for name, parameter in self.own.items():
            parameter.grad = gradients[name]
        norm = nn.utils.clip_grad_norm_(list(self.own.values()), LONGEST)
        if not torch.isfinite(norm):
            return False
        for group in self.optimiser.param_groups:
            group["lr"] = self.peak * learning_rate(progress, self.trial.values["rise"])
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return True

    def run(
        self,
        tick: Callable[[int], None] = lambda steps: None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Train to the last step; `tick` is told of steps, `pause` called between them."""
        if self.step == 0:
            self.measure_now()
        while self.alive and self.step < self.trial.steps:
            if self.step == self.edges[self.number + 1]:
                self._enter(self.step)
            if not self.advance():
                self.alive = []
                tick(self.trial.steps - self.step)
                return
            tick(1)
            if self.step in self.trial.checkpoints:
                self.measure_now()
            pause()

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the trial at every checkpoint."""
        seen = self.model.body.source[2]
        return list(rows_of(self.trial, self.target, self.source, self.found[0], seen))
