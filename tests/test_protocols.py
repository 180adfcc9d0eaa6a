"""Protocols of a trial: published splits, unseen perceptors, and modalities tested together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import MODALITIES, make_bank, make_trial

from mglib.errors import MglibError
from mglib.trials import make_trials
from mglib.trials.engine import Training, build, train
from mglib.trials.measuring import View, predict, views
from mglib.trials.selection import alone, held_out, training_modality_validation

pytestmark = pytest.mark.usefixtures("one_thread")


def accuracies(rows, pattern=None):
    return {
        (r["modality"], r["split"]): r["value"]
        for r in rows
        if r["metric"] == "accuracy" and r["test_pattern"] == pattern
    }


def test_published_splits_shuffle_every_modality_by_itself():
    bank = make_bank()
    trial = replace(make_trial(), splits="as_published")
    parts = {m: bank.parts(trial, m) for m in MODALITIES}
    binding = set(bank.splits[0]["binding"])
    whole = set(range(300)) - binding
    for own in parts.values():
        assert not set(own["in"]) & set(own["out"])
        assert set(own["in"]) | set(own["out"]) == whole
        assert len(own["out"]) == int(0.2 * len(whole))
    # an instance tested in one modality is trained on in another
    assert set(parts["text"]["in"]) & set(parts["art"]["in"])
    assert not np.array_equal(np.sort(parts["text"]["in"]), np.sort(parts["art"]["in"]))
    assert bank.pools(trial, aligned=False).shape == (3, len(parts["art"]["in"]))
    (common,) = bank.pools(trial, aligned=True)
    assert set(common) == set.intersection(*(set(parts[m]["in"]) for m in trial.train))


@pytest.mark.parametrize("name", ["erm", "concat"])
def test_published_splits_train_and_report_their_own_parts(name):
    rows = train(
        [replace(make_trial(name, steps=300, lr=1e-2), splits="as_published")], make_bank()
    )
    assert {r["split"] for r in rows} == {"in", "out"}
    found = accuracies(rows)
    assert found["text", "in"] > 0.9 and found["art", "out"] > 0.9


def two_spaces(bank):
    """The bank with every modality once more, turned by a fixed rotation: an unbound perceptor."""
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0]
    return replace(
        bank,
        values=torch.cat([bank.values, bank.values @ turn]),
        tested={place: number + len(MODALITIES) for place, number in bank.block.items()},
    )


def test_an_unseen_perceptor_is_used_for_what_was_not_trained_on():
    bank = two_spaces(make_bank())
    weak = make_trial(steps=300, lr=1e-2)
    strong = replace(weak, unseen="frozen")
    published = replace(strong, unseen_for_all=True)
    assert [t.perception for t in (weak, strong, published)] == [
        "bound", "bound>frozen", "bound>>frozen"
    ]  # fmt: skip
    assert len({t.key for t in (weak, strong, published)}) == 3
    found = [accuracies(train([t], bank)) for t in (weak, strong, published)]
    assert found[0]["text", "test"] > 0.9 and found[0]["art", "test"] > 0.9
    assert found[1]["text", "test"] < 0.6 and found[1]["art", "test"] == found[0]["art", "test"]
    assert found[2]["text", "test"] == found[1]["text", "test"] and found[2]["art", "test"] < 0.6


@pytest.mark.parametrize("name", ["erm", "concat"])
def test_patterns_test_modalities_together(name):
    bank = make_bank(noise=1.5)
    patterns = ("by_slot", "seen", "all") if name == "concat" else ("seen", "all")
    trials = [
        replace(make_trial(name, steps=200, lr=1e-2, train=own), patterns=patterns)
        for own in (MODALITIES[:3], MODALITIES[1:])
    ]
    assert views(trials[1])[-2:] == [View(MODALITIES[1:], "seen"), View(MODALITIES, "all")]
    training = Training(trials, bank)
    training.run()
    rows = [r for r in training.rows() if r["key"] == trials[0].key]
    plain = accuracies(rows)
    best = max(plain[m, "test"] for m in MODALITIES)
    assert accuracies(rows, "all")["+".join(MODALITIES), "test"] > best
    assert accuracies(rows, "seen")["+".join(MODALITIES[:3]), "test"] > best
    together = [r["value"] for r in rows]
    without = [r["value"] for r in train([replace(trials[0], patterns=())], bank)]
    assert [v for v, r in zip(together, rows, strict=True) if r["test_pattern"] is None] == without


def test_erm_multiplies_the_probabilities_of_modalities():
    bank, trial = make_bank(), replace(make_trial(), patterns=("all",))
    model, instances = build([trial], bank), np.arange(7)
    (found,) = predict(model, bank, [View(MODALITIES, "all")], [trial], [instances])
    alone_ = [predict(model, bank, [View((m,))], [trial], [instances])[0] for m in MODALITIES]
    expected = torch.stack([own.log_softmax(-1) for own in alone_]).mean(0)
    torch.testing.assert_close(found, expected)


def test_concat_sees_what_has_a_slot_in_its_slot():
    bank = make_bank()
    trial = make_trial("concat", steps=5)
    model, instances = build([trial], bank), np.arange(7)
    (seen,) = predict(model, bank, [View(trial.train, "seen")], [trial], [instances])
    z = model.featurizer(bank.values[None, :3, :7]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(seen, model.classifier(z)[0].log_softmax(-1).detach())
    (every,) = predict(model, bank, [View(MODALITIES, "all")], [trial], [instances])
    (unseen,) = predict(model, bank, [View(("text",))], [trial], [instances])
    torch.testing.assert_close(every, (3 * seen + unseen.log_softmax(-1)) / 4)
    (mean,) = predict(model, bank, [View(("text",), "by_slot")], [trial], [instances])
    slots = []
    for slot in range(3):
        filled = torch.zeros_like(z).unflatten(2, (3, -1))
        filled[:, :, slot] = model.featurizer(bank.values[None, 3, :7])
        slots.append(model.classifier(filled.flatten(2))[0])
    torch.testing.assert_close(mean, torch.stack(slots).mean(0).detach())


def test_rules_choose_by_modalities_alone_and_take_patterns_along():
    import pandas as pd

    trial = replace(make_trial(steps=20, every=10), patterns=("all",))
    rows = pd.DataFrame(train([trial], make_bank()))
    chosen = training_modality_validation(rows)
    plain = training_modality_validation(alone(rows))
    assert chosen["step"].unique() == plain["step"].unique()
    assert set(chosen["test_pattern"].dropna()) == {"all"}
    assert set(held_out(rows)) == {("text",)}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"splits": "publishd"}, "did you mean 'as_published'"),
        ({"patterns": ["al"]}, "no test pattern 'al'"),
        ({"patterns": ["all"], "splits": "as_published"}, "need disjoint splits"),
        ({"unseen_for_all": True}, "needs `unseen`"),
        ({"unseen": "boud"}, "did you mean 'bound'"),
        ({"target": "clas"}, "did you mean 'class'"),
    ],
)
def test_what_cannot_be_asked(asked, said):
    common = {
        "dataset": "emoji_concepts", "perceptor": "bound", "algorithm": "erm",
        "train": [["art"]], "evaluate": ["art", "text"], "seeds": [0], "split_seeds": [0],
        "steps": 2, "every": 1,
    }  # fmt: skip
    with pytest.raises(MglibError, match=said):
        make_trials(**common, **asked)
    (erm,) = make_trials(**common, patterns=["by_slot", "all"])
    assert erm.patterns == ("all",), "ERM has no slots"
