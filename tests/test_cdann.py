"""CDANN against plain PyTorch in double precision, and in the limits where it is ERM."""

from __future__ import annotations

import math

import pytest
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
from torch.nn.functional import cross_entropy

from mglib.algorithms.cdann import class_weights
from mglib.registry import algorithms
from mglib.trials.counter import uniforms
from mglib.trials.engine import build
from mglib.trials.hyperparameters import draw_hparams

pytestmark = pytest.mark.usefixtures("one_thread")


ASKED = {
    "lr_g": 1e-2,
    "lr_d": 3e-2,
    "weight_decay_g": 0.01,
    "weight_decay_d": 0.02,
    "lambda": 0.7,
    "grad_penalty": 0.3,
    "mlp_depth": 4,
}


def asked_of(number):
    """Hyper-parameters that differ between the trials of one stack."""
    return {
        **ASKED,
        "d_steps_per_g_step": 1 + number,
        "beta1": 0.5 * number,
        "mlp_width": (9, 11)[number],
        "batch_size": (5, 6)[number],
        "mlp_dropout": (0.1, 0.5)[number],
    }


class Published:
    """One trial by lists of modalities, after DomainBed's description of the update."""

    def __init__(self, model, t, asked):
        self.asked, self.t, self.count = asked, t, 0
        self.classes = model.task.classes
        self.most = model.discriminator.layers[0].bias.shape[-1]
        self.body = plain_mlp(model.featurizer, t)
        self.featurizer = relu_network(self.body)
        self.classifier = plain_linear(model.classifier, t)
        self.discriminator = plain_mlp(model.discriminator, t, asked["mlp_width"])
        self.embedding = torch.nn.Embedding(*model.embeddings.shape[1:]).double()
        self.embedding.weight.data.copy_(model.embeddings[t])
        betas = (asked["beta1"], 0.9)
        self.disc_opt = torch.optim.Adam(
            [p for m in (*self.discriminator, self.embedding) for p in m.parameters()],
            lr=asked["lr_d"],
            weight_decay=asked["weight_decay_d"],
            betas=betas,
        )
        self.gen_opt = torch.optim.Adam(
            [p for m in (self.featurizer, self.classifier) for p in m.parameters()],
            lr=asked["lr_g"],
            weight_decay=asked["weight_decay_g"],
            betas=betas,
        )

    def judge(self, u, batch):
        """The discriminator's logits, with the dropout masks of the step's seed."""
        rate, width = self.asked["mlp_dropout"], self.asked["mlp_width"]
        modalities, rows = batch.y.shape[1:]
        used = int(batch.used[self.t, 0].sum())
        for number, layer in enumerate(self.discriminator[:-1]):
            u = layer(u)
            if rate:
                shape = [modalities, rows, self.most]
                drawn = uniforms(batch.noise["dropout"], shape, stream=number)[self.t]
                mask = (drawn[:, :used, :width] >= rate).double() / (1 - rate)
                u = u * mask.flatten(0, 1)
            u = u.relu()
        return self.discriminator[-1](u)

    def losses(self, batch):
        minibatches = rows_of_one(batch, self.t)
        x = torch.cat([x for x, _ in minibatches])
        y = torch.cat([y for _, y in minibatches])
        place = torch.cat([torch.full_like(y, e) for e, (_, y) in enumerate(minibatches)])
        z = self.featurizer(x)
        u = z + self.embedding(y)
        out = self.judge(u, batch)
        counts = torch.bincount(y)
        weights = 1.0 / (counts[y] * len(counts)).double()
        adversary = (weights * cross_entropy(out, place, reduction="none")).sum()
        (slope,) = torch.autograd.grad(
            cross_entropy(out, place, reduction="sum"), u, create_graph=True
        )
        adversary = adversary + self.asked["grad_penalty"] * slope.square().sum(1).mean(0)
        return cross_entropy(self.classifier(z), y) - self.asked["lambda"] * adversary, adversary

    def update(self, batch):
        self.count += 1
        generator, adversary = self.losses(batch)
        waits = self.asked["d_steps_per_g_step"]
        mine, loss = (
            (self.disc_opt, adversary)
            if self.count % (1 + waits) < waits
            else (self.gen_opt, generator)
        )
        self.disc_opt.zero_grad()
        self.gen_opt.zero_grad()
        loss.backward()
        mine.step()


