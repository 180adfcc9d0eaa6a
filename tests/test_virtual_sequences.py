"""Sequences of which one is missing whole: limits, formulas, company, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _pausing import resumed
from _sequences import NAMES, made_answers, made_virtual, virtual_training
from torch.nn import functional

from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.keys.now import verdict
from mglib.lineage import parts_of
from mglib.missing.sequences.bank import make_bank
from mglib.missing.sequences.laws import NONE, VICTIM
from mglib.missing.sequences.model import SequenceBatch, SequenceModel, summary
from mglib.missing.sequences.stand_ins import (
    LEVELS,
    in_relative_time,
    lengths_in,
    title_of,
    whole_sequence,
)
from mglib.missing.sequences.virtual_trial import virtual_trials
from mglib.perceptors.frames import Frames
from mglib.perceptors.strips import Strips
from mglib.registry import datasets

pytestmark = pytest.mark.usefixtures("one_thread")
PAIRS = [(name, level) for name, levels in LEVELS.items() for level in levels]
each = pytest.mark.parametrize(("stand_in", "level"), PAIRS)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Mask tables of these tests lie nowhere else."""
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path))


def ran(trials):
    training = virtual_training(trials)
    training.run()
    return training


def batch_of(training):
    """The first minibatch of a training."""
    _, batch = next(training.batches(training.trials, 0, 1))
    return batch


@pytest.mark.parametrize(
    ("stand_in", "level"), [("mean", "none"), ("pooled", "pooled"), ("frames", "frames")]
)
def test_company_changes_nothing(stand_in, level):
    """Other seeds, rates, splits, weights and batch sizes and a diverging trial beside it."""
    trials = [
        made_virtual(stand_in, level),
        made_virtual(stand_in, level, 1, rate=0.0, weight=0.3),
        made_virtual(stand_in, level, 2, rate=0.9, split=1, temperature=0.5),
        made_virtual(stand_in, level, 3, batch_size=7),
    ]
    wild = made_virtual(stand_in, level, 4, lr=1e30)
    assert len({trial.stack for trial in (*trials, wild)}) == 1
    whole = ran([*trials, wild])
    for place, trial in enumerate(trials):
        single = ran([trial])
        for name, own in single.found[0].arrays().items():
            assert np.array_equal(whole.found[place].arrays()[name], own, equal_nan=True)
    assert len({own.test.tobytes() for own in whole.found[:4]}) == 4
    lost = [row for row in whole.rows() if row["key"] == wild.key]
    assert {row["status"] for row in lost} == {"diverged"} and lost[0]["value"] is None


@pytest.mark.parametrize(("stand_in", "level"), [("mean", "none"), ("frames", "frames")])
def test_it_goes_on_from_a_saved_state(stand_in, level):
    trials = [made_virtual(stand_in, level, seed) for seed in range(2)]
    whole = ran(trials)

    second = resumed(lambda: virtual_training(trials))
    assert second.rows() == whole.rows()


@each
def test_what_is_missing_has_no_influence(stand_in, level):
    """Neither at use nor in training: the second of an incomplete row may hold anything."""
    training = virtual_training([made_virtual(stand_in, level), made_virtual(stand_in, level, 1)])
    batch = batch_of(training)
    lost = ~batch.seen[1].any(-1)
    assert lost.any() and not lost.all()
    poisoned = torch.where(batch.seen[1][..., None], batch.x[1], torch.nan)
    other = SequenceBatch([batch.x[0], poisoned], batch.seen, batch.inside, batch.y, batch.used)
    found = []
    for own in (batch, other):
        with torch.no_grad():
            said = training.model.logits(own.x, own.seen, own.inside)
        loss = training.model.loss(own)
        gradients = torch.autograd.grad(loss.sum(), [*training.model.parameters()])
        found.append([said, loss.detach(), *gradients])
    assert all(torch.isfinite(own).all() for own in found[0])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("stand_in", [name for name in LEVELS if name != "alone"])
