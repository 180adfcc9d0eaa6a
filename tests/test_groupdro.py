"""GroupDRO against plain PyTorch, in its limits, and with a modality that is harder than others."""

from __future__ import annotations

import pytest
import torch
from made_up import MODALITIES, batch_of, make_bank, make_trial
from plain_domains import PlainERM, follow, weights_after

from mglib.trials.engine import Training, build

pytestmark = pytest.mark.usefixtures("one_thread")


class PlainGroupDRO(PlainERM):
    """DomainBed's: weights begin at 1 each, grow one by one and are divided by their sum."""

    def __init__(self, *args):
        super().__init__(*args)
        self.q = None

    def objective(self, rows):
        risks = self.risks(rows)
        if self.q is None:
            self.q = torch.ones(len(rows), dtype=torch.float64)
        for m, risk in enumerate(risks):
            self.q[m] *= torch.exp(self.values["groupdro_eta"] * risk.detach())
        self.q /= self.q.sum()
        return sum(weight * risk for weight, risk in zip(self.q, risks, strict=True))


@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_five_steps_are_those_of_plain_pytorch(modalities):
    bank = make_bank(noise=2.0)
    asked = {"train": MODALITIES[:modalities], "steps": 5, "weight_decay": 1e-2}
    trials = [
        make_trial("groupdro", seed=0, batch_size=5, groupdro_eta=0.7, **asked),
        make_trial("groupdro", seed=1, batch_size=6, groupdro_eta=0.1, **asked),
    ]
    training, plain = follow(trials, bank, PlainGroupDRO)
    for t, reference in enumerate(plain):
        torch.testing.assert_close(training.model.q[t], reference.q, rtol=1e-8, atol=0)


def test_weights_that_cannot_grow_or_one_modality_are_erm():
    bank = make_bank(noise=2.0)
    for train, asked in ((MODALITIES[:3], {"groupdro_eta": 0.0}), (("art",), {})):
        erm = weights_after(make_trial(steps=20, train=train), bank)
        other = weights_after(make_trial("groupdro", steps=20, train=train, **asked), bank)
        for a, b in zip(erm, other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_a_great_growth_leaves_the_worst_modality_alone():
    bank = make_bank(noise=2.0)
    trial = make_trial("groupdro", groupdro_eta=1e4)
    model, batch = build([trial], bank), batch_of(bank, [trial])
    worst = build([make_trial()], bank)
    risks = [
        worst.loss(type(batch)(batch.x[:, [m]], batch.y[:, [m]], batch.used)).item()
        for m in range(3)
    ]
    assert model.loss(batch).item() == pytest.approx(max(risks), rel=1e-6)


def test_the_harder_modality_gets_the_weight():
    """One modality shows nothing, so that its risk stays at the logarithm of the classes."""
    bank = make_bank(noise=0.3)
    bank.values[1] = 0
    training = Training([make_trial("groupdro", steps=200, groupdro_eta=0.1)], bank)
    training.run()
    q = training.model.q[0]
    assert q[1] > 0.9 and q.sum().item() == pytest.approx(1)
    assert training.moving()["model.q"].shape == (1, 3)
