"""Several optimisers in one step, each on its own schedule in each trial, against plain PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from made_up import batch_of, make_bank, make_trial
from torch.nn.functional import cross_entropy

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Phase
from mglib.trials.engine import Training
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform
from mglib.trials.optimisers import SGD, Adam


class Alternating(ERM):
    """The featurizer by Adam, only every few steps; the classifier by SGD at a falling rate."""

    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "momentum": Hyperparameter(0.9, log10_uniform(-1, 0)),
        "wait": Hyperparameter(1, log10_uniform(0, 1)),
        "beta1": Hyperparameter(0.5, log10_uniform(-1, 0)),
        "restart": Hyperparameter(20, log10_uniform(0, 1)),
    }

    def phases(self):
        h = self.hparams
        return [
            Phase(
                list(self.featurizer.parameters()),
                self.loss,
                h["lr"],
                h["weight_decay"],
                settings={"beta1": h["beta1"]},
                active=lambda step: step % (h["wait"] + 1) == 0,
                resets=lambda step: h["restart"] == step,
            ),
            Phase(
                list(self.classifier.parameters()),
                self.loss,
                lambda step: h["lr"] / step,
                h["weight_decay"],
                optimiser="sgd",
                settings={"momentum": h["momentum"]},
            ),
        ]


ASKED = [
    {"lr": 0.01, "momentum": 0.9, "wait": 1, "beta1": 0.5, "weight_decay": 0.0, "restart": 20},
    {"lr": 0.03, "momentum": 0.0, "wait": 2, "beta1": 0.0, "weight_decay": 0.01, "restart": 7},
    {"lr": 0.02, "momentum": 0.5, "wait": 0, "beta1": 0.9, "weight_decay": 0.1, "restart": 99},
]


@pytest.fixture
def trials(monkeypatch):
    algorithms.names()
    monkeypatch.setitem(algorithms._found, "alternating", Alternating)
    erm = [make_trial(seed=s, steps=25, batch_size=6) for s in range(3)]

    return [
        replace(t, algorithm="alternating", hparams=json.dumps({"batch_size": 6, **asked}))
        for t, asked in zip(erm, ASKED, strict=True)
    ]


def plain(trial, bank):
    """The same training of one trial, written with torch.optim."""
    model = Training([trial], bank).model
    asked = trial.values
    inner, outer = list(model.featurizer.parameters()), list(model.classifier.parameters())

    def fresh():
        return torch.optim.Adam(
            inner, lr=asked["lr"], betas=(asked["beta1"], 0.999), weight_decay=asked["weight_decay"]
        )

    adam = fresh()
    sgd = torch.optim.SGD(
        outer, lr=asked["lr"], momentum=asked["momentum"], weight_decay=asked["weight_decay"]
    )
    for step in range(1, trial.steps + 1):
        batch = batch_of(bank, [trial], step)

        def loss(batch=batch):
            return cross_entropy(model.predict(batch.x).flatten(0, 2), batch.y.flatten())

        if step == asked["restart"]:
            adam = fresh()
        if step % (asked["wait"] + 1) == 0:
            model.zero_grad()
            loss().backward()
            adam.step()
        model.zero_grad()
        loss().backward()
        for group in sgd.param_groups:
            group["lr"] = asked["lr"] / step
        sgd.step()
    return model


def test_every_trial_keeps_its_own_schedule(trials):
    bank = make_bank()
    training = Training(trials, bank)
    training.run()
    assert training.optimisers[0].steps.tolist() == [3, 6, 25]
    for number, trial in enumerate(trials):
        expected = plain(trial, bank)
        for ours, theirs in zip(training.model.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(ours[number], theirs[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [Adam, SGD])
def test_the_two_ways_of_updating_agree(kind, monkeypatch):
    """One fused call per trial (CPU) and all trials at once (GPU), with trials that sit out."""
    g = torch.Generator().manual_seed(0)
    start = [torch.randn(4, 3, 2, generator=g), torch.randn(4, 1, 2, generator=g)]
    lr = torch.tensor([1e-3, 1e-2, 0.1, 0.5])
    settings = (
        {"momentum": torch.tensor([0.0, 0.5, 0.9, 0.0])}
        if kind is SGD
        else {"beta1": torch.tensor([0.0, 0.5, 0.9, 0.9]), "beta2": 0.99}
    )
    sides = []
    for _ in range(2):
        parameters = [p.clone() for p in start]
        decay = torch.tensor([0.0, 0.0, 0.1, 0.3])
        sides.append((parameters, kind(parameters, decay, **settings)))
    together = sides[1][1]
    monkeypatch.setattr(
        together,
        "_step_each",
        lambda gradients, lr_, active: together._step_all(
            gradients, torch.tensor(lr_), torch.tensor(active)
        ),
    )
    for step in range(30):
        gradients = [torch.randn(p.shape, generator=g) for p in start]
        active = torch.tensor([True, step % 2 == 0, step > 10, step != 3])
        for _, optimiser in sides:
            if step == 15:
                optimiser.reset(torch.tensor([False, True, False, False]))
            optimiser.step(gradients, lr, active)
    for a, b in zip(sides[0][0], sides[1][0], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert not torch.equal(sides[0][0][0], start[0])
