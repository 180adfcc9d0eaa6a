"""Trials with lost frames: the same alone, in company and resumed; what is lost says nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _pausing import resumed
from _sequences import FRAMES, NAMES, made_answers, made_training, made_trial, trained

from mglib.keys.now import verdict
from mglib.lineage import parts_of
from mglib.missing.sequences.bank import make_bank
from mglib.missing.sequences.ways import WAYS

pytestmark = pytest.mark.usefixtures("one_thread")
each_way = pytest.mark.parametrize("way", WAYS)


@each_way
def test_company_changes_nothing(way):
    """Other seeds, laws, splits and batch sizes and a diverging trial beside it."""
    trials = [
        made_trial(way),
        made_trial(way, 1, law="none", rate=0.0),
        made_trial(way, 2, law="burst", rate=0.6, split=1),
        made_trial(way, 3, batch_size=7),
    ]
    wild = made_trial(way, 4, lr=1e30)
    assert len({trial.stack for trial in (*trials, wild)}) == 1
    whole = trained([*trials, wild])
    for place, trial in enumerate(trials):
        single = trained([trial])
        for name, own in single.found[0].arrays().items():
            assert np.array_equal(whole.found[place].arrays()[name], own, equal_nan=True)
    assert len({own.test.tobytes() for own in whole.found[:4]}) == 4
    lost = [row for row in whole.rows() if row["key"] == wild.key]
    assert {row["status"] for row in lost} == {"diverged"} and lost[0]["value"] is None


@each_way
def test_it_goes_on_from_a_saved_state(way):
    trials = [made_trial(way, seed) for seed in range(2)]
    whole = trained(trials)

    second = resumed(lambda: made_training(trials))
    assert second.rows() == whole.rows()


@each_way
def test_it_learns_more_of_whole_sequences(way):
    """The order tells the class: a mean of frames cannot know it, all else can."""
    found = trained([made_trial(way, law="none", rate=0.0, steps=72)]).found[0]
    accuracy = found.test[found.chosen, :, 0]
    assert accuracy[0] < 0.7 if way == "pooled" else accuracy[0] > 0.85
    if way != "pooled":
        assert accuracy[2] < accuracy[0] - 0.1  # four fifths lost


@each_way
def test_what_is_lost_has_no_influence(way):
    training = made_training([made_trial(way), made_trial(way, 1)])
    random = torch.Generator().manual_seed(0)
    index = torch.arange(20).expand(2, -1)
    x, inside = training.bank.rows(training.trials, index), training.bank.inside(index)
    seen = [own & (torch.rand(own.shape, generator=random) < 0.4) for own in inside]
    poisoned = [
        torch.where(left[..., None], own, torch.nan) for own, left in zip(x, seen, strict=True)
    ]
    with torch.no_grad():
        said = training.model.logits(x, seen, inside)
        again = training.model.logits(poisoned, seen, inside)
    assert torch.isfinite(said).all() and torch.equal(said, again)


def test_the_checkpoint_is_chosen_on_the_validation_part_alone():
    training = trained([made_trial(steps=60)])
    found = training.found[0]
    assert found.chosen == np.argmax(found.validation[:, 0])
    rows = training.rows()
    steps = {row["step"] for row in rows if row["split"] == "test"}
    assert steps == {training.trials[0].checkpoints[found.chosen], 60}
    held = [row for row in rows if row["split"] == "validation"]
    assert {(row["test_pattern"], row["test_rate"]) for row in held} == {("bernoulli", 0.3)}
    tested = {(r["test_pattern"], r["test_rate"]) for r in rows if r["split"] == "test"}
    assert tested == {("none", 0.0), *((w, r) for w in ("bernoulli", "last") for r in (0.4, 0.8))}
    assert {row["train_rate"] for row in rows} == {0.3}


def test_tables_hang_on_nothing_beside_them():
    found = made_answers()
    both, one = make_bank(NAMES, found, (0, 1)), make_bank(NAMES, found, (1,))
    for law in ("bernoulli", "burst", "first", "last"):
        own = both.kept(1, "test", law, 0.5)
        alone = one.kept(1, "test", law, 0.5)
        assert all(np.array_equal(*pair) for pair in zip(own, alone, strict=True))
        assert not np.array_equal(own[0], both.kept(0, "test", law, 0.5)[0])
        assert not np.array_equal(own[0], both.kept(1, "validation", law, 0.5)[0])
        more = both.kept(1, "test", law, 0.7)
        assert all((left <= kept).all() for kept, left in zip(own, more, strict=True))
        for kept, lengths in zip(own, both.lengths, strict=True):
            inside = np.arange(kept.shape[1]) < lengths[:, None]
            assert not (kept & ~inside).any()
            assert abs(kept.sum() / inside.sum() - 0.5) < 0.05
    assert [own.shape[1] for own in both.kept(0, "test", "none", 0.0)] == [*FRAMES]


def test_frames_are_standardised_by_those_of_the_training_part():
    bank = make_bank(NAMES, made_answers(), (0,))
    index = torch.from_numpy(bank.parts[0]["train"])[None]
    rows = bank.rows([made_trial()], index)
    for x, inside in zip(rows, bank.inside(index), strict=True):
        told = x[inside]
        torch.testing.assert_close(told.mean(0), torch.zeros(told.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            told.std(0, correction=0), torch.ones(told.shape[1]), atol=1e-4, rtol=0
        )


def test_a_key_knows_its_parts_and_is_current():
    identity = made_trial().identity
    parts = parts_of(identity)
    assert {"engine", "missing", "sequences", "dataset/smartwatch", "perceptor/frames"} < {*parts}
    assert verdict(made_trial().key, identity) == ("current", [])
    assert verdict(made_trial().key, {**identity, "sequences": 0})[0] == "unclear"
