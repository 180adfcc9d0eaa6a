"""IRM and Mixup against independent formulas, and in the limits where they are ERM."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import batch_of, make_bank, make_trial
from scipy import stats
from torch.nn.functional import cross_entropy

from mglib.algorithms.irm import IRM, scale_gradients
from mglib.algorithms.mixup import Mixup
from mglib.trials.engine import Training, build, train

pytestmark = pytest.mark.usefixtures("one_thread")


def test_scale_gradient_is_the_derivative_by_autograd():
    g = torch.Generator().manual_seed(0)
    logits, y = torch.randn(6, 4, generator=g, dtype=torch.float64), torch.arange(6) % 4
    for row in range(6):
        scale = torch.ones(1, dtype=torch.float64, requires_grad=True)
        loss = cross_entropy((scale * logits[row])[None], y[row : row + 1])
        (expected,) = torch.autograd.grad(loss, scale)
        assert scale_gradients(logits, y)[row].item() == pytest.approx(expected.item())


def published_irm(logits, y, used, weight):
    """DomainBed's loss of one trial: lists of modalities, autograd penalty on even and odd rows."""
    nll, penalty = 0.0, 0.0
    for own, labels in zip(logits[:, :used], y[:, :used], strict=True):
        nll = nll + cross_entropy(own, labels)
        scale = torch.tensor(1.0, requires_grad=True)
        halves = [cross_entropy(own[s::2] * scale, labels[s::2]) for s in (0, 1)]
        even, odd = (torch.autograd.grad(half, [scale], create_graph=True)[0] for half in halves)
        penalty = penalty + (even * odd).sum()
    return nll / len(logits) + weight * penalty / len(logits)


@pytest.mark.parametrize(("step", "weight"), [(1, 1.0), (10, 1.0), (11, 50.0), (300, 50.0)])
def test_irm_is_the_published_loss_on_both_sides_of_the_jump(step, weight):
    bank = make_bank()
    asked = {"irm_lambda": 50.0, "irm_penalty_anneal_iters": 10, "steps": 400}
    trials = [make_trial("irm", seed=0, batch_size=7, **asked), make_trial("irm", seed=1, **asked)]
    model, batch = build(trials, bank), batch_of(bank, trials, step)
    losses = model.loss(batch)
    logits = model.predict(batch.x)
    for t, used in enumerate((7, 8)):
        expected = published_irm(logits[t], batch.y[t], used, weight)
        torch.testing.assert_close(losses[t], expected)
        ours, theirs = (
            torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
            for loss in (losses[t], expected)
        )
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_irm_starts_its_optimiser_anew_when_the_weight_jumps():
    asked = {"steps": 30, "irm_lambda": 5.0}
    trials = [
        make_trial("irm", seed=0, irm_penalty_anneal_iters=20, **asked),
        make_trial("irm", seed=1, irm_penalty_anneal_iters=500, **asked),
    ]
    training = Training(trials, make_bank())
    training.run()
    assert training.optimisers[0].steps.tolist() == [10.0, 30.0]


def test_irm_without_a_penalty_is_erm():
    bank = make_bank()
    erm = make_trial(steps=30)
    irm = make_trial("irm", steps=30, irm_lambda=0.0, irm_penalty_anneal_iters=0)
    model, plain = build([irm], bank), build([erm], bank)
    batch = batch_of(bank, [erm])
    torch.testing.assert_close(model.loss(batch), plain.loss(batch))
    values = [[row["value"] for row in train([trial], bank)] for trial in (erm, irm)]
    assert values[0] == values[1]


def test_the_irm_penalty_may_be_negative_and_changes_what_is_learned():
    bank = make_bank(noise=2.0)
    trial = make_trial("irm", steps=30, irm_lambda=100.0, irm_penalty_anneal_iters=0)
    model = build([trial], bank)
    penalties = [
        model.penalty(b := batch_of(bank, [trial], step), model.predict(b.x)).item()
        for step in range(1, 25)
    ]
    assert min(penalties) < 0 < max(penalties)
    assert isinstance(model, IRM)


def slow_mixup(model, batch, t, used, published):
    """One trial's loss, pair by pair and row by row."""
    cycle = batch.noise["cycle"][t].tolist()
    total = 0.0
    for place, (i, j) in enumerate(zip(cycle, cycle[1:] + cycle[:1], strict=True)):
        share = batch.noise["share"][t, place]
        for row in range(used):
            x, z = batch.x[t, i, row], batch.x[t, j, row]

            def logits(features):
                whole = features[None, None].expand(batch.x.shape[0], 1, -1)
                return model.predict(whole)[t, 0]

            if published:
                blended = share * logits(x) + (1 - share) * logits(z)
            else:
                blended = logits(share * x + (1 - share) * z)
            for weight, label in ((share, batch.y[t, i, row]), (1 - share, batch.y[t, j, row])):
                total = total + weight * cross_entropy(blended[None], label[None])
    return total / (len(cycle) * used)


@pytest.mark.parametrize("variant", ["corrected", "as_published"])
def test_mixup_equals_the_formula_pair_by_pair(variant):
    bank = make_bank()
    trials = [
        make_trial("mixup", variant=variant, seed=s, batch_size=b) for s, b in ((0, 5), (1, 6))
    ]
    model, batch = build(trials, bank), batch_of(bank, trials, 3)
    for t, used in enumerate((5, 6)):
        expected = slow_mixup(model, batch, t, used, variant == "as_published")
        torch.testing.assert_close(model.loss(batch)[t], expected)


def test_the_forms_of_mixup_differ_because_the_network_is_not_linear():
    bank = make_bank()
    asked = [make_trial("mixup", variant=v, steps=30) for v in Mixup.variants]
    batch = batch_of(bank, asked[:1])
    losses = [build([trial], bank).loss(batch).item() for trial in asked]
    assert losses[0] != pytest.approx(losses[1], rel=1e-6)


def test_mixup_of_one_modality_or_of_whole_rows_is_erm():
    bank = make_bank()
    alone = [make_trial(name, train=("art",)) for name in ("erm", "mixup")]
    batch = batch_of(bank, alone[1:])
    losses = [build([trial], bank).loss(batch) for trial in alone]
    torch.testing.assert_close(losses[0], losses[1])
    trial = make_trial("mixup")
    batch = batch_of(bank, [trial])
    whole = replace(batch, noise={**batch.noise, "share": torch.ones_like(batch.noise["share"])})
    expected = build([make_trial()], bank).loss(batch)
    torch.testing.assert_close(build([trial], bank).loss(whole), expected)


def test_mixup_draws_cycles_and_beta_shares():
    noise = Mixup.noise(np.random.default_rng(0), {"mixup_alpha": 0.4}, 3, 8, 4000)
    cycles = {tuple(row) for row in noise["cycle"].tolist()}
    assert len(cycles) == 6, "every order of three modalities"
    assert stats.kstest(noise["share"].ravel(), stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_another_alpha_draws_other_shares_in_one_stack():
    trials = [make_trial("mixup", seed=0, mixup_alpha=a) for a in (0.1, 100.0)]
    share = batch_of(make_bank(), trials).noise["share"]
    assert (share[1] - 0.5).abs().max() < 0.2 < (share[0] - 0.5).abs().max()
    assert copy.copy(trials[0]).key != trials[1].key
