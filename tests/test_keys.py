"""A raised version changes the keys of what depends on it, and no others."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pkgutil import resolve_name

import pytest
from made_up import make_trial

from mglib.analysis.leaks import VERSION
from mglib.analysis.measured import asked
from mglib.keys.now import differences, identity_now, verdict
from mglib.provenance import digest

PERCEPTORS = ("raw", "frozen", "bound")
QUESTION = {"task": "leaks", "dataset": "emoji_concepts", "perceptor": "raw", "split_seed": 0}


def identities():
    """By name, what trials of every algorithm and perceptor stand for, and one measured value."""
    found = {
        f"{algorithm} {perceptor}": replace(make_trial(algorithm), perceptor=perceptor).identity
        for algorithm, perceptor in product(("erm", "concat", "majority"), PERCEPTORS)
    }
    ((_, identity),) = asked([QUESTION], {"leaks": VERSION}).values()
    return {**found, "leaks": identity}


@pytest.mark.parametrize(
    ("place", "changed", "words"),
    [
        ("mglib.algorithms.erm.ERM.version", "erm", "algorithm erm: version {old} then, 99 now"),
        ("mglib.perceptors.bound.Bound.version", "bound", "perceptor bound: version 2 then, 99"),
        ("mglib.perceptors.frozen.Frozen.version", "frozen|bound", "perceptor frozen: version 1"),
        (
            "mglib.perceptors.speech_embedding.SpeechEmbedding.version",
            "frozen|bound",
            "perceptor speech_embedding: version 1 then, 99 now",
        ),
        ("mglib.trials.trial.ENGINE_VERSION", "erm|concat|majority", "engine: version"),
        ("mglib.data.splits.SPLIT_VERSION", "", "splits: version 1 then, 99 now"),
        ("mglib.features.FORMAT", "", "features: version 1 then, 99 now"),
        ("mglib.data.emoji_concepts.EmojiConcepts.version", "", "dataset emoji_concepts: version"),
    ],
)
def test_a_raised_version_changes_what_depends_on_it(place, changed, words, monkeypatch):
    before = identities()
    owner, name = place.rsplit(".", 1)
    old = getattr(resolve_name(owner), name)
    monkeypatch.setattr(place, 99)
    after = identities()
    for what, identity in before.items():
        hit = not changed or bool(set(changed.split("|")) & set(what.split()))
        assert (digest(after[what]) != digest(identity)) == hit, what
        standing, reasons = verdict(digest(identity), identity)
        assert standing == ("outdated" if hit else "current"), what
        assert not hit or any(line.startswith(words.format(old=old)) for line in reasons)


def test_a_raised_measure_changes_its_own_keys_only(monkeypatch):
    (key, (_, identity)), *_ = asked([QUESTION], {"leaks": VERSION}).items()
    assert verdict(key, identity) == ("current", [])
    monkeypatch.setattr("mglib.keys.now.measures", lambda: {"leaks": VERSION + 1})
    assert verdict(key, identity) == (
        "outdated",
        [f"measure leaks: version {VERSION} then, {VERSION + 1} now"],
    )
    trial = make_trial()
    assert verdict(trial.key, trial.identity) == ("current", [])


def test_other_source_hashes_are_named_one_by_one():
    identity = make_trial().identity
    data = {**identity["data"], "sources": {**identity["data"]["sources"], "emoji": "0" * 64}}
    then = {**identity, "data": data}
    assert verdict(digest(then), then)[0] == "outdated"
    (line,) = differences(then, identity_now(then))
    assert line.startswith("source emoji: 0000")


@pytest.mark.parametrize(
    ("change", "standing", "words"),
    [
        ({"algorithm": "gone"}, "outdated", "no algorithm 'gone'"),
        ({"dataset": "gone"}, "outdated", "no dataset 'gone'"),
        ({"colour": "red"}, "unclear", "no colour"),
    ],
)
def test_what_cannot_be_asked_now_is_outdated_or_unclear(change, standing, words):
    identity = make_trial().identity
    then = {**identity, "question": {**identity["question"], **change}}
    found, reasons = verdict(digest(then), then)
    assert found == standing and words in reasons[0]


def test_a_record_of_another_key_is_unclear():
    assert verdict("0" * 16, make_trial().identity)[0] == "unclear"
    assert verdict(digest({"question": {}}), {"question": {}})[0] == "unclear"
