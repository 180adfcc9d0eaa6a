"""Multimodal learners stepped as ModalBed's code does it: one trial, lists of rows, torch.optim."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from made_up import MODALITIES, make_bank, make_trial
from published_step import (
    assert_same_linear,
    assert_same_mlp,
    double_batch,
    double_build,
    double_training,
    plain_linear,
    plain_mlp,
    relu_network,
    rows_of_one,
)

from mglib.registry import algorithms
from mglib.trials.networks import StackedLinear

MULTIMODAL = ("concat", "dlmg", "late_average", "ogm", "ogm_ge", "umt")
EVERY_VARIANT = [(name, v) for name in MULTIMODAL for v in algorithms.get(name).variants]
TRAIN = [MODALITIES[:number] for number in (1, 2, 3)]


def two_trials(name, variant="corrected", train=MODALITIES[:3], steps=3, **asked):
    """Two trials of one stack, of 5 and 6 rows and other rates; `asked` pairs are for one each."""
    own = [{k: v[t] if isinstance(v, tuple) else v for k, v in asked.items()} for t in range(2)]
    return [
        make_trial(
            *(name,),
            **{"variant": variant, "train": train, "steps": steps, "seed": t},
            **{"batch_size": (5, 6)[t], "lr": (1e-2, 3e-2)[t], "wc": (1e-4, 1e-2)[t], **own[t]},
        )
        for t in range(2)
    ]


def slots_of(features, modalities, aligned):
    """ModalBed's lists of rows for each slot, from features of interleaved rows; or the right ones.

    Its code forgets the stride of `modalities`.
    """
    rows = torch.arange(len(features) // modalities)
    return [features[rows * modalities + i if aligned else rows + i] for i in range(modalities)]


def interleaved(batch, t):
    """Rows and labels of one trial as ModalBed's loader lays them out, instance by instance."""
    rows = rows_of_one(batch, t)
    x = torch.stack([x for x, _ in rows], 1).flatten(0, 1)
    return x, torch.stack([y for _, y in rows], 1).flatten()


class Plain(ABC):
    """One trial's learner; `layers` pairs each stacked part's name with its plain layers."""

    def __init__(self, model, t, trial):
        self.t, self.trial, self.asked = t, trial, trial.values
        self.modalities = len(trial.train)
        self.layers = {}
        self.build(model)

    @abstractmethod
    def build(self, model): ...

    @abstractmethod
    def step(self, batch, step):
        """One update; the loss before it."""

    def take(self, model, name):
        """A part of the model as plain PyTorch."""
        part = model.get_submodule(name)
        if isinstance(part, StackedLinear):
            self.layers[name] = plain_linear(part, self.t)
            return self.layers[name]
        self.layers[name] = plain_mlp(part, self.t)
        return relu_network(self.layers[name])

    def parameters(self, *parts):
        return [p for part in parts for p in part.parameters()]

    def sgd(self, parameters):
        return torch.optim.SGD(
            parameters, self.asked["lr"], self.asked["momentum"], weight_decay=self.asked["wc"]
        )

    def adam(self, parameters):
        return torch.optim.Adam(parameters, self.asked["lr"], weight_decay=self.asked["wc"])


class PlainConcat(Plain):
    """ModalBed's Concat; subclasses change what happens between features and update."""

    def build(self, model):
        self.f, self.w = self.take(model, "featurizer"), self.take(model, "classifier")
        self.optimiser = self.optimiser_of(self.parameters(self.f, self.w))

    def optimiser_of(self, parameters):
        return self.adam(parameters)

    def rows(self, batch):
        """Features of each slot and the labels."""
        x, y = interleaved(batch, self.t)
        aligned = self.trial.variant != "as_published"
        return slots_of(self.f(x), self.modalities, aligned), y[:: self.modalities]

    def loss(self, slots, y, step):
        return torch.nn.functional.cross_entropy(self.w(torch.cat(slots, 1)), y)

    def step(self, batch, step):
        self.optimiser.zero_grad()
        loss = self.loss(*self.rows(batch), step)
        loss.backward()
        self.optimiser.step()
        return loss.detach()


def assert_same_gradients(model, losses, plain, t):
    """The model's gradients of one trial's loss are those left in the plain layers."""
    for name, layers in plain.layers.items():
        part = model.get_submodule(name)
        stacked = [part] if isinstance(part, StackedLinear) else list(part.layers)
        for ours, theirs in zip(
            stacked, layers if isinstance(layers, list) else [layers], strict=True
        ):
            if theirs.weight.grad is None:
                continue
            weight, bias = torch.autograd.grad(
                losses[t], [ours.weight, ours.bias], retain_graph=True
            )
            near = {"rtol": 1e-8, "atol": 1e-13}
            torch.testing.assert_close(weight[t], theirs.weight.grad.T, **near)
            torch.testing.assert_close(bias[t, 0], theirs.bias.grad, **near)


def assert_same_training(trials, kind, gradients=True):
    """Loss, gradients and the weights after all steps are those of the plain learner, per trial."""
    bank = make_bank()
    model = double_build(trials, bank)
    training = double_training(trials, bank)
    training.run()
    for t, trial in enumerate(trials):
        plain = kind(model, t, trial)
        for step in range(1, trial.steps + 1):
            batch = double_batch(bank, trials, step)
            loss = plain.step(batch, step)
            if step == 1:
                losses = model.loss(batch)
                torch.testing.assert_close(losses[t].detach(), loss, rtol=1e-10, atol=0)
                if gradients:
                    assert_same_gradients(model, losses, plain, t)
        for name, layers in plain.layers.items():
            same = assert_same_mlp if isinstance(layers, list) else assert_same_linear
            same(training.model.get_submodule(name), layers, t)
