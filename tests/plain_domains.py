"""One trial of a domain-generalization method in plain PyTorch, and the engine held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from published_step import (
    double_bank,
    double_batch,
    double_training,
    plain_linear,
    plain_mlp,
    relu_network,
    rows_of_one,
)
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mglib.trials.algorithm import Algorithm, Batch, Phase
from mglib.trials.bank import FeatureBank
from mglib.trials.engine import Training
from mglib.trials.trial import Trial

Rows = list[tuple[Tensor, Tensor]]


class PlainERM:
    """Adam on the mean cross-entropy of lists of modalities; `count` is of updates, from 0."""

    def __init__(self, model: Algorithm, t: int, values: Mapping[str, float], count: int):
        self.values, self.count = values, count
        self.featurizer = relu_network(plain_mlp(model.featurizer, t))
        self.classifier = plain_linear(model.classifier, t)
        self.network = nn.Sequential(self.featurizer, self.classifier)
        self.optimiser = self.fresh(values["lr"])

    def fresh(self, lr: float) -> torch.optim.Optimizer:
        """A new Adam of all parameters."""
        decay = self.values["weight_decay"]
        return torch.optim.Adam(self.network.parameters(), lr=lr, weight_decay=decay)

    def risks(self, rows: Rows) -> list[Tensor]:
        """The cross-entropy of each modality."""
        return [cross_entropy(self.network(x), y) for x, y in rows]

    def objective(self, rows: Rows) -> Tensor:
        """What a step takes the gradient of."""
        return sum(self.risks(rows)) / len(rows)

    def optimiser_now(self) -> torch.optim.Optimizer:
        """The optimiser of this update."""
        return self.optimiser

    def update(self, rows: Rows) -> tuple[Tensor, list[Tensor]]:
        """One update; its loss and gradients."""
        loss = self.objective(rows)
        optimiser = self.optimiser_now()
        self.network.zero_grad()
        loss.backward()
        gradients = [p.grad.clone() for p in self.network.parameters()]
        optimiser.step()
        self.count += 1
        return loss.detach(), gradients


def plain_of(values: Sequence[Tensor], t: int) -> list[Tensor]:
    """One trial's stacked weights, or their gradients, in the shapes of plain layers."""
    return [v[t].T if v.shape[1] > 1 else v[t, 0] for v in values]


def assert_same(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Tensors agree to 1e-8, relative to the largest entry."""
    for a, b in zip(ours, theirs, strict=True):
        scale = float(b.detach().abs().max())
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8 * scale + 1e-15)


def follow(
    trials: Sequence[Trial], bank: FeatureBank, kind: type[PlainERM], first: int = 1
) -> tuple[Training, list[PlainERM]]:
    """Train from step `first` on beside plain PyTorch; every loss, gradient and weight agrees."""
    training = double_training(trials, bank)
    training.step = first - 1
    plain = [kind(training.model, t, trial.values, first - 1) for t, trial in enumerate(trials)]
    seen: dict[int, tuple[Tensor, list[Tensor]]] = {}

    def watched(phase: Phase) -> Phase:
        """The phase, which notes losses and gradients of the trials that it moves."""
        noted = []

        def loss(batch: Batch) -> Tensor:
            noted[:] = [phase.loss(batch)]
            return noted[0]

        def keep(batch: Batch, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
            for t in range(len(trials)):
                if phase.active is None or phase.active(batch.step)[t]:
                    seen[t] = noted[0][t].detach(), plain_of(gradients, t)
            return gradients

        return replace(phase, loss=loss, modulate=keep)

    training.phases = [watched(phase) for phase in training.phases]

    def compare() -> None:
        batch = double_batch(bank, trials, training.step)
        for t, reference in enumerate(plain):
            (loss, found), (expected, gradients) = seen[t], reference.update(rows_of_one(batch, t))
            torch.testing.assert_close(loss, expected, rtol=1e-8, atol=1e-12)
            assert_same(found, gradients[-len(found) :])
            weights = plain_of(list(training.model.parameters()), t)
            assert_same(weights, list(reference.network.parameters()))

    training.run(pause=compare)
    assert training.step == trials[0].steps
    return training, plain


def weights_after(trial: Trial, bank: FeatureBank) -> list[Tensor]:
    """The weights of one trial trained in double precision."""
    training = double_training([trial], bank)
    training.run()
    return [p.detach() for p in training.model.parameters()]


def loss_and_gradients(trial: Trial, bank: FeatureBank, step: int = 1) -> list[Tensor]:
    """A fresh learner's loss at a step and the gradients of all its parameters."""
    model = double_training([trial], double_bank(bank)).model
    loss = model.loss(double_batch(bank, [trial], step))
    return [loss.detach(), *torch.autograd.grad(loss.sum(), list(model.parameters()))]
