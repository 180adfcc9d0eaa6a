"""DLMG against the published formulas step by step, its schedule, and where it is Concat."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import batch_of, make_bank, make_trial
from published_multimodal import TRAIN, PlainConcat, assert_same_training, two_trials
from published_step import double_batch, double_build
from torch.nn import functional

from mglib.algorithms.dlmg import gap
from mglib.trials.engine import build, train

pytestmark = pytest.mark.usefixtures("one_thread")


def alignment(a, b):
    """The published "js_score" of two lists of rows."""
    p, q = a.softmax(-1), b.softmax(-1)
    middle = 0.5 * (p + q)
    return 0.5 * sum(functional.kl_div(x.log(), middle, reduction="batchmean") for x in (p, q))


class Published(PlainConcat):
    """ModalBed's LFM; the gap is that of features."""

    instances = 0

    def optimiser_of(self, parameters):
        return self.sgd(parameters)

    def gap(self, slots):
        pairs = itertools.combinations(slots, 2)
        found = [alignment(a, b) for a, b in pairs]
        return torch.stack(found).mean() if found else 0.0

    def share(self, step):
        bank = make_bank()
        instances = len(bank.splits[self.trial.split_seed]["train"])
        epoch = (step - 1) / (instances / self.asked["batch_size"])
        return float(np.clip(np.exp(-0.3 * epoch), 0.05, 0.95))

    def loss(self, slots, y, step):
        a = self.share(step)
        return a * self.gap(slots) + (1 - a) * super().loss(slots, y, step)


class Corrected(Published):
    """A head for each modality, whose weights are M times a part of Concat's classifier."""

    def loss(self, slots, y, step):
        heads = self.w.weight.chunk(self.modalities, 1)
        outs = [self.modalities * z @ w.T + self.w.bias for z, w in zip(slots, heads, strict=True)]
        risk = functional.cross_entropy(sum(outs) / self.modalities, y)
        a = self.share(step)
        return 2 * ((1 - a) * risk + a * self.gap(outs))


@pytest.mark.parametrize("train", TRAIN)
@pytest.mark.parametrize("variant", ["aligned_rows", "as_published"])
def test_published_steps(variant, train):
    assert_same_training(two_trials("dlmg", variant, train, steps=12), Published)


@pytest.mark.parametrize("train", TRAIN)
def test_corrected_steps(train):
    assert_same_training(two_trials("dlmg", train=train, steps=12, momentum=(0.9, 0.5)), Corrected)


def test_gap_of_two_known_distributions():
    p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    m = (p + q) / 2
    expected = 0.5 * sum((m * np.log(m / x)).sum() for x in (p, q))
    logits = torch.from_numpy(np.log([[p], [q], [p]]))[None]
    found = gap(logits + 7)[0, :, 0].numpy()
    np.testing.assert_allclose(found, [expected, 0, expected], atol=1e-15)


def test_gap_of_certain_slots_is_finite_with_its_gradient():
    logits = torch.tensor([[[[500.0, 0.0]], [[0.0, 500.0]]]], requires_grad=True)
    value = gap(logits)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert value.item() == pytest.approx(250 - np.log(2)) and gradient.isfinite().all()


def test_the_gap_counts_first_and_the_labels_later():
    """a = exp(-0.3 epoch) in [0.05, 0.95], each trial on its own number of steps per epoch."""
    bank = make_bank()
    trials = [make_trial("dlmg", batch_size=b, split_seed=s) for b, s in ((8, 0), (6, 1))]
    model = build(trials, bank)
    instances = [len(bank.splits[s]["train"]) for s in (0, 1)]
    assert model.balance(1).tolist() == pytest.approx([0.95, 0.95])
    assert model.balance(10_000).tolist() == pytest.approx([0.05, 0.05])
    epochs = [50 * b / n for b, n in zip((8, 6), instances, strict=True)]
    expected = np.exp(-0.3 * np.array(epochs))
    assert 0.05 < expected.min() and expected.max() < 0.95 and expected[0] != expected[1]
    assert model.balance(51).tolist() == pytest.approx(expected.tolist())


def test_where_slots_agree_it_is_concat():
    """The same rows in every slot have no gap between features; published weight 1 - a."""
    bank = make_bank()
    trials = [make_trial("dlmg", variant="aligned_rows")]
    model, batch = double_build(trials, bank), double_batch(bank, trials)
    concat = double_build([make_trial("concat")], bank)
    same = replace(batch, x=batch.x[:, :1].expand(-1, 3, -1, -1), step=40)
    expected = (1 - model.balance(40)) * concat.loss(same)
    torch.testing.assert_close(model.loss(same), expected, rtol=1e-12, atol=0)


def test_of_one_modality_it_is_twice_concat_without_the_gaps_share():
    bank = make_bank()
    trials = [make_trial("dlmg", train=("art",))]
    model, batch = build(trials, bank), batch_of(bank, trials, 3)
    concat = build([make_trial("concat", train=("art",))], bank)
    assert torch.equal(model.loss(batch), 2 * (1 - model.balance(3)) * concat.loss(batch))
    values = [
        [r["value"] for r in train([make_trial("dlmg", variant=v, train=("art",))], bank)]
        for v in ("aligned_rows", "as_published")
    ]
    assert values[0] == values[1]


def test_the_mean_of_the_slots_logits_is_what_the_classifier_says():
    bank = make_bank()
    trials = [make_trial("dlmg")]
    model, batch = double_build(trials, bank), double_batch(bank, trials)
    z = model.slots(batch)
    together = model.by_slot(model.shares(z)).mean(1)
    torch.testing.assert_close(together, model.fuse(z), rtol=1e-12, atol=0)
    torch.testing.assert_close(model.added(batch), model.shares(z), rtol=1e-10, atol=1e-14)
    everywhere = torch.ones(1, 3, dtype=torch.bool)
    alone = model.predict_slots(batch.x, everywhere & (torch.arange(3) == 1))
    torch.testing.assert_close(alone, model.by_slot(model.shares(z))[:, 1], rtol=1e-12, atol=0)


def test_published_gap_is_between_features_and_corrected_between_logits():
    """A classifier that ignores the features leaves no gap between what the modalities say."""
    bank = make_bank()
    for variant, silent in (("corrected", True), ("aligned_rows", False)):
        trials = [make_trial("dlmg", variant=variant)]
        model, batch = double_build(trials, bank), double_batch(bank, trials)
        with torch.no_grad():
            model.classifier.weight.zero_()
        factor = 2 if silent else 1
        rest = model.loss(batch) - factor * (1 - model.balance(1)) * model.risk(
            batch, model.fuse(model.slots(batch))
        )
        assert (rest.abs().item() < 1e-15) == silent