def test_with_both_sequences_all_are_the_classifier_of_both(stand_in):
    training = virtual_training([made_virtual(stand_in, rate=0.0)])
    batch, bank = batch_of(training), training.bank
    assert batch.seen[1].any(-1).all()
    plain = SequenceModel(bank.widths, bank.classes, "zeros", 32, *training.drawn(training.trials))
    with torch.no_grad():
        wanted = plain.logits(batch.x, batch.seen, batch.inside)
        said = training.model.logits(batch.x, batch.seen, batch.inside)
        both, _, _ = training.model.both(batch)
    assert torch.equal(said, wanted) and torch.equal(both, wanted)


def test_alone_is_the_classifier_of_the_present_one():
    training = virtual_training([made_virtual("alone")])
    batch, bank = batch_of(training), training.bank
    plain = SequenceModel(
        bank.widths[:1], bank.classes, "zeros", 32, *training.drawn(training.trials)
    )
    first = batch.x[:1], batch.seen[:1], batch.inside[:1]
    with torch.no_grad():
        wanted = plain.logits(*first)
        assert torch.equal(training.model.logits(batch.x, batch.seen, batch.inside), wanted)
    one, other = ran([made_virtual("alone", rate=0.0)]), ran([made_virtual("alone", rate=1.0)])
    assert np.array_equal(one.found[0].test, other.found[0].test, equal_nan=True)


@pytest.mark.parametrize(("stand_in", "level"), [pair for pair in PAIRS if pair[1] != "none"])
def test_a_weight_of_zero_is_no_matching(stand_in, level):
    """To the last bit; any other weight changes what is learned."""
    none = ran([made_virtual(stand_in, "none", steps=12)]).found[0]
    off = ran([made_virtual(stand_in, level, steps=12, weight=0.0)]).found[0]
    on = ran([made_virtual(stand_in, level, steps=12, weight=2.0)]).found[0]
    assert np.array_equal(off.test, none.test, equal_nan=True)
    assert np.array_equal(off.validation, none.validation)
    assert not np.array_equal(on.validation, none.validation)


def test_with_no_complete_row_the_mean_is_zeros_and_the_second_encoder_rests():
    zeros, mean = (ran([made_virtual(name, rate=1.0)]) for name in ("zeros", "mean"))
    assert np.array_equal(zeros.found[0].test, mean.found[0].test, equal_nan=True)
    for stand_in, moves in (("zeros", False), ("pooled", False), ("frames", True)):
        training = virtual_training([made_virtual(stand_in, rate=1.0)])
        own = [*training.model.encoders[1].parameters()]
        loss = training.model.loss(batch_of(training))
        gradients = torch.autograd.grad(loss.sum(), own)
        assert any(bool(found.any()) for found in gradients) == moves


def test_the_running_mean_is_that_of_complete_rows():
    training = virtual_training([made_virtual("mean")])
    batch, model = batch_of(training), training.model
    with torch.no_grad():
        model.finish(batch)
        real = summary(*model.states(1, batch.x[1], batch.seen[1], batch.inside[1]))
        there = (batch.used > 0) & batch.seen[1].any(-1)
        torch.testing.assert_close(model.means[0, 0], real[there].mean(0))
        for _ in range(20):
            model.finish(batch)
        half = SequenceBatch(
            batch.x,
            [batch.seen[0], torch.zeros_like(batch.seen[1])],
            *(batch.inside, batch.y),
            batch.used,
        )
        before = model.means.clone()
        model.finish(half)
    assert torch.equal(model.means, before) and model.counts.item() == 21


