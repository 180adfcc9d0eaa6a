"""VREx, IB-ERM, CORAL and Fishr against plain PyTorch, and in the limits where they are ERM."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pytest
import torch
from made_up import MODALITIES, batch_of, make_bank, make_trial
from plain_domains import PlainERM, follow, loss_and_gradients, weights_after
from torch.nn.functional import cross_entropy

from mglib.algorithms.coral import moment_gap
from mglib.algorithms.fishr import Fishr, gradient_variances
from mglib.trials.engine import Training, build
from mglib.trials.hyperparameters import draw_hparams

pytestmark = pytest.mark.usefixtures("one_thread")


class Annealed(PlainERM, ABC):
    """A penalty whose weight jumps when Adam starts anew."""

    strength, wait, before = "", "", 0.0

    @abstractmethod
    def penalty(self, rows):
        """What is added to the mean loss of the rows, before its weight."""

    def objective(self, rows):
        weight = self.values[self.strength] if self.count >= self.values[self.wait] else self.before
        return super().objective(rows) + weight * self.penalty(rows)

    def optimiser_now(self):
        if self.count == self.values[self.wait]:
            self.optimiser = self.fresh(self.values["lr"])
        return self.optimiser


class PlainVREx(Annealed):
    strength, wait, before = "vrex_lambda", "vrex_penalty_anneal_iters", 1.0

    def penalty(self, rows):
        risks = torch.stack(self.risks(rows))
        return risks.var(unbiased=False) if len(rows) > 1 else 0 * risks[0]


class PlainIBERM(Annealed):
    strength, wait = "ib_lambda", "ib_penalty_anneal_iters"

    def penalty(self, rows):
        return sum(self.featurizer(x).var(dim=0).mean() for x, _ in rows) / len(rows)


class PlainFishr(Annealed):
    """Gradients of the classifier row by row with autograd, averages in a list."""

    strength, wait = "lambda", "penalty_anneal_iters"

    def __init__(self, *args):
        super().__init__(*args)
        self.averages = None

    def variances(self, x, y):
        rows = []
        for features, label in zip(self.featurizer(x), y, strict=True):
            loss = cross_entropy(self.classifier(features), label)
            own = torch.autograd.grad(loss, list(self.classifier.parameters()), create_graph=True)
            rows.append(torch.cat([g.flatten() for g in own]))
        return torch.stack(rows).var(0, unbiased=False)

    def penalty(self, rows):
        ema = self.values["ema"]
        fresh = [self.variances(x, y) for x, y in rows]
        past = self.averages or [torch.zeros_like(v) for v in fresh]
        averages = [ema * a + (1 - ema) * b for a, b in zip(past, fresh, strict=True)]
        self.averages = [a.detach() for a in averages]
        averages = [a / (1 - ema) for a in averages]
        mean = torch.stack(averages).mean(0)
        return sum((a - mean).square().mean() for a in averages) / len(averages)


class PlainCORAL(PlainERM):
    def objective(self, rows):
        z = [self.featurizer(x) for x, _ in rows]
        gaps = [
            (a.mean(0) - b.mean(0)).square().mean()
            + (torch.cov(a.T) - torch.cov(b.T)).square().mean()
            for number, a in enumerate(z)
            for b in z[number + 1 :]
        ]
        penalty = sum(gaps) / len(gaps) if gaps else 0.0
        return super().objective(rows) + self.values["mmd_gamma"] * penalty


PLAIN = {
    "vrex": (PlainVREx, {"vrex_lambda": 70.0, "vrex_penalty_anneal_iters": 2}),
    "ib_erm": (PlainIBERM, {"ib_lambda": 30.0, "ib_penalty_anneal_iters": 2}),
    "fishr": (PlainFishr, {"lambda": 500.0, "penalty_anneal_iters": 2, "ema": 0.9}),
    "coral": (PlainCORAL, {"mmd_gamma": 3.0}),
}
WAITS = {name: kind.wait for name, (kind, _) in PLAIN.items() if issubclass(kind, Annealed)}


@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
@pytest.mark.parametrize("name", PLAIN)
def test_five_steps_are_those_of_plain_pytorch(name, modalities):
    """Two trials of other batch sizes; the penalty of the first sets in at its third step."""
    kind, asked = PLAIN[name]
    asked = {**asked, "train": MODALITIES[:modalities], "steps": 5, "weight_decay": 1e-2}
    bank = make_bank(noise=2.0)
    trials = [
        make_trial(name, seed=0, batch_size=5, **asked),
        make_trial(name, seed=1, batch_size=6, **{**asked, WAITS.get(name, "mmd_gamma"): 10.0}),
    ]
    follow(trials, bank, kind)


@pytest.mark.parametrize("name", WAITS)
def test_the_optimiser_starts_anew_when_the_weight_jumps(name):
    trials = [make_trial(name, seed=s, steps=30, **{WAITS[name]: w}) for s, w in ((0, 20), (1, 99))]
    training = Training(trials, make_bank())
    training.run()
    assert training.optimisers[0].steps.tolist() == [10.0, 30.0]


@pytest.mark.parametrize(("name", "annealed"), [("ib_erm", 500), ("fishr", 1500), ("coral", 0)])
def test_the_penalty_counts_from_its_step_on(name, annealed):
    bank = make_bank(noise=2.0)
    erm = make_trial(steps=2000)
    other = make_trial(name, steps=2000)
    for step in (annealed, annealed + 1):
        if step:
            plain, penalised = (loss_and_gradients(t, bank, step) for t in (erm, other))
            pairs = zip(plain, penalised, strict=True)
            same = all(torch.allclose(a, b, rtol=1e-10, atol=1e-15) for a, b in pairs)
            assert same == (step == annealed)


@pytest.mark.parametrize("name", ["vrex", "fishr", "coral"])
def test_one_modality_is_erm(name):
    bank = make_bank(noise=2.0)
    waits = {WAITS[name]: 0} if name in WAITS else {}
    erm = weights_after(make_trial(steps=20, train=("art",)), bank)
    other = weights_after(make_trial(name, steps=20, train=("art",), **waits), bank)
    for a, b in zip(erm, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("vrex", {"vrex_lambda": 0.0, "vrex_penalty_anneal_iters": 0}),
        ("ib_erm", {"ib_lambda": 0.0, "ib_penalty_anneal_iters": 0}),
        ("fishr", {"lambda": 0.0, "penalty_anneal_iters": 0}),
        ("coral", {"mmd_gamma": 0.0}),
    ],
)
def test_a_penalty_without_weight_is_erm(name, asked):
    bank = make_bank(noise=2.0)
    erm = weights_after(make_trial(steps=20), bank)
    other = weights_after(make_trial(name, steps=20, **asked), bank)
    for a, b in zip(erm, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", PLAIN)
def test_padding_has_no_gradient_and_no_influence_on_them(name):
    """Five rows alone, padded to six, in double precision; the padding is replaced by noise."""
    bank = make_bank(noise=2.0)
    waits = {WAITS[name]: 0} if name in WAITS else {}
    trial = make_trial(name, batch_size=5, **waits)
    model, batch = build([trial], bank), batch_of(bank, [trial])
    gradients = []
    for filler in (None, 7.0):
        x = batch.x.clone()
        if filler is not None:
            x[:, :, 5] = filler
        x.requires_grad_()
        loss = model.loss(type(batch)(x, batch.y, batch.used, batch.step, batch.noise))
        gradients.append(torch.autograd.grad(loss.sum(), [x, *model.parameters()]))
    assert not gradients[0][0][:, :, 5].any()
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)


def test_moment_gap_of_a_known_case():
    """Two rows each: means 0 and (1, 0); covariances diag(2, 0) and diag(0, 2)."""
    z = torch.tensor([[[[-1.0, 0], [1, 0]], [[1, -1], [1, 1]]]], dtype=torch.float64)
    used = torch.ones(1, 1, 2, dtype=torch.float64)
    assert moment_gap(z, used).item() == pytest.approx(1 / 2 + (4 + 4) / 4)
    same = z[:, :1].expand(-1, 3, -1, -1)
    assert moment_gap(same, used).item() == 0


def test_gradient_variances_of_a_known_case():
    """One feature of 2 and -2, two classes, logits 0: gradients (1, -1) and (1, -1) of weights."""
    z = torch.tensor([[[[2.0], [-2.0]]]])
    y = torch.tensor([[[1, 0]]])
    found = gradient_variances(z, torch.zeros(1, 1, 2, 2), y, torch.ones(1, 1, 2))
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 0.0], [0.25, 0.25]]]]))


def test_fishr_brings_the_variances_of_the_modalities_together():
    bank = make_bank(noise=1.0)
    bank.values[0] += 3 * torch.randn(bank.values[0].shape, generator=torch.manual_seed(0))
    ratios = []
    for strength in (0.0, 1e3):
        asked = {"steps": 200, "lambda": strength, "penalty_anneal_iters": 50, "ema": 0.9}
        training = Training([make_trial("fishr", batch_size=32, **asked)], bank)
        training.run()
        averages = training.model.averages[0].mean((1, 2))
        ratios.append((averages.max() / averages.min()).item())
    assert ratios[0] > 4 and ratios[1] < 2


def test_vrex_brings_the_risks_of_the_modalities_together():
    bank = make_bank(noise=1.0)
    bank.values[0] += 3 * torch.randn(bank.values[0].shape, generator=torch.manual_seed(0))
    spreads = []
    for strength in (0.0, 1e3):
        asked = {"steps": 200, "vrex_lambda": strength, "vrex_penalty_anneal_iters": 50}
        trial = make_trial("vrex", batch_size=64, **asked)
        training = Training([trial], bank)
        training.run()
        batch = batch_of(bank, [trial], 201)
        logits = training.model.predict(batch.x)[0]
        risks = [cross_entropy(own, y) for own, y in zip(logits, batch.y[0], strict=True)]
        spreads.append(torch.stack(risks).std().item())
    assert spreads[1] < spreads[0] / 2


def test_fishr_waits_a_whole_number_of_steps():
    waits = [draw_hparams(Fishr.search, draw, 0)["penalty_anneal_iters"] for draw in range(1, 200)]
    assert all(isinstance(w, int) and 0 <= w < 5000 for w in waits)
    assert np.mean(waits) == pytest.approx(2500, abs=300)
