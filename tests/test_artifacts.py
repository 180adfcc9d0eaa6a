"""What a trial leaves beside its rows: predictions that agree with them, and the learner itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up import MODALITIES, make_bank, make_trial

import mglib
from mglib.errors import MglibError
from mglib.trials import stacked
from mglib.trials.artifacts import read_predictions
from mglib.trials.run import run_trials

EXPERIMENT = "made_up"


@pytest.fixture
def bank(emoji_concepts, tmp_path, monkeypatch):
    """The made-up world, trained on in this process, with its rows in a folder of the test."""
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    monkeypatch.setattr(stacked, "weight_bytes", lambda trial: 1)
    found = make_bank(instances=301)
    monkeypatch.setattr(stacked, "load_bank", lambda *asked: found)
    return found


def start(trials, **options):
    return run_trials(
        EXPERIMENT, "test", trials, profile="quick", device="cpu", workers=1, **options
    ).to_pandas()


def test_hits_and_logits_agree_with_the_rows(bank):
    trials = [make_trial(seed=s, split_seed=s, steps=40, every=10) for s in range(2)]
    rows = start(trials)
    found = read_predictions(EXPERIMENT, {t.key for t in trials})
    for trial in trials:
        own = found[trial.key]
        assert own.steps == (10, 20, 30, 40) and own.evaluate == MODALITIES
        np.testing.assert_array_equal(own.instances, bank.splits[trial.split_seed]["test"])
        table = rows[
            (rows["key"] == trial.key) & (rows["split"] == "test") & (rows["metric"] == "accuracy")
        ].pivot(index="step", columns="modality", values="value")
        np.testing.assert_allclose(own.hits.mean(-1), table[list(MODALITIES)].to_numpy())
        labels = bank.labels.numpy()[own.instances]
        at = own.steps.index(own.chosen)
        np.testing.assert_array_equal(own.logits.argmax(-1) == labels, own.hits[at])


def test_the_chosen_checkpoint_is_the_one_of_the_first_rule(bank):
    from mglib.trials.selection import training_modality_validation

    trials = [make_trial(seed=s, steps=60, every=5, lr=0.03) for s in range(6)]
    rows = start(trials)
    chosen = training_modality_validation(rows).groupby("key")["step"].unique()
    found = read_predictions(EXPERIMENT, {t.key for t in trials})
    assert {key: [own.chosen] for key, own in found.items()} == {
        key: list(steps) for key, steps in chosen.items()
    }
    assert len({own.chosen for own in found.values()}) > 1, "the choice is a choice"


def test_a_kept_learner_predicts_what_was_measured(bank):
    trials = [make_trial("concat", seed=s, steps=40, every=10) for s in range(3)]
    start(trials, weights=True)
    own = read_predictions(EXPERIMENT, {trials[1].key})[trials[1].key]
    learner = mglib.load(trials[1].key)
    assert learner.trial == trials[1]
    x = bank.values[MODALITIES.index("text"), torch.from_numpy(own.instances).long()]
    np.testing.assert_allclose(learner.predict(x), own.logits[3], rtol=1e-4, atol=1e-4)
    assert mglib.load(trials[1].key[:9]).trial == trials[1]
    with pytest.raises(MglibError, match=r"must be \[N, 16\], not \[3, 17\]"):
        learner.predict(np.zeros((3, 17)))


def test_weights_that_were_not_kept_are_trained_again_when_asked_for(bank):
    trial = make_trial(steps=10)
    rows = start([trial])
    with pytest.raises(MglibError, match="no kept weights under key .* `weights` set to true"):
        mglib.load(trial.key)
    again = start([trial], weights=True)
    assert again.equals(rows)
    assert mglib.load(trial.key).trial == trial


@pytest.mark.parametrize("steps", [20, 150])  # before and after divergence is looked for
def test_a_learner_that_diverged_is_not_handed_out(bank, steps):
    asked = {"steps": steps, "every": steps}
    trials = [make_trial(seed=s, **asked, lr=1e30 if s else 1e-3) for s in range(2)]
    rows = start(trials, weights=True)
    assert rows[rows["key"] == trials[1].key]["value"].isna().all()
    own = read_predictions(EXPERIMENT, {t.key for t in trials})
    assert own[trials[0].key].chosen == steps and own[trials[1].key].chosen is None
    assert mglib.load(trials[0].key).trial == trials[0]
    with pytest.raises(MglibError, match="diverged before its first checkpoint"):
        mglib.load(trials[1].key)
    again = start(trials, weights=True)
    assert again.equals(rows)


def test_weights_of_another_version_are_not_taken_for_the_present_one(bank, monkeypatch):
    trial = make_trial(steps=10)
    start([trial], weights=True)
    monkeypatch.setattr("mglib.algorithms.erm.ERM.version", 99)
    with pytest.raises(MglibError, match=f"another version .* `mglib why {trial.key}` says which"):
        mglib.load(trial.key)


def test_a_flipped_byte_in_an_artifact_is_one_line(bank, tmp_path):
    trial = make_trial(steps=10)
    start([trial], weights=True)
    for ending, use in (
        ("predictions", lambda: read_predictions(EXPERIMENT, {trial.key})),
        ("weights", lambda: mglib.load(trial.key)),
    ):
        (path,) = tmp_path.glob(f"*/*.{ending}.safetensors")
        content = bytearray(path.read_bytes())
        content[-9] ^= 4
        path.write_bytes(content)
        with pytest.raises(MglibError, match="^damaged file [^\n]*delete it and run again$"):
            use()


def test_importing_mglib_imports_no_torch():
    import subprocess
    import sys

    code = "import mglib, sys; assert 'torch' not in sys.modules; assert callable(mglib.load)"
    subprocess.run([sys.executable, "-c", code], check=True)
