"""Intervals of each selection rule from stored predictions, on the made-up world."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_up import MODALITIES, make_bank, make_trial

from mglib.analysis.rule_intervals import MEAN, hits_of, rule_rows, rule_table
from mglib.errors import MglibError
from mglib.rows import SCHEMA
from mglib.trials import stacked, without
from mglib.trials.artifacts import read_predictions
from mglib.trials.run import run_trials
from mglib.trials.selection import RULES, reported

EXPERIMENT = "made_up"


@pytest.fixture
def start(emoji_concepts, tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    monkeypatch.setattr(stacked, "weight_bytes", lambda trial: 1)
    bank = make_bank(noise=2.0)
    monkeypatch.setattr(stacked, "load_bank", lambda *asked: bank)
    return lambda trials: run_trials(
        EXPERIMENT, "test", trials, profile="quick", device="cpu", workers=1
    )


def grid(left_out=(1,), lr=lambda split, train: 1e-3):
    return [
        make_trial(
            train=tuple(train), seed=seed, split_seed=split, steps=8, every=4, lr=lr(split, train)
        )
        for number in left_out
        for train in without(MODALITIES, number)
        for seed in (0, 1)
        for split in (0, 1)
    ]


def by_metric(rows, **wanted):
    table = rows.to_pandas()
    table = table.assign(rule=[json.loads(h)["rule"] for h in table["hparams"]])
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table.set_index("metric")["value"]


def test_means_are_those_of_the_rows_and_lie_in_their_intervals(start):
    trials = start(grid((1, 2)))
    rows = rule_rows(EXPERIMENT, trials, profile="quick", draws=200)
    frame = trials.to_pandas()
    for name, rule in RULES.items():
        chosen = reported(rule.choose(frame))
        chosen = chosen[chosen["metric"] == "accuracy"]
        for modality in (*MODALITIES, MEAN):
            own = by_metric(rows, rule=name, modality=modality)
            part = chosen if modality == MEAN else chosen[chosen["modality"] == modality]
            assert own["accuracy"] == pytest.approx(part["value"].mean())
            assert own["accuracy_low"] <= own["accuracy"] <= own["accuracy_high"]
    assert rule_rows(EXPERIMENT, trials, profile="quick", draws=200).equals(rows)
    table = rule_table(rows.to_pandas(), {("erm", "corrected"): "ERM"})
    assert table.shape == (1, 4) and "[" in table.iloc[0, 2]


def test_a_rule_that_lacks_runs_has_a_dash(start):
    rows = rule_rows(EXPERIMENT, start(grid()), profile="quick", draws=50)
    rules = {json.loads(h)["rule"] for h in rows["hparams"].to_pylist()}
    assert rules == {"training-modality", "test-modality"}
    table = rule_table(rows.to_pandas(), {("erm", "corrected"): "ERM"})
    assert table.iloc[0].tolist().count("–") == 1


def test_one_missing_crossed_run_takes_the_whole_method_from_the_rule(start):
    trials = start(grid((1, 2)))
    frame = trials.to_pandas()
    lost = frame[(frame["train"] == "art+glyph") & (frame["split_seed"] == 1)]["key"].iloc[0]
    kept = trials.filter([key != lost for key in trials["key"].to_pylist()])
    rows = rule_rows(EXPERIMENT, kept, profile="quick", draws=50)
    assert "leave-one-modality-out" not in {
        json.loads(h)["rule"] for h in rows["hparams"].to_pylist()
    }


def test_a_diverged_choice_is_undefined_and_not_zero(start):
    wild = start(grid(lr=lambda split, train: 1e30 if split and "text" not in train else 1e-3))
    rows = rule_rows(EXPERIMENT, wild, profile="quick", draws=50)
    own = by_metric(rows, rule="training-modality", modality="text")
    assert own.isna().all() and len(own) == 3
    assert by_metric(rows, rule="training-modality", modality="art").notna().all()
    assert rule_table(rows.to_pandas(), {("erm", "corrected"): "ERM"}).iloc[0, 1] == "–"


def test_unlike_runs_and_lost_predictions_are_refused(start):
    trials = start(grid())
    chosen = reported(RULES["training-modality"].choose(trials.to_pandas()))
    chosen = chosen[chosen["metric"] == "accuracy"]
    predictions = read_predictions(EXPERIMENT, set(chosen["key"]))
    one = chosen[(chosen["modality"] == "art") | (chosen["seed"] == 0)]
    with pytest.raises(MglibError, match="different modalities"):
        hits_of(one, predictions)
    lost = dict(predictions)
    del lost[chosen["key"].iloc[0]]
    with pytest.raises(MglibError, match="no predictions are kept of trial"):
        hits_of(chosen, lost)
    sound = hits_of(chosen, predictions)
    assert [hits.values.shape[0] for hits in sound] == [2, 2]
    assert np.mean([h.values.mean() for h in sound]) == pytest.approx(chosen["value"].mean())
    assert set(SCHEMA.names) >= {"key", "step", "modality"}