def test_the_loss_is_that_of_its_formula():
    """Written out row by row with torch's own functions, padding and incomplete rows among them."""
    trial = made_virtual("pooled", "pooled", batch_size=7)
    training = virtual_training([trial])
    batch, model = batch_of(training), training.model
    first = summary(*model.states(0, batch.x[0], batch.seen[0], batch.inside[0]))[0]
    second = summary(*model.states(1, batch.x[1], batch.seen[1], batch.inside[1]))[0]
    made = model.generator(first[None])[0]
    logits = [
        model.heads[0](first[None])[0] + model.heads[1](own[None])[0] for own in (second, made)
    ]
    there, used = batch.seen[1].any(-1)[0], batch.used[0] > 0
    assert used.sum() == 7 < len(used) and 0 < (there & used).sum() < 7
    total = 0.0
    for row in used.nonzero().flatten():
        y = batch.y[0, row]
        total = total + functional.cross_entropy(logits[1][row], y) / 7
        if there[row]:
            total = total + functional.cross_entropy(logits[0][row], y) / 7
    rows = (there & used).nonzero().flatten()
    cosines = functional.cosine_similarity(made[rows, None], second[None, rows], dim=-1) / 0.2
    own = torch.arange(len(rows))
    matched = (
        functional.cross_entropy(cosines, own) + functional.cross_entropy(cosines.T, own)
    ) / 2
    torch.testing.assert_close(model.loss(batch)[0], total + matched)


@pytest.mark.parametrize("stop", [True, False])
def test_stopping_keeps_matching_from_the_real_summary(stop):
    training = virtual_training([made_virtual("pooled", "pooled", rate=0.0, stop=stop)])
    model = training.model
    *_, matched = model.both(batch_of(training))
    (gradient,) = torch.autograd.grad(
        matched.sum(), [model.encoders[1].reads.weight], allow_unused=True
    )
    assert (gradient is None) == stop


def test_relative_time_is_linear_interpolation():
    random = torch.Generator().manual_seed(0)
    states = torch.randn(2, 6, 7, 3, generator=random, dtype=torch.float64)
    lengths = torch.tensor([[7, 4, 1, 6, 3, 7], [2, 5, 7, 7, 6, 4]])
    wanted = torch.tensor([[5, 5, 5, 2, 1, 7], [5, 3, 4, 10, 10, 1]])
    found = in_relative_time(states, lengths, wanted, 10)
    for trial, row in np.ndindex(2, 6):
        own, asked = int(lengths[trial, row]), int(wanted[trial, row])
        for unit in range(3):
            known = (np.arange(own) + 0.5) / own, states[trial, row, :own, unit].numpy()
            line = np.interp((np.arange(asked) + 0.5) / asked, *known)
            np.testing.assert_allclose(found[trial, row, :asked, unit], line, atol=1e-5)
    same = torch.full((2, 6), 7)
    assert torch.equal(in_relative_time(states, same, same, 7), states)


def test_a_virtual_sequence_fills_as_much_of_its_grid():
    inside = torch.arange(8) < torch.tensor([8, 4, 2, 0])[:, None]
    assert lengths_in(inside[None], 20).tolist() == [[20, 10, 5, 1]]
    training = virtual_training([made_virtual()])
    batch, model = batch_of(training), training.model
    states, moved = model.states(0, batch.x[0], batch.seen[0], batch.inside[0])
    made, there = model.virtual(states, batch.inside[0], 5)
    assert made.shape == (1, 8, 5, 2)
    assert there.sum(-1).tolist() == [
        [max(1, round(5 * int(own) / 7)) for own in batch.inside[0][0].sum(-1)]
    ]


def test_frames_are_matched_at_equal_places():
    random = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 1, 3, 5, 4, generator=random)
    inside = torch.arange(5) < torch.tensor([5, 3, 4])[:, None]
    a, b = whole_sequence(x, inside[None]), whole_sequence(y, torch.ones(1, 3, 5, dtype=bool))
    found = functional.cosine_similarity(a[0, :, None], b[0, None], dim=-1)
    for row, column in np.ndindex(3, 3):
        count = int(inside[row].sum())
        cosines = functional.cosine_similarity(x[0, row, :count], y[0, column, :count], dim=-1)
        wanted = cosines.sum() / (count * 5) ** 0.5
        torch.testing.assert_close(found[row, column], wanted)


