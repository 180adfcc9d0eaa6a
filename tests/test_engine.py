"""The engine's promises: company changes nothing, divergence stays alone, keys are questions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up import MODALITIES, accuracies_of, make_bank, make_trial, values_of

from mglib.errors import MglibError
from mglib.registry import algorithms
from mglib.trials.engine import Training, build, train
from mglib.trials.grid import make_trials
from mglib.trials.sampling import BLOCK, minibatches

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("algorithm", ["erm", "concat"])
def test_a_trial_alone_and_in_a_stack_of_64_is_bit_identical(algorithm):
    bank = make_bank()
    trials = [
        make_trial(algorithm, seed=s, split_seed=s % 2, lr=1e-3 * (1 + s), every=10)
        for s in range(64)
    ]
    together = train(trials, bank)
    for index in (0, 37, 63):
        alone = train([trials[index]], bank)
        assert values_of(alone, trials[index].key) == values_of(together, trials[index].key)


def test_weights_alone_and_in_a_stack_are_bit_identical():
    bank = make_bank(width=512)
    trials = [make_trial(seed=s, steps=5, batch_size=32) for s in range(64)]
    together, alone = Training(trials, bank), Training([trials[41]], bank)
    together.run()
    alone.run()
    pairs = zip(together.model.parameters(), alone.model.parameters(), strict=True)
    assert all(torch.equal(a[41], b[0]) for a, b in pairs)


@pytest.mark.parametrize(("lr", "status"), [(1e6, "ok"), (1e30, "diverged")])
def test_a_wild_learning_rate_harms_no_other_trial(lr, status):
    bank = make_bank()
    sound = [make_trial(seed=s, steps=60) for s in range(3)]
    wild = make_trial(seed=3, steps=60, lr=lr)
    quiet = train(sound, bank)
    loud = train([sound[0], wild, *sound[1:]], bank)
    for trial in sound:
        assert values_of(quiet, trial.key) == values_of(loud, trial.key)
    own = [r for r in loud if r["key"] == wild.key]
    assert {r["status"] for r in own} == {status}
    assert all((r["value"] is None) == (status == "diverged") for r in own)


def draws(name, trials, steps, start=0):
    bank = make_bank()
    pools = [bank.splits[t.split_seed]["train"] for t in trials]
    return list(minibatches(algorithms.get(name), trials, pools, steps, start))


def test_aligned_batches_hold_the_same_instances_and_others_do_not():
    trials = [make_trial(seed=s) for s in range(2)]
    aligned, free = (draws(name, trials, 5)[0].index for name in ("concat", "erm"))
    assert aligned.shape == free.shape == (2, 3, 8)
    assert (aligned == aligned[:, :1]).all()
    assert not (free == free[:, :1]).all()
    assert set(free.flatten().tolist()) <= set(make_bank().splits[0]["train"].tolist())


@pytest.mark.parametrize("name", ["erm", "mixup"])
def test_minibatches_can_start_anywhere(name):
    trials = [make_trial(name, steps=2 * BLOCK + 7)]
    whole = draws(name, trials, 2 * BLOCK + 7)
    rest = draws(name, trials, 2 * BLOCK + 7, start=BLOCK + 50)
    assert [d.step for d in whole] == list(range(1, 2 * BLOCK + 8))
    for a, b in zip(whole[BLOCK + 50 :], rest, strict=True):
        assert a.step == b.step and torch.equal(a.index, b.index)
        assert all(torch.equal(a.noise[n], b.noise[n]) for n in a.noise)


def test_binding_instances_are_neither_trained_on_nor_evaluated():
    bank = make_bank()
    poisoned = make_bank()
    poisoned.values[:, poisoned.splits[0]["binding"]] = float("nan")
    trial = make_trial()
    model = build([trial], bank)
    index = torch.cat([draw.index for draw in draws("erm", [trial], 50)])
    assert not set(index.flatten().tolist()) & set(bank.splits[0]["binding"].tolist())
    rows = accuracies_of(model, bank, trial)
    assert {r["split"] for r in rows} == {"train", "validation", "test"}
    assert accuracies_of(model, poisoned, trial) == rows


def test_one_bad_prediction_spoils_only_the_rows_it_is_counted_in():
    bank, poisoned = make_bank(), make_bank()
    poisoned.values[MODALITIES.index("glyph"), poisoned.splits[0]["test"][0]] = float("nan")
    trial = make_trial()
    model = build([trial], bank)
    sound, spoiled = (accuracies_of(model, features, trial) for features in (bank, poisoned))
    assert any((r["modality"], r["split"]) == ("glyph", "test") for r in sound)
    for before, after in zip(sound, spoiled, strict=True):
        if (before["modality"], before["split"]) == ("glyph", "test"):
            before = {**before, "value": None, "status": "diverged"}
        assert after == before


def test_accuracy_equals_a_slow_count():
    bank = make_bank()
    trial = make_trial(steps=5)
    model = build([trial], bank)
    rows = {
        (r["modality"], r["split"], r["metric"]): r["value"]
        for r in accuracies_of(model, bank, trial)
    }
    with torch.no_grad():
        for number, modality in enumerate(MODALITIES):
            for split in ("validation", "test"):
                index = bank.splits[0][split].tolist()
                hits = {c: [] for c in range(bank.classes)}
                for i in index:
                    guess = int(model.predict(bank.values[number][None, i : i + 1])[0, 0].argmax())
                    hits[int(bank.labels[i])].append(guess == int(bank.labels[i]))
                everything = [h for own in hits.values() for h in own]
                recall = [sum(own) / len(own) for own in hits.values() if own]
                assert rows[modality, split, "accuracy"] == pytest.approx(
                    sum(everything) / len(everything)
                )
                assert rows[modality, split, "balanced_accuracy"] == pytest.approx(
                    sum(recall) / len(recall)
                )


ASK = {
    "dataset": "emoji_concepts",
    "perceptor": "bound",
    "algorithm": "erm",
    "train": [MODALITIES[:3]],
    "evaluate": MODALITIES,
    "seeds": [0],
    "split_seeds": [0],
    "steps": 10,
    "every": 5,
}


def test_the_key_is_the_question_and_nothing_else():
    key = make_trials(**ASK)[0].key
    assert key == make_trials(**ASK)[0].key and len(key) == 16
    for change in (
        {"seeds": [1]},
        {"split_seeds": [1]},
        {"steps": 11},
        {"algorithm": "concat"},
        {"train": [MODALITIES[1:]]},
        {"draws": [1]},
        {"fixed": {"lr": 1e-3}},
    ):
        assert make_trials(**{**ASK, **change})[0].key != key


def test_equal_questions_have_equal_keys():
    for one, other in (
        ({"fixed": {"lr": 1}}, {"fixed": {"lr": 1.0}}),
        ({"evaluate": MODALITIES}, {"evaluate": MODALITIES[::-1]}),
    ):
        assert make_trials(**{**ASK, **one})[0].key == make_trials(**{**ASK, **other})[0].key


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("mglib.trials.trial.ENGINE_VERSION", 99),
        ("mglib.algorithms.erm.ERM.version", 99),
        ("mglib.data.emoji_concepts.EmojiConcepts.version", "99"),
        ("mglib.data.splits.FRACTIONS", {"binding": 0.2, "train": 0.8}),
        ("mglib.perceptors.bound.PENALTIES", np.array([1.0])),
        ("mglib.perceptors.efficientnet_lite.EfficientNetLite0.version", "99"),
    ],
)
def test_what_would_change_a_result_changes_its_key(where, value, monkeypatch):
    before = make_trials(**ASK)[0].key
    monkeypatch.setattr(where, value)
    assert make_trials(**ASK)[0].key != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "emoji_concept"}, "did you mean 'emoji_concepts'"),
        ({"perceptor": "bond"}, "did you mean 'bound'"),
        ({"algorithm": "ermm"}, "did you mean 'erm'"),
        ({"train": [("art", "txt")]}, "did you mean 'text'"),
        ({"train": [("art", "art")]}, "repeated"),
        ({"variant": "as_publishd"}, "no variant of erm"),
        ({"steps": 0}, "at least 1"),
        ({"seeds": []}, "no seeds"),
        ({"split_seeds": []}, "no split seeds"),
        ({"fixed": {"lr": -1.0}}, "at least 0, not -1.0"),
        ({"fixed": {"lr": float("nan")}}, "at least 0, not nan"),
        ({"fixed": {"batch_size": 0}}, "at least 1, not 0"),
    ],
)
def test_bad_questions_are_refused(change, message):
    with pytest.raises(MglibError, match=message):
        make_trials(**{**ASK, **change})
