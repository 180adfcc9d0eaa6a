"""CondCAD against its formula row by row, and where it has nothing to hide."""

from __future__ import annotations

import math

import pytest
import torch
from made_up import MODALITIES, batch_of, make_bank, make_trial
from plain_domains import PlainERM, follow, loss_and_gradients, weights_after

from mglib.algorithms.condcad import bottleneck
from mglib.trials.engine import build

pytestmark = pytest.mark.usefixtures("one_thread")


def slow_bottleneck(features, labels, modalities, temperature):
    """DomainBed's steps for one row after the other: zero diagonal, maximum, log-probabilities."""
    similarity = features @ features.T / temperature
    similarity = similarity * (1 - torch.eye(len(features)))
    logits = similarity - similarity.detach().max(1, keepdim=True).values
    found = []
    for i, (label, modality) in enumerate(zip(labels, modalities, strict=True)):
        alike = [j for j in range(len(labels)) if j != i and labels[j] == label]
        apart = [j for j in alike if modalities[j] != modality]
        if apart:
            of_class = torch.stack([logits[i, j] for j in alike]).exp().sum().log()
            chances = [(logits[i, j] - of_class).exp() for j in apart]
            found.append(-temperature / 0.07 * sum(chances).log())
    return sum(found) / len(found) if found else 0 * features.sum()


class PlainCondCAD(PlainERM):
    def objective(self, rows):
        z = torch.cat([self.featurizer(x) for x, _ in rows])
        labels = torch.cat([y for _, y in rows]).tolist()
        modalities = [m for m, (x, _) in enumerate(rows) for _ in x]
        penalty = slow_bottleneck(z, labels, modalities, self.values["temperature"])
        return super().objective(rows) + self.values["lmbda"] * penalty


@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_three_steps_are_those_of_plain_pytorch(modalities):
    bank = make_bank(noise=2.0)
    asked = {"train": MODALITIES[:modalities], "steps": 3, "weight_decay": 1e-2}
    trials = [
        make_trial("condcad", seed=0, batch_size=5, lmbda=2.0, temperature=0.05, **asked),
        make_trial("condcad", seed=1, batch_size=6, lmbda=0.1, temperature=0.1, **asked),
    ]
    follow(trials, bank, PlainCondCAD)


def test_one_modality_or_no_weight_is_erm():
    bank = make_bank(noise=2.0)
    for train, asked in ((("art",), {"lmbda": 100.0}), (MODALITIES[:3], {"lmbda": 0.0})):
        erm = weights_after(make_trial(steps=20, train=train), bank)
        other = weights_after(make_trial("condcad", steps=20, train=train, **asked), bank)
        for a, b in zip(erm, other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_equal_features_cannot_be_told_apart():
    """Three modalities of one class: 2 of a row's 8 likes are its own modality's."""
    z, y = torch.ones(1, 3, 3, 4), torch.zeros(1, 3, 3, dtype=torch.long)
    found = bottleneck(z, y, torch.ones(1, 1, 3), torch.tensor([0.1]))
    assert found.item() == pytest.approx(-0.1 / 0.07 * math.log(6 / 8), rel=1e-5)


def test_rows_without_their_class_elsewhere_do_not_count():
    """Classes that no two modalities share: no loss, and no gradient of it either."""
    z = torch.randn(1, 2, 3, 4, generator=torch.manual_seed(0)).requires_grad_()
    y = torch.tensor([[[0, 0, 1], [2, 2, 3]]])
    found = bottleneck(z, y, torch.ones(1, 1, 3), torch.tensor([0.1]))
    (gradient,) = torch.autograd.grad(found.sum(), z)
    assert found.item() == 0 and torch.equal(gradient, torch.zeros_like(z))
    shared = bottleneck(z, torch.tensor([[[0, 0, 1], [0, 2, 3]]]), torch.ones(1, 1, 3), found + 0.1)
    assert shared.item() > 0


def test_great_similarities_stay_finite():
    z = 100 * torch.randn(1, 2, 4, 8, generator=torch.manual_seed(0))
    y = torch.tensor([[[0, 0, 1, 1], [0, 1, 1, 2]]])
    z.requires_grad_()
    found = bottleneck(z, y, torch.ones(1, 1, 4), torch.tensor([0.05]))
    (gradient,) = torch.autograd.grad(found.sum(), z)
    assert found.item() > 100 and torch.isfinite(gradient).all()


def test_padding_has_no_gradient_and_no_influence_on_them():
    bank = make_bank(noise=2.0)
    trial = make_trial("condcad", batch_size=5)
    model, batch = build([trial], bank), batch_of(bank, [trial])
    gradients = []
    for filler in (0.5, 70.0):
        x = batch.x.clone()
        x[:, :, 5] = filler
        x.requires_grad_()
        loss = model.loss(type(batch)(x, batch.y, batch.used, batch.step, batch.noise))
        gradients.append(torch.autograd.grad(loss.sum(), [x, *model.parameters()]))
    assert not gradients[0][0][:, :, 5].any()
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)


def test_the_bottleneck_changes_what_is_learned():
    bank = make_bank(noise=2.0)
    asked = [make_trial("condcad", lmbda=weight) for weight in (0.0, 1.0)]
    plain, hidden = (loss_and_gradients(trial, bank) for trial in asked)
    assert hidden[0] != plain[0] and not torch.equal(hidden[1], plain[1])
