"""Trials with missing modalities on prepared data: what is read, hidden, drawn, kept and told."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from mglib.errors import MglibError
from mglib.features import load_features
from mglib.keys.now import identity_now, verdict
from mglib.missing.bank import hidden, learned, load_bank, scaling_of
from mglib.missing.branches import drop, tempered
from mglib.missing.fresh_heads import fresh_heads
from mglib.missing.grid import missing_trials
from mglib.missing.substitutes import WORDS, Substitute
from mglib.missing.trainer import FUSED, read_said
from mglib.rows import read_rows
from mglib.trials import run_trials

COMMON = {
    "dataset": "emoji_concepts",
    "perceptor": "frozen",
    "modalities": ["art", "text"],
    "seeds": [0],
    "split_seeds": [0],
    "steps": 6,
    "every": 3,
}


def asked(**more):
    return missing_trials(**{**COMMON, "methods": ["zero_fill"], **more})


def test_a_bank_holds_what_the_trials_ask_for(emoji_concepts):
    trials = asked(law="independent@empty=one", rates=[0.0, 0.5], split_seeds=[0, 1])
    bank = load_bank(trials)
    assert [values.shape for values in bank.values] == [(2, 1629, 1280), (2, 1629, 512)]
    raw = load_features("emoji_concepts", "frozen", "art")
    for place, (trial, own) in enumerate(zip(trials, bank.paired, strict=True)):
        parts = own.parts
        groups = [set(raw.groups[rows]) for rows in parts.values()]
        assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
        seen = bank.seen[place].numpy()
        assert seen[parts["test"]].all(), "the test part is whole"
        share = 1 - seen[parts["train"]].mean()
        assert share == 0 if trial.rate == 0 else 0.3 < share < 0.45
        assert seen.any(1).all()
        assert np.array_equal(hidden(trial, own), seen[: len(own.answers)])
    learn = bank.paired[0].parts["train"]
    art = bank.values[0][0, learn]
    torch.testing.assert_close(art.mean(0), torch.zeros(1280), atol=2e-4, rtol=0)
    text = bank.values[1][0]
    torch.testing.assert_close(text.norm(dim=1), torch.full((1629,), 512**0.5), atol=1e-2, rtol=0)


def test_a_fitted_space_keeps_its_binding_pairs_from_the_learner(emoji_concepts):
    (frozen,) = asked()
    (bound,) = asked(perceptor="bound")
    wide, narrow = load_bank([frozen]).paired[0].parts, load_bank([bound]).paired[0].parts
    assert len(wide["train"]) > 2 * len(narrow["train"])
    assert np.array_equal(wide["test"], narrow["test"])
    assert sum(map(len, wide.values())) == 1629


def test_standardised_features():
    random = np.random.RandomState(0)
    values = (random.randn(50, 4) * [1, 2, 3, 0] + [5, 0, -1, 7]).astype(np.float32)
    scaling = scaling_of(values, np.arange(30))
    scaled, zeros = scaling(values), scaling.zeros
    np.testing.assert_allclose(scaled[:30].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled[:30].std(0), [1, 1, 1, 0], atol=1e-5)
    mean, spread = values[:30].mean(0), values[:30].std(0)
    np.testing.assert_allclose(zeros[:3], -mean[:3] / spread[:3], rtol=1e-5)
    unit = values[:, :3] / np.linalg.norm(values[:, :3], axis=1, keepdims=True)
    scaling = scaling_of(unit, np.arange(30))
    scaled, zeros = scaling(unit), scaling.zeros
    np.testing.assert_allclose(scaled, unit * 3**0.5, rtol=1e-6)
    assert not zeros.any()


def test_a_share_of_the_training_part_is_drawn_once(emoji_concepts):
    (trial,) = asked()
    own = load_bank([trial]).paired[0]
    part = type(trial)(**{**trial.__dict__, "share": 0.1})
    few = learned(part, own)
    assert len(few) == round(0.1 * len(own.parts["train"]))
    assert set(few) <= set(own.parts["train"])
    assert np.array_equal(few, learned(part, own))
    assert part.key != trial.key


def test_rows_answers_and_the_record(emoji_concepts, tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    trials = asked(methods=["zero_fill", "ume_mma"], seeds=[0, 1])
    rows = run_trials(
        "tried", "missing", trials, profile="quick", device="cpu", workers=1, trainer=FUSED
    ).to_pandas()
    test = rows[(rows["split"] == "test") & (rows["metric"] == "accuracy")]
    assert set(test["modality"]) == {"art", "text", "art+text"}
    assert len(test) == 4 * 2 * 3 and test["value"].between(0, 1).all()
    assert set(rows["train_pattern"]) == {"none"} and set(rows["variant"]) == {"instance"}
    said = read_said("tried", [t.key for t in trials])
    assert set(said) == {t.key for t in trials}
    one = said[trials[0].key]
    step = test[(test["key"] == trials[0].key) & (test["step"] == one.chosen)]
    for place, name in enumerate(["art", "text", "art+text"]):
        hits = (one.answers[place].argmax(-1) == one.truth).mean()
        assert hits == pytest.approx(
            float(step[step["modality"] == name]["value"].iloc[0]), abs=1e-6
        )
    again = run_trials(
        "tried", "missing", trials, profile="quick", device="cpu", workers=1, trainer=FUSED
    )
    assert again.num_rows == len(rows)
    assert (
        read_rows("tried", {trials[0].key}, "quick").num_rows
        == (rows["key"] == trials[0].key).sum()
    )


def test_a_key_stands_for_all_that_decides_it(emoji_concepts):
    (trial,) = asked(law="one_of", rates=[0.3])
    assert verdict(trial.key, json.loads(json.dumps(trial.identity))) == ("current", [])
    older = json.loads(json.dumps(trial.identity))
    older["law"] = 0
    assert identity_now(older)["law"] == 1
    from mglib.provenance import digest

    standing, reasons = verdict(digest(older), older)
    assert standing == "outdated" and "law one_of" in reasons[0]
    others = [
        asked(law="one_of", rates=[0.4]),
        asked(law="one_of", rates=[0.3], methods=["mean_fill"]),
        asked(law="one_of", rates=[0.3], seeds=[1]),
        asked(law="independent", rates=[0.3]),
        asked(law="one_of", rates=[0.3], target="subgroup"),
    ]
    assert len({trial.key, *(own[0].key for own in others)}) == 6


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"methods": ["ume_mna"]}, "ume_mma"),
        ({"methods": []}, "methods"),
        ({"methods": ["ume_mma@probability=2"]}, "from 0 to 1"),
        ({"methods": ["ume_mma@fusion=head,substitute=drop"]}, "cannot leave a modality out"),
        ({"modalities": ["art", "txt"]}, "text"),
        ({"law": "one_off"}, "one_of"),
        ({"law": "none", "rates": [0.5]}, "0.5"),
        ({"pairing": "two_digit"}, "two_digits"),
        ({"target": "clas"}, "class"),
        ({"seeds": [0, 0]}, "different"),
        ({"steps": 0}, "at least 1"),
        ({"dataset": "emoji_concept"}, "emoji_concepts"),
    ],
)
def test_bad_questions_are_refused(more, words):
    with pytest.raises(MglibError, match=words):
        asked(**more)


def test_dropping_one_of_those_seen():
    seen = torch.ones(2, 20000, 3, dtype=torch.bool)
    seen[:, :5000, 0] = False
    seen[:, 15000:] = torch.tensor([False, True, False])
    seeds = torch.tensor([11, 12])
    kept = drop(seen, seeds, torch.tensor([0.0, 0.6]), "one")
    assert torch.equal(kept[0], seen[0]), "nothing is dropped at probability 0"
    lost = seen[1] & ~kept[1]
    assert torch.equal(lost[15000:], torch.zeros(5000, 3, dtype=torch.bool)), "the last one stays"
    assert lost.sum(1).max() == 1
    for rows, choices in ((slice(0, 5000), 2), (slice(5000, 15000), 3)):
        share = lost[rows].float().mean(0)
        assert share.sum() == pytest.approx(0.6, abs=0.03)
        assert share[-choices:].tolist() == pytest.approx([0.6 / choices] * choices, abs=0.03)


def test_dropping_each_by_itself():
    seen = torch.ones(1, 30000, 2, dtype=torch.bool)
    kept = drop(seen, torch.tensor([5]), torch.tensor([0.5]), "independent")
    assert kept.any(-1).all()
    # Both are lost in a quarter of the rows; then one comes back, either of them.
    assert kept.float().mean((0, 1)).tolist() == pytest.approx([0.625, 0.625], abs=0.02)
    together = drop(seen, torch.tensor([5]), torch.tensor([0.5]), "independent", together=True)
    assert (together == together[:, :1]).all()


def test_the_temperature_that_fits_best():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4000, 4, generator=random)
    y = torch.stack(
        [torch.multinomial(own.softmax(-1), 1, generator=random)[:, 0] for own in logits]
    )
    stretched = logits * torch.tensor([1.0, 3.0])[:, None, None]
    found = tempered(stretched, y, torch.ones(2, 4000, dtype=torch.bool))
    assert found.tolist() == pytest.approx([1.0, 3.0], rel=0.12)
    grid = torch.linspace(0.2, 8, 400)
    costs = [-(stretched[1] / t).log_softmax(-1)[torch.arange(4000), y[1]].mean() for t in grid]
    assert float(found[1]) == pytest.approx(float(grid[int(torch.stack(costs).argmin())]), abs=0.03)
    none = torch.zeros(2, 4000, dtype=torch.bool)
    assert tempered(stretched, y, none).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("word", WORDS)
def test_what_stands_in(word):
    streams = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    zeros = (torch.full((2, 3), -2.0), torch.full((2, 2), 4.0))
    stand_in = Substitute(streams, (3, 2), zeros, word)
    random = torch.Generator().manual_seed(3)
    x = [torch.randn(2, 90, width, generator=random) for width in (3, 2)]
    seen = torch.rand(2, 90, 2, generator=random) > 0.3
    x = [torch.where(seen[..., m, None], own, 0) for m, own in enumerate(x)]
    stand_in.fit(x, seen)
    hidden_all = torch.zeros(2, 40, 2, dtype=torch.bool)
    empty = [torch.zeros(2, 40, width) for width in (3, 2)]
    with torch.no_grad():
        filled = stand_in(empty, hidden_all, torch.tensor([1, 2]))
        kept = stand_in(x, torch.ones_like(seen), torch.tensor([1, 2]))
    assert all(torch.equal(a, b) for a, b in zip(kept, x, strict=True))
    mean = (x[0][1] * seen[1, :, :1]).sum(0) / seen[1, :, 0].sum()
    own = filled[0][1]
    if word == "mean":
        torch.testing.assert_close(own, mean.expand(40, 3))
    elif word == "zeros":
        assert (own == -2).all()
    elif word == "drop":
        assert (own == 0).all()
    elif word == "noise":
        assert (own.mean(0) - mean).abs().max() < 0.6 and own.std(0).min() > 0.5
    elif word == "another":
        real = x[0][1][seen[1, :, 0]]
        assert all((row == real).all(-1).any() for row in own)
        assert len({tuple(row.tolist()) for row in own}) > 10
    else:
        assert (own == own[0]).all() and stand_in.tokens[0].requires_grad


def test_fresh_heads_find_what_is_there(one_thread):
    random = np.random.RandomState(0)
    labels = np.arange(600) % 3
    informed = torch.tensor(np.eye(3)[labels] * 4 + random.randn(600, 3), dtype=torch.float32)
    noise = torch.tensor(random.randn(600, 3), dtype=torch.float32)
    parts = {
        "train": np.arange(300),
        "validation": np.arange(300, 400),
        "test": np.arange(400, 600),
    }
    y = torch.from_numpy(labels)
    knows, little = fresh_heads([informed, noise], y, parts, (True, False))[1]
    guesses, much = fresh_heads([informed, noise], y, parts, (False, True))[1]
    both, least = fresh_heads([informed, noise], y, parts, (True, True))[1]
    assert knows > 0.9 and both > 0.9 and guesses < 0.5
    assert little < 0.3 and least < 0.35 and much == pytest.approx(math.log(3), abs=0.1)


def test_pairs_of_digits_are_read_as_instances(monkeypatch):
    """The label of a pair is that of its digits; the items of a part stay in it."""
    from mglib.missing import bank

    labels = np.tile(np.arange(10), 30)
    parts = {
        "binding": np.arange(0, 100),
        "train": np.arange(100, 180),
        "validation": np.arange(180, 220),
        "test": np.arange(220, 300),
    }
    own = bank.Answered((), labels, labels, parts, 10)
    monkeypatch.setattr(bank, "_answered", lambda *question: own)
    bank._paired.cache_clear()
    found = bank._paired("", "numerals", "frozen", ("a", "b"), "class", "xor@classes=10", 3)
    bank._paired.cache_clear()
    assert found.classes == 10
    assert np.array_equal(found.answers, (labels[found.items[0]] + labels[found.items[1]]) % 10)
    assert set(found.parts["train"]) == set(range(0, 180))
    for rows in found.parts.values():
        assert set(found.items[1][rows]) <= set(rows)
