"""What keys stand for survives being packed, bit for bit, and takes little room."""

from __future__ import annotations

import json

import pytest
from made_up import make_trial

from mglib.provenance import digest
from mglib.questions import pack, unpack


def test_keys_are_the_digests_of_what_was_packed():
    trials = [make_trial("erm"), make_trial("majority", seed=3), make_trial(lr=0.1, seed=2)]
    identities = {trial.key: trial.identity for trial in trials}
    identities["m"] = {"question": {"task": "x", "hparams": "{}"}, "measure": {"leaks": 1}}
    packed = json.loads(json.dumps(pack(identities)))
    found = unpack(packed)
    assert found.keys() == identities.keys()
    assert found["m"] == identities["m"]
    assert all(digest(found[trial.key]) == trial.key for trial in trials)
    assert unpack(pack(found)) == found
    assert unpack(json.loads(json.dumps(identities))) == found, "what was not packed is itself"
    assert unpack(None) == unpack(pack({})) == {}


def test_a_thousand_keys_take_less_than_a_hundred_bytes_each():
    trials = [
        make_trial("erm", seed=seed, split_seed=split, train=train)
        for seed in range(50)
        for split in range(5)
        for train in (("art",), ("glyph",), ("speech",), ("text",))
    ]
    text = json.dumps(pack({trial.key: trial.identity for trial in trials}), indent=1)
    assert len(text) < 100 * len(trials)


@pytest.mark.parametrize(
    "packed",
    [
        {"columns": ["a"], "values": {"a": [1]}, "keys": {"k": "1"}},
        {"columns": ["a"], "values": {"a": [1]}, "keys": {"k": "0 0"}},
        {"columns": ["a"], "values": {"a": [1]}, "keys": {"k": "x"}},
        {"columns": ["a"], "values": {}, "keys": {"k": "0"}},
        {"columns": ["a"], "keys": {"k": 0}},
    ],
)
def test_a_damaged_table_is_a_value_error(packed):
    with pytest.raises(ValueError):
        unpack(packed)
