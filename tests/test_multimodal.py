"""Slots of multimodal learners: filled, empty, misaligned; and Concat as its authors step it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import MODALITIES, batch_of, make_bank, make_trial
from published_multimodal import (
    EVERY_VARIANT,
    MULTIMODAL,
    TRAIN,
    PlainConcat,
    assert_same_training,
    interleaved,
    slots_of,
    two_trials,
)

from mglib.registry import algorithms
from mglib.trials.engine import build, train
from mglib.trials.hyperparameters import draw_hparams
from mglib.trials.multimodal import MULTIMODAL_SEARCH, Multimodal, published_rows

every_variant = pytest.mark.parametrize(("name", "variant"), EVERY_VARIANT)


pytestmark = pytest.mark.usefixtures("one_thread")


def test_these_are_all_multimodal_learners():
    found = [n for n in algorithms.names() if issubclass(algorithms.get(n), Multimodal)]
    assert set(MULTIMODAL) <= set(found)


def test_weight_decay_and_rate_have_the_ranges_of_multimodal_learners():
    defaults = draw_hparams(MULTIMODAL_SEARCH, 0, 0)
    assert defaults == {"lr": 1e-3, "wc": 1e-4, "batch_size": 32}
    drawn = [draw_hparams(MULTIMODAL_SEARCH, draw, 0) for draw in range(1, 400)]
    for name, low, high in (("lr", -4, -2), ("wc", -4.5, -3.5)):
        powers = np.log10([values[name] for values in drawn])
        assert low <= powers.min() < low + 0.1 and high - 0.1 < powers.max() <= high


def models(name, variant, train=MODALITIES[:3]):
    """A stack of two trials after some steps' worth of movement: no two slots alike."""
    model = build(two_trials(name, variant, train), make_bank()).double()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    return model


def random_slots(modalities=3, rows=4, width=16):
    g = torch.Generator().manual_seed(2)
    return torch.randn(2, modalities, rows, width, generator=g, dtype=torch.float64)


@every_variant
def test_slots_that_are_absent_have_no_influence_and_present_ones_have(name, variant):
    model, x = models(name, variant), random_slots()
    present = torch.tensor([[True, False, True], [False, True, False]])
    filled = torch.where(present[:, :, None, None], x, 0)
    logits = model.predict_slots(filled, present)
    for rubbish in (7.0, float("nan")):
        other = torch.where(present[:, :, None, None], x, rubbish)
        assert torch.equal(model.predict_slots(other, present), logits)
    for trial, slot in ((0, 0), (0, 2), (1, 1)):
        moved = filled.clone()
        moved[trial, slot] += 1
        difference = (model.predict_slots(moved, present) - logits).abs().amax((1, 2))
        assert difference[trial] > 1e-3 and difference[1 - trial] == 0
    everything = model.predict_slots(x, torch.ones_like(present))
    assert (everything - logits).abs().amax((1, 2)).min() > 1e-3


@every_variant
def test_one_modality_is_copied_into_every_slot_or_averaged_over_slots(name, variant):
    model, x = models(name, variant), random_slots()[:, 0]
    copies = torch.stack([x, x, x], 1)
    everywhere = torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(model.predict(x), model.predict_slots(copies, everywhere))
    alone = [model.predict_slots(copies, everywhere & (torch.arange(3) == m)) for m in range(3)]
    torch.testing.assert_close(model.predict_by_slot(x), (alone[0] + alone[1] + alone[2]) / 3)
    assert (alone[0] - alone[1]).abs().max() > 1e-3


