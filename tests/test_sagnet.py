"""SagNet against plain PyTorch in double precision, what it blends, and where it is ERM."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
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
from scipy import stats
from torch.nn.functional import cross_entropy, log_softmax

from mglib.algorithms.sagnet import SagNet, joined, parted
from mglib.errors import MglibError

pytestmark = pytest.mark.usefixtures("one_thread")


ASKED = {"lr": 1e-2, "weight_decay": 0.01, "sag_w_adv": 0.6}


class Published:
    """One trial by lists of modalities, after DomainBed's description of the update."""

    def __init__(self, model, t):
        self.t = t
        self.body = plain_mlp(model.featurizer, t)
        self.network = relu_network(self.body)
        self.content = plain_linear(model.classifier, t)
        self.style = plain_linear(model.style_classifier, t)
        self.optimisers = [
            torch.optim.Adam(part.parameters(), lr=ASKED["lr"], weight_decay=ASKED["weight_decay"])
            for part in (self.network, self.content, self.style)
        ]

    def noise(self, batch, name):
        """What the step drew for this trial's rows, places counted without padding."""
        modalities, rows = batch.y.shape[1:]
        used = int(batch.used[self.t, 0].sum())
        kept = [m * rows + b for m in range(modalities) for b in range(used)]
        drawn = batch.noise[name][self.t][kept]
        if name == "share":
            return drawn[:, None].double()
        return torch.tensor([kept.index(place) for place in drawn.tolist()])

    def randomised(self, batch, what):
        z = self.network(torch.cat([x for x, _ in rows_of_one(batch, self.t)]))
        mean, variance = z.mean(1, keepdim=True), z.var(1, keepdim=True)
        content = (z - mean) / (variance + 1e-5).sqrt()
        partners = self.noise(batch, what)
        if what == "style":
            share = self.noise(batch, "share")
            mean = share * mean + (1 - share) * mean[partners]
            variance = share * variance + (1 - share) * variance[partners]
        else:
            content = content[partners].detach()
        return content * (variance + 1e-5).sqrt() + mean

    def content_loss(self, batch):
        y = torch.cat([y for _, y in rows_of_one(batch, self.t)])
        return cross_entropy(self.content(self.randomised(batch, "style")), y)

    def style_loss(self, batch):
        y = torch.cat([y for _, y in rows_of_one(batch, self.t)])
        return cross_entropy(self.style(self.randomised(batch, "content")), y)

    def adversary_loss(self, batch):
        logits = self.style(self.randomised(batch, "adversary"))
        return -ASKED["sag_w_adv"] * log_softmax(logits, dim=1).mean(1).mean()

    def update(self, batch):
        body, content, style = self.optimisers
        for loss, moved in (
            (self.content_loss, (body, content)),
            (self.style_loss, (style,)),
            (self.adversary_loss, (body,)),
        ):
            for optimiser in self.optimisers:
                optimiser.zero_grad()
            loss(batch).backward()
            for optimiser in moved:
                optimiser.step()


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_losses_gradients_and_three_steps_are_the_published_ones(modalities):
    bank, train = make_bank(), MODALITIES[:modalities]
    trials = [
        make_trial("sagnet", seed=n, steps=3, train=train, batch_size=5 + n, **ASKED)
        for n in range(2)
    ]
    model, batch = double_build(trials, bank), double_batch(bank, trials)
    names = ("loss", "content_loss", "style_loss", "adversary_loss")
    ours = [getattr(model, name)(batch) for name in names]
    parts = (model.featurizer.layers[0], model.classifier, model.style_classifier)
    plain = [Published(model, t) for t in range(2)]
    for t, one in enumerate(plain):
        theirs = [getattr(one, n)(batch) for n in (names[1], *names[1:])]
        layers = (one.body[0], one.content, one.style)
        for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            torch.testing.assert_close(a[t], b, rtol=1e-9, atol=0)
            stacked, mine = parts[place % 3], layers[place % 3]
            (found,) = torch.autograd.grad(a[t], stacked.bias, retain_graph=True)
            (expected,) = torch.autograd.grad(b, mine.bias)
            torch.testing.assert_close(found[t, 0], expected, rtol=1e-8, atol=1e-12)
    training = double_training(trials, bank)
    training.run()
    for t, one in enumerate(plain):
        for step in range(1, 4):
            one.update(double_batch(bank, trials, step))
        assert_same_mlp(training.model.featurizer, one.body, t)
        assert_same_linear(training.model.classifier, one.content, t)
        assert_same_linear(training.model.style_classifier, one.style, t)


