"""OGM and OGM-GE against the authors' formulas step by step, and where they are Concat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import MODALITIES, batch_of, make_bank, make_trial
from published_multimodal import TRAIN, PlainConcat, assert_same_training, two_trials
from published_step import double_batch, double_build, double_training
from scipy import stats

from mglib.algorithms.ogm import OGM, OGMGE
from mglib.trials.counter import normals
from mglib.trials.engine import Training, build, train

pytestmark = pytest.mark.usefixtures("one_thread")


class Published(PlainConcat):
    """ModalBed's OGM: projections outside the optimiser, ratios that are shares of a sum."""

    def build(self, model):
        super().build(model)
        self.projections = [self.take(model, f"projections.{m}") for m in range(self.modalities)]

    def optimiser_of(self, parameters):
        return self.sgd(parameters)

    def rows(self, batch):
        slots, y = super().rows(batch)
        return [p(z) for p, z in zip(self.projections, slots, strict=True)], y

    def step(self, batch, step):
        for projection in self.projections:
            projection.zero_grad()
        loss = super().step(batch, step)
        slots, y = self.rows(batch)
        weights = self.w.weight.chunk(self.modalities, 1)
        outs = [z @ w.T + self.w.bias for z, w in zip(slots, weights, strict=True)]
        scores = [sum(out.softmax(1)[i, y[i]] for i in range(len(y))) for out in outs]
        ratios = [score / sum(scores) for score in scores]
        assert all(ratio <= 1 for ratio in ratios), "no coefficient is ever other than 1"
        for projection in self.projections:
            projection.weight.grad = projection.bias.grad = None
        return loss