def test_incomplete_rows_are_an_exact_share_drawn_once_and_selection_lacks_the_second():
    trial = made_virtual(rate=0.9, steps=24)
    training = ran([trial])
    bank = training.bank
    train = bank.parts[0]["train"]
    first, second = training.left(trial, train, 0)
    assert first.any(-1).all()
    assert second.any(-1).sum() == int(np.floor(round(0.1 * len(train), 9)))
    assert np.array_equal(training.left(trial, train, 100)[1], second)
    rows = training.rows()
    held = [row for row in rows if row["split"] == "validation"]
    assert {(row["test_pattern"], row["test_rate"]) for row in held} == {(VICTIM, 1.0)}
    tested = {(r["test_pattern"], r["test_rate"]) for r in rows if r["split"] == "test"}
    assert tested == {(NONE, 0.0), (VICTIM, 1.0)}
    assert training.found[0].chosen == np.argmax(training.found[0].validation[:, 0])
    found = make_bank(NAMES, made_answers(), (0,)).kept(0, "test", VICTIM, 1.0)
    assert found[0].any(-1).all() and not found[1].any()


GRID = dict(
    dataset="smartwatch",
    perceptor="frames",
    present="gyroscope",
    missing="accelerometer",
    stand_ins=[("pooled", "pooled")],
    rates=[0.5],
    seeds=[0],
    split_seeds=[0],
    steps=10,
    every=5,
)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            {"stand_ins": [("zero", "none")]},
            "no stand-in for a sequence 'zero'; did you mean 'zeros'",
        ),
        (
            {"stand_ins": [("pooled", "frames")]},
            "no level of matching for stand-in 'pooled' 'frames'",
        ),
        ({"rates": [1.5]}, "share of incomplete rows must be a number from 0 to 1, not 1.5"),
        ({"rates": [1.0]}, "needs complete rows, of which rate 1 leaves none"),
        ({"stand_ins": [("frames", "frames")], "stop": False}, "without `stop` ask for 'pooled'"),
        ({"missing": "gyroscope"}, "modalities must be one or more different ones"),
        ({"missing": "acelerometer"}, "did you mean 'accelerometer'"),
        ({"perceptor": "bound"}, "perceptor 'bound' is fitted per split"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_asked_is_one_line(more, line):
    with pytest.raises(MglibError, match=line) as caught:
        virtual_trials(**{**GRID, **more})
    assert "\n" not in str(caught.value)
    (trial,) = virtual_trials(**GRID)
    assert trial.modalities == ("gyroscope", "accelerometer")


@pytest.mark.parametrize("name", ["weight", "temperature"])
def test_the_matching_takes_sound_numbers(name):
    with pytest.raises(MglibError, match="not"):
        made_virtual("pooled", "pooled", **{name: -1.0})


def test_a_key_knows_its_parts_and_is_current():
    trial = made_virtual()
    parts = parts_of(trial.identity)
    assert {"engine", "missing", "sequences", "virtual", "law/victim", "perceptor/frames"} < {
        *parts
    }
    assert verdict(trial.key, trial.identity) == ("current", [])
    assert title_of("frames", "frames") == "generated frames, matched by frames"


def test_strips_are_columns_of_a_picture_and_sound_is_as_frames_have_it():
    data = datasets.get("numerals")()
    random = np.random.RandomState(0)
    pictures = random.randint(0, 256, (3, 64, 64)).astype(np.uint8)

    def seen(sense, values, modality):
        inputs = [FeatureSet(values, None, {}, [], np.arange(len(values)), {})]
        return sense().perceive(data, modality, inputs, None, lambda share: None)[0]

    found = seen(Strips, pictures, "handwriting_clean")
    assert found.shape == (3, 12, 64) and found.dtype == np.float32
    for row, frame in np.ndindex(3, 12):
        wanted = pictures[row, :, 5 * frame : 5 * frame + 5].mean(1)
        np.testing.assert_allclose(found[row, frame], wanted, rtol=1e-6)
    sound = random.randn(2, 64, 100).astype(np.float32)
    assert np.array_equal(seen(Strips, sound, "speech"), seen(Frames, sound, "speech"))
    with pytest.raises(MglibError, match=r"strips are of grey pictures .* \[3, 8, 8, 3\]"):
        seen(Strips, np.zeros((3, 8, 8, 3), np.uint8), "glyph")