@every_variant
def test_modalities_together_fill_their_slots_and_unseen_ones_vote_alone(name, variant):
    """Trial 0 is given slots 2 and 0 and an unseen modality, trial 1 two unseen ones and slot 1."""
    model, x = models(name, variant), random_slots()
    together = model.predict_together(x, torch.tensor([[2, 0, -1], [-1, 1, -1]]))
    filled, present = torch.zeros_like(x), torch.zeros(2, 3, dtype=torch.bool)
    filled[0, 2], filled[0, 0], filled[1, 1] = x[0, 0], x[0, 1], x[1, 1]
    present[0, 2] = present[0, 0] = present[1, 1] = True
    joint = model.predict_slots(filled, present).log_softmax(-1)
    alone = [model.predict(x[:, k]).log_softmax(-1) for k in range(3)]
    torch.testing.assert_close(together[0], (2 * joint[0] + alone[2][0]) / 3)
    torch.testing.assert_close(together[1], (joint[1] + alone[0][1] + alone[2][1]) / 3)
    unseen = model.predict_together(x, torch.full((2, 3), -1))
    torch.testing.assert_close(unseen, (alone[0] + alone[1] + alone[2]) / 3)


@every_variant
@pytest.mark.parametrize("number", [1, 2, 4])
def test_any_number_of_modalities_trains_and_predicts(name, variant, number):
    bank = make_bank()
    rows = train(two_trials(name, variant, MODALITIES[:number], steps=2), bank)
    assert {row["status"] for row in rows} == {"ok"}


@every_variant
def test_rows_of_padding_change_no_gradient(name, variant):
    """5 rows padded to 6; every phase's loss and gradients, with the padding replaced by noise."""
    bank, trials = make_bank(), two_trials(name, variant)[:1]
    model, batch = build(trials, bank), batch_of(bank, trials, 400)
    x, y = batch.x.clone(), batch.y.clone()
    x[:, :, 5], y[:, :, 5] = 7.0, 0
    other = replace(batch, x=x, y=y)
    for phase in model.phases():
        found = []
        for each in (batch, other):
            gradients = torch.autograd.grad(phase.loss(each).sum(), list(phase.parameters))
            with torch.no_grad():
                found.append(phase.modulate(each, gradients) if phase.modulate else gradients)
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_published_rows_are_those_of_the_missing_stride():
    bank, trials = make_bank(), two_trials("concat")
    batch = batch_of(bank, trials)
    taken = published_rows(batch.x)
    for t, used in enumerate((5, 6)):
        x, _ = interleaved(batch, t)
        for slot, rows in enumerate(slots_of(x, 3, aligned=False)):
            assert torch.equal(taken[t, slot, :used], rows)
        for slot, rows in enumerate(slots_of(x, 3, aligned=True)):
            assert torch.equal(batch.x[t, slot, :used], rows)
            assert torch.equal(taken[t, slot, 0], rows[0]), "the first row is right"
            assert not torch.equal(taken[t, slot, 1:used], rows[1:])


@pytest.mark.parametrize("train", TRAIN)
@pytest.mark.parametrize("variant", ["corrected", "as_published"])
def test_concat_is_stepped_as_published(variant, train):
    assert_same_training(two_trials("concat", variant, train), PlainConcat)


def one_row(batch, x, row):
    """The batch with features x and one row alone in use."""
    used = torch.nn.functional.one_hot(torch.tensor(row), 8).float()[None, None]
    return replace(batch, x=x, used=used)


# Instance 3 in modality 0 is row 9 of the list, and slot 2 takes row 9 seventh after its first.
@pytest.mark.parametrize(("variant", "expected"), [("corrected", [3]), ("as_published", [7])])
def test_published_concat_meets_the_label_of_another_instance(variant, expected):
    bank, trials = make_bank(), [make_trial("concat", variant=variant)]
    model, batch = build(trials, bank), batch_of(bank, trials)
    x = batch.x.clone()
    x[:, 0, 3] += 1.0
    losses = [[model.loss(one_row(batch, own, row)) for row in range(8)] for own in (batch.x, x)]
    assert [row for row in range(8) if losses[0][row] != losses[1][row]] == expected


def test_published_concat_of_one_modality_is_the_corrected_one():
    bank = make_bank()
    values = [
        [r["value"] for r in train([make_trial("concat", variant=v, train=("art",))], bank)]
        for v in ("corrected", "as_published")
    ]
    assert values[0] == values[1]