def test_the_featurizers_adam_moves_twice_a_step():
    training = double_training([make_trial("sagnet", steps=7)], make_bank())
    training.run()
    assert [o.steps.item() for o in training.optimisers] == [14, 7, 7, 14]
    assert training.optimisers[0] is training.optimisers[3]


def test_content_has_no_style_and_joins_back():
    z = 3 + 2 * torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).double()
    content, mean, variance = parted(z)
    torch.testing.assert_close(content.mean(-1), torch.zeros(4).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(content.var(-1), torch.ones(4).double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(joined(content, mean, variance), z, rtol=1e-12, atol=0)
    # Another scale and shift is another style of the same content.
    torch.testing.assert_close(parted(5 * z - 1)[0], content, rtol=1e-4, atol=0)


def test_own_style_and_the_style_of_a_twin_give_the_loss_of_erm():
    bank, trial = make_bank(), make_trial("sagnet")
    model, erm = double_build([trial], bank), double_build([make_trial("erm")], bank)
    batch = double_batch(bank, [trial])
    alone = replace(batch, noise={**batch.noise, "style": torch.arange(24)[None]})
    torch.testing.assert_close(model.loss(alone), erm.loss(batch), rtol=1e-12, atol=0)
    whole = replace(batch, noise={**batch.noise, "share": torch.ones(1, 24)})
    torch.testing.assert_close(model.loss(whole), erm.loss(batch), rtol=1e-12, atol=0)
    assert (model.loss(batch) - erm.loss(batch)).abs() > 1e-6


def test_noise_permutes_the_rows_in_use_and_shares_are_uniform():
    drawn = SagNet.noise(np.random.default_rng(0), {"batch_size": 5}, 3, 6, 300)
    own = [p for p in range(18) if p % 6 < 5]
    orders = [drawn[name] for name in ("style", "content", "adversary")]
    for order in orders:
        assert (order[:, [5, 11, 17]] == [5, 11, 17]).all()
        assert (np.sort(order[:, own], axis=1) == own).all()
        # Partners come from all modalities.
        assert {int(p) // 6 for p in order[:, 0]} == {0, 1, 2}
    assert not (orders[0] == orders[1]).all() and not (orders[1] == orders[2]).all()
    assert stats.kstest(drawn["share"].ravel(), "uniform").pvalue > 1e-3


def test_padding_changes_no_bit_of_any_gradient():
    bank, trial = make_bank(), make_trial("sagnet", batch_size=5, **ASKED)
    model, batch = double_build([trial], bank), double_batch(bank, [trial])
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


def test_the_adversary_makes_style_say_nothing_of_the_label():
    """Classes told apart by the mean of their features alone: that is style."""
    bank = make_bank()
    bank.values.copy_(torch.randn(bank.values.shape, generator=torch.Generator().manual_seed(0)))
    bank.values.add_(bank.labels[:, None])
    losses = []
    for weight in (0.0, 10.0):
        trial = make_trial("sagnet", steps=150, lr=3e-3, batch_size=32, sag_w_adv=weight)
        training = double_training([trial], bank)
        training.run()
        losses.append(training.model.style_loss(double_batch(bank, [trial])).item())
    assert losses[0] < 0.8 * np.log(4) < losses[1]


def test_the_classifier_wants_the_featurizers_minibatch():
    bank, trial = make_bank(), make_trial("sagnet")
    model = double_build([trial], bank)
    model.loss(double_batch(bank, [trial], 1))
    with pytest.raises(MglibError, match="its minibatch"):
        model.content_loss(double_batch(bank, [trial], 2))
