"""EQRM against plain PyTorch and a root finder, around its burn-in, and where the code fails."""

from __future__ import annotations

import pytest
import torch
from made_up import MODALITIES, make_bank, make_trial
from plain_domains import PlainERM, follow, weights_after
from scipy import optimize, stats
from torch.distributions import Normal

from mglib.algorithms.eqrm import EQRM, kernel_quantile
from mglib.trials.engine import Training, train
from mglib.trials.hyperparameters import draw_hparams

pytestmark = pytest.mark.usefixtures("one_thread")


class PlainEQRM(PlainERM):
    """Bisection with tensors that carry their gradients, as the authors' code does it."""

    whole_only = False

    def quantile(self, risks):
        wanted = torch.tensor(self.values["eqrm_quantile"], dtype=torch.float64)
        ordered = torch.stack(risks).sort().values
        if len(risks) == 1:
            return ordered[0]
        bandwidth = 1.06 * ordered.std() * len(risks) ** (-1 / 5)
        ends = [Normal(ordered[place], bandwidth).icdf(wanted) for place in (0, -1)]
        middle = 0.5 * (ends[0] + ends[1])
        for _ in range(32):
            ends[int(Normal(ordered, bandwidth).cdf(middle).mean() > wanted)] = middle
            middle = 0.5 * (ends[0] + ends[1])
        return middle

    def objective(self, rows):
        if self.count < self.values["eqrm_burnin_iters"]:
            return super().objective(rows)
        return self.quantile(self.risks(rows))

    def optimiser_now(self):
        burnin = self.values["eqrm_burnin_iters"]
        if self.count == burnin or (not self.whole_only and self.count - 1 < burnin < self.count):
            self.optimiser = self.fresh(self.values["eqrm_lr"])
        return self.optimiser


class PublishedEQRM(PlainEQRM):
    whole_only = True


CASES = [("corrected", m) for m in (1, 2, 3, 4)] + [("as_published", m) for m in (2, 3, 4)]


@pytest.mark.parametrize(("variant", "modalities"), CASES)
def test_six_steps_are_those_of_plain_pytorch(variant, modalities):
    """One burn-in is whole, one is not; both end on the way."""
    bank = make_bank(noise=2.0)
    asked = {"variant": variant, "train": MODALITIES[:modalities], "steps": 6, "eqrm_lr": 3e-4}
    trials = [
        make_trial("eqrm", seed=0, batch_size=5, eqrm_burnin_iters=3.0, **asked),
        make_trial("eqrm", seed=1, batch_size=6, eqrm_burnin_iters=2.4, eqrm_quantile=0.6, **asked),
    ]
    training, _ = follow(trials, bank, PublishedEQRM if variant == "as_published" else PlainEQRM)
    expected = [3.0, 6.0] if variant == "as_published" else [3.0, 3.0]
    assert training.optimisers[0].steps.tolist() == expected


@pytest.mark.parametrize("quantile", [0.5, 0.75, 0.99])
@pytest.mark.parametrize("modalities", [2, 3, 5])
def test_the_quantile_solves_its_equation(quantile, modalities):
    risks = torch.rand(2, modalities, generator=torch.manual_seed(modalities)).double()
    found = kernel_quantile(risks, torch.tensor([quantile] * 2, dtype=torch.float64))
    for own, value in zip(risks.numpy(), found.tolist(), strict=True):
        width = 1.06 * own.std(ddof=1) * modalities**-0.2
        root = optimize.brentq(
            lambda x, own=own, width=width: stats.norm.cdf((x - own) / width).mean() - quantile,
            own.min() - 10 * width,
            own.max() + 10 * width,
            xtol=1e-14,
        )
        assert value == pytest.approx(root, abs=1e-8)


def test_with_two_modalities_the_gradient_is_that_of_the_quantile():
    risks = torch.tensor([[0.3, 1.1]], dtype=torch.float64)
    wanted = torch.tensor([0.8], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda r: kernel_quantile(r, wanted), risks.requires_grad_(), atol=1e-4, rtol=1e-4
    )


def test_equal_risks_are_their_own_quantile():
    risks = torch.full((1, 3), 0.0, requires_grad=True)
    found = kernel_quantile(risks, torch.tensor([0.9]))
    (gradient,) = torch.autograd.grad(found.sum(), risks)
    assert found.item() == pytest.approx(0, abs=1e-15) and torch.isfinite(gradient).all()


def test_the_burn_in_is_erm_and_with_one_modality_all_of_corrected():
    bank = make_bank(noise=2.0)
    asked = {"eqrm_burnin_iters": 0.0, "eqrm_lr": 1e-3, "train": ("art",)}
    for others in ({}, {"variant": "as_published"}, asked):
        erm = weights_after(make_trial(steps=20, train=others.get("train", MODALITIES[:3])), bank)
        other = weights_after(make_trial("eqrm", steps=20, **others), bank)
        for a, b in zip(erm, other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("variant", "burnin", "restarts"),
    [
        ("corrected", 10.0, True),
        ("corrected", 9.3, True),
        ("as_published", 10.0, True),
        ("as_published", 9.3, False),
    ],
)
def test_the_published_code_restarts_after_a_whole_burn_in_only(variant, burnin, restarts):
    """At a learning rate of 0 after the restart, weights stand still from then on."""
    asked = {"variant": variant, "eqrm_burnin_iters": burnin, "eqrm_lr": 0.0}
    bank = make_bank()
    training = Training([make_trial("eqrm", steps=30, **asked)], bank)
    training.run()
    assert training.optimisers[0].steps.tolist() == [20.0 if restarts else 30.0]
    start = Training([make_trial("eqrm", steps=10, **asked)], bank)
    start.run()
    same = [
        torch.equal(a, b)
        for a, b in zip(training.model.parameters(), start.model.parameters(), strict=True)
    ]
    assert all(same) if restarts else not any(same)


def test_random_burn_ins_are_not_whole():
    drawn = [draw_hparams(EQRM.search, n, 0)["eqrm_burnin_iters"] for n in range(1, 50)]
    assert not any(value.is_integer() for value in drawn)
    assert draw_hparams(EQRM.search, 0, 0)["eqrm_burnin_iters"] == 2500


@pytest.mark.parametrize("burnin", [110.0, 109.5])
def test_published_one_modality_diverges_after_the_burn_in(burnin):
    """Before it the trial is sound; the other of the stack, still in its burn-in, is untouched."""
    bank = make_bank()
    asked = {"variant": "as_published", "train": ("art",), "steps": 300, "every": 100}
    trials = [
        make_trial("eqrm", seed=s, eqrm_burnin_iters=b, **asked)
        for s, b in ((0, burnin), (1, 5000.0))
    ]
    rows = train(trials, bank)
    status = {(r["seed"], r["step"]): r["status"] for r in rows}
    assert [status[0, step] for step in (100, 200, 300)] == ["ok", "diverged", "diverged"]
    assert [status[1, step] for step in (100, 200, 300)] == ["ok"] * 3
    alone = [r["value"] for r in train(trials[1:], bank)]
    assert alone == [r["value"] for r in rows if r["seed"] == 1]