@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_losses_gradients_and_six_steps_are_the_published_ones(modalities):
    bank, train = make_bank(), MODALITIES[:modalities]
    trials = [make_trial("cdann", seed=n, steps=6, train=train, **asked_of(n)) for n in range(2)]
    assert trials[0].stack == trials[1].stack
    model, batch = double_build(trials, bank), double_batch(bank, trials)
    ours, other = model.loss(batch), model.discriminator_loss(batch)
    plain = [Published(model, t, asked_of(t)) for t in range(2)]
    for t, one in enumerate(plain):
        generator, adversary = one.losses(batch)
        torch.testing.assert_close(ours[t], generator, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(other[t], adversary, rtol=1e-9, atol=1e-12)
        for stacked, mine, loss, theirs in (
            (model.embeddings, one.embedding.weight, other, adversary),
            (model.featurizer.layers[0].bias, one.body[0].bias, ours, generator),
        ):
            (a,) = torch.autograd.grad(loss[t], stacked, retain_graph=True)
            (b,) = torch.autograd.grad(theirs, mine, retain_graph=True)
            torch.testing.assert_close(a[t].view_as(b), b, rtol=1e-8, atol=1e-12)
    training = double_training(trials, bank)
    training.run()
    for t, one in enumerate(plain):
        for step in range(1, 7):
            one.update(double_batch(bank, trials, step))
        assert_same_mlp(training.model.featurizer, one.body, t)
        assert_same_linear(training.model.classifier, one.classifier, t)
        assert_same_mlp(training.model.discriminator, one.discriminator, t)
        torch.testing.assert_close(
            training.model.embeddings[t], one.embedding.weight, rtol=1e-8, atol=1e-11
        )


def test_the_two_sides_take_turns_as_each_trial_asks():
    asked = {**asked_of(0), "mlp_dropout": 0.0}
    trials = [
        make_trial("cdann", seed=s, steps=12, **{**asked, "d_steps_per_g_step": waits})
        for s, waits in enumerate((1, 3, 7))
    ]
    training = double_training(trials, make_bank())
    training.run()
    assert training.optimisers[0].steps.tolist() == [6, 9, 11]
    assert training.optimisers[1].steps.tolist() == [6, 3, 1]


def test_class_weights_of_absent_classes_and_padding():
    y = torch.tensor([[[0, 2, 2, 1], [2, 2, 0, 3]], [[1, 1, 1, 0], [1, 1, 1, 0]]])
    used = torch.tensor([[[1.0, 1, 1, 0]], [[1, 1, 1, 0]]])
    found = class_weights(y, used, 5)
    # Classes 0, 2 of trial 0: K = 3 although 1 is absent; its padding holds 1 and 3.
    expected = torch.tensor([[1 / 6, 1 / 12, 1 / 12, 0], [1 / 12, 1 / 12, 1 / 6, 0]])
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1], torch.tensor([[1 / 12, 1 / 12, 1 / 12, 0]] * 2))


def test_padding_changes_no_bit_of_any_gradient():
    bank = make_bank()
    trials = [make_trial("cdann", seed=1, **{**asked_of(0), "batch_size": 5})]
    model, batch = build(trials, bank), double_batch(bank, trials)
    model.double()
    sides = []
    for x, y in ((7.0, 0), (-3.0, 3)):
        batch.x[:, :, 5:], batch.y[:, :, 5:] = x, y
        sides.append(
            [
                g
                for phase in model.phases()
                for g in torch.autograd.grad(phase.loss(batch).sum(), phase.parameters)
            ]
        )
    assert all(torch.equal(a, b) for a, b in zip(*sides, strict=True))
    assert any(g.any() for g in sides[0])


@pytest.mark.parametrize("asked", [{"lambda": 0.0}, {"train": ("art",)}])
def test_without_an_adversary_or_with_one_modality_the_loss_is_that_of_erm(asked):
    bank = make_bank()
    trial = make_trial("cdann", **asked)
    plain = make_trial("erm", train=trial.train)
    model, erm = double_build([trial], bank), double_build([plain], bank)
    batch = double_batch(bank, [plain])
    torch.testing.assert_close(model.loss(batch), erm.loss(batch), rtol=1e-12, atol=0)


def test_the_adversary_hides_the_modality():
    """Modalities shifted apart: with the adversary the discriminator is left with little to see."""
    bank = make_bank()
    bank.values.add_(torch.arange(4.0)[:, None, None] * torch.linspace(-1, 1, 16))
    shared = {"lr_g": 3e-3, "lr_d": 3e-3, "steps": 200, "batch_size": 32, "mlp_width": 32}
    seen = []
    for weight in (0.0, 1.0):
        training = double_training([make_trial("cdann", **{**shared, "lambda": weight})], bank)
        training.run()
        batch = double_batch(bank, training.trials, 1)
        seen.append(training.model.discriminator_loss(batch).item())
    assert seen[0] < 0.75 * math.log(3) < 0.95 * math.log(3) < seen[1]


def test_random_draw_of_cdann():
    values = draw_hparams(algorithms.get("cdann").search, 1, 0)
    known = {
        "lambda": 3.500347568342894,
        "d_steps_per_g_step": 7,
        "grad_penalty": 3.044417571888086,
        "beta1": 0.5,
        "mlp_width": 255,
        "mlp_depth": 4,
        "mlp_dropout": 0.5,
        "lr_g": 1.8927227584350511e-04,
        "lr_d": 1.7562793545765942e-05,
        "weight_decay_g": 3.716490191663224e-03,
        "weight_decay_d": 1.0096814830489473e-04,
    }
    assert {name: values[name] for name in known} == pytest.approx(known, rel=1e-12)