class Original(PlainConcat):
    """The authors' modulation, each modality's gradient taken through the featurizer by itself."""

    noisy = False

    def optimiser_of(self, parameters):
        return self.sgd(parameters)

    def coefficients(self, slots, y):
        weights = self.w.weight.chunk(self.modalities, 1)
        outs = [
            z @ w.T + self.w.bias / self.modalities for z, w in zip(slots, weights, strict=True)
        ]
        scores = [sum(out.softmax(1)[i, y[i]].item() for i in range(len(y))) for out in outs]
        found = []
        for m, score in enumerate(scores):
            others = [other for n, other in enumerate(scores) if n != m]
            ratio = score / np.mean(others) if others else 0.0
            found.append(1 - np.tanh(self.asked["alpha"] * ratio) if ratio > 1 else 1.0)
        return found

    def step(self, batch, step):
        self.optimiser.zero_grad()
        slots, y = self.rows(batch)
        leaves = [z.detach().requires_grad_() for z in slots]
        loss = self.loss(leaves, y, step)
        loss.backward()
        inner = list(self.f.parameters())
        own = [
            torch.autograd.grad(z, inner, leaf.grad, retain_graph=True)
            for z, leaf in zip(slots, leaves, strict=True)
        ]
        self.found = self.coefficients(slots, y)
        for number, parameter in enumerate(inner):
            parts = [gradients[number] for gradients in own]
            parameter.grad = sum(k * part for k, part in zip(self.found, parts, strict=True))
            if self.noisy and parameter.ndim == 2:
                seed = batch.noise["enhancement"][self.t : self.t + 1]
                drawn = normals(seed, parameter.T.shape, number // 2)[0].T.double()
                parameter.grad += (sum(parts).std() + 1e-8) * drawn
        self.optimiser.step()
        return loss.detach()


class Enhanced(Original):
    noisy = True


@pytest.mark.parametrize("train", TRAIN)
@pytest.mark.parametrize("variant", ["aligned_rows", "as_published"])
def test_published_steps(variant, train):
    assert_same_training(two_trials("ogm", variant, train), Published)


@pytest.mark.parametrize("train", TRAIN)
def test_corrected_steps(train):
    assert_same_training(
        two_trials("ogm", train=train, alpha=(0.1, 0.3), momentum=(0.9, 0.5)), Original
    )


@pytest.mark.parametrize("train", TRAIN)
def test_enhanced_steps(train):
    assert_same_training(two_trials("ogm_ge", train=train, alpha=0.2), Enhanced, gradients=False)


def ahead(model):
    """Make slot 0 say the label and the others nothing: class c where feature c is 1."""
    model.classifier.weight.zero_()[:, :4, :4] = 5 * torch.eye(4)
    model.classifier.bias.zero_()


def test_the_modality_that_is_ahead_is_slowed_and_no_other():
    """Slot 0 is right with p = e^5 / (e^5 + 3), the two others with 1/4."""
    bank, trials = make_bank(), [make_trial("ogm", alpha=0.2, seed=s, batch_size=5) for s in (0, 1)]
    model, batch = double_build(trials, bank), double_batch(bank, trials)
    with torch.no_grad():
        ahead(model)
    z = torch.zeros_like(batch.x)
    z[..., :4] = torch.nn.functional.one_hot(batch.y[:, :1], 4)
    right = np.exp(5) / (np.exp(5) + 3)
    k = model.coefficients(batch, z)
    ratio = right / ((0.25 + 0.25) / 2)
    np.testing.assert_allclose(k[:, 0], 1 - np.tanh(0.2 * ratio), rtol=1e-12)
    assert (k[:, 1:] == 1).all()
    model.hparams["alpha"] = torch.tensor([0.2, 0.0], dtype=torch.float64)
    assert model.coefficients(batch, z)[1].tolist() == [1, 1, 1]


def test_two_modalities_are_compared_with_each_other():
    """The authors' rho_v = s_v / s_a and rho_a = 1 / rho_v."""
    trials = [make_trial("ogm", alpha=0.3, train=MODALITIES[:2])]
    model, batch = double_build(trials, make_bank()), double_batch(make_bank(), trials)
    z = model.slots(batch).detach() * 20
    logits = model.shares(z) + model.classifier.bias.unsqueeze(1) / 2
    first, second = (
        sum(logits[0, m, i].softmax(0)[batch.y[0, 0, i]].item() for i in range(8)) for m in (0, 1)
    )
    rho = max(first / second, second / first)
    expected = [1.0, 1.0]
    expected[int(second > first)] = 1 - np.tanh(0.3 * rho)
    np.testing.assert_allclose(model.coefficients(batch, z)[0], expected, rtol=1e-10)


def test_modulation_leaves_the_loss_and_the_classifier_and_scales_one_modality():
    """Only slot 0 says anything, and it is right: the featurizer's gradient is k times Concat's."""
    bank, trial = make_bank(), make_trial("ogm", alpha=0.3)
    models = [double_build([own], bank) for own in (trial, make_trial("concat"))]
    batch = double_batch(bank, [trial])
    says = (
        torch.linalg.pinv(models[0].slots(batch)[0, 0])
        @ torch.nn.functional.one_hot(batch.y[0, 0], 4).double()
    )
    with torch.no_grad():
        for model in models:
            model.classifier.weight.zero_()[0, :16] = 3 * says
            model.classifier.bias.zero_()
    k = models[0].coefficients(batch, models[0].slots(batch))[0].tolist()
    assert k[0] < 0.6 and k[1:] == [1, 1]
    losses = [model.loss(batch) for model in models]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    sides = [
        torch.autograd.grad(loss.sum(), list(model.parameters()))
        for model, loss in zip(models, losses, strict=True)
    ]
    for (name, _), ours, theirs in zip(models[0].named_parameters(), *sides, strict=True):
        scale = k[0] if name.startswith("featurizer") else 1.0
        torch.testing.assert_close(ours, scale * theirs, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("asked", [{"alpha": 0.0}, {"train": ("art",)}])
def test_without_modulation_the_gradient_is_concats(asked):
    bank = make_bank()
    models = [double_build([make_trial(name, **asked)], bank) for name in ("ogm", "concat")]
    batch = double_batch(bank, [make_trial("concat", **asked)])
    sides = [torch.autograd.grad(m.loss(batch).sum(), list(m.parameters())) for m in models]
    for ours, theirs in zip(*sides, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-16)


def test_modulation_happens_in_training_and_changes_what_is_learned():
    bank = make_bank(noise=1.0)
    trials = [make_trial("ogm", alpha=a, steps=60, lr=0.03) for a in (0.3, 0.0)]
    training = Training(trials, bank)
    training.run()
    model, batch = training.model, batch_of(bank, trials)
    assert (model.coefficients(batch, model.slots(batch))[0] < 1).any()
    first, second = training.model.featurizer.layers[0].weight.detach()
    assert (first - second).abs().max() > 1e-4


def test_published_projections_never_move_and_are_drawn_for_each_trial():
    bank = make_bank()
    trials = [make_trial("ogm", variant="aligned_rows", seed=s, steps=30, lr=0.03) for s in (0, 1)]
    training = double_training(trials, bank)
    before = [b.clone() for b in training.model.buffers()]
    training.run()
    assert len(before) == 6
    assert all(torch.equal(a, b) for a, b in zip(training.model.buffers(), before, strict=True))
    assert not any(torch.equal(b[0], b[1]) for b in before)
    assert sum(p.shape[1:] == (16, 16) for p in training.model.parameters()) == 0
    assert build([make_trial("ogm")], bank).projections._modules == {}


def test_of_one_modality_only_the_rows_of_several_were_wrong():
    bank = make_bank()
    values = [
        [r["value"] for r in train([make_trial("ogm", variant=v, train=("art",))], bank)]
        for v in ("aligned_rows", "as_published")
    ]
    assert values[0] == values[1]


def test_noise_has_the_spread_of_the_gradient_before_modulation_and_spares_the_rest():
    bank = make_bank(width=64)
    trials = [make_trial("ogm_ge", seed=s, alpha=0.3) for s in (0, 1)]
    model, batch = build(trials, bank), batch_of(bank, trials, 2)
    (phase,) = model.phases()
    gradients = torch.autograd.grad(phase.loss(batch).sum(), list(phase.parameters))
    concat = build([replace(t, algorithm="concat") for t in trials], bank)
    plain = torch.autograd.grad(concat.loss(batch).sum(), list(concat.parameters()))
    with torch.no_grad():
        changed = phase.modulate(batch, gradients)
    noise = []
    for (name, _), ours, theirs, unmodulated in zip(
        model.named_parameters(), changed, gradients, plain, strict=True
    ):
        if name.startswith("featurizer") and name.endswith("weight"):
            noise.append((ours - theirs) / unmodulated.flatten(1).std(1).view(-1, 1, 1))
        else:
            assert torch.equal(ours, theirs)
    assert len(noise) == 4
    for scaled in noise:
        assert stats.kstest(scaled.flatten().numpy(), "norm").pvalue > 1e-3
        correlation = np.corrcoef(scaled.flatten(1).numpy())[0, 1]
        assert abs(correlation) < 4 / scaled[0].numel() ** 0.5, "trials draw on their own"
    again = batch_of(bank, trials[1:], 2)
    alone = build(trials[1:], bank)
    (phase,) = alone.phases()
    gradients = torch.autograd.grad(phase.loss(again).sum(), list(phase.parameters))
    with torch.no_grad():
        changed = phase.modulate(again, gradients)
    spread = plain[0][1].std()
    torch.testing.assert_close(
        (changed[0] - gradients[0]) / spread, noise[0][1:], atol=1e-4, rtol=0
    )


def test_every_step_draws_another_seed():
    seeds = OGMGE.noise(np.random.default_rng(0), {}, 3, 8, 100)["enhancement"]
    assert len(set(seeds.tolist())) == 100 and seeds.dtype == np.int64
    assert OGM.noise(np.random.default_rng(0), {}, 3, 8, 100) == {}
