"""A stopped stack goes on where it was saved, bit for bit, in whatever company."""

from __future__ import annotations

import json

import pytest
import torch
from made_up import make_bank, make_trial, values_of

from mglib import paths
from mglib.trials import saved
from mglib.trials.engine import Training
from mglib.trials.saved import remove_state, resume_state, save_state, saved_stacks

EXPERIMENT = "made_up"


class Stop(Exception):
    """Ends a training between two steps, as a kill would."""


@pytest.fixture(autouse=True)
def rows(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path / EXPERIMENT
    torch.set_num_threads(before)


def stopped_at(step, trials, bank, weights=False):
    training = Training(trials, bank, weights)

    def pause():
        if training.step == step:
            save_state(EXPERIMENT, training, seconds=3.5)
            raise Stop

    with pytest.raises(Stop):
        training.run(pause=pause)


def keys(trials):
    return [trial.key for trial in trials]


METHODS = [("erm", "corrected"), ("irm", "corrected"), ("mixup", "as_published")]


@pytest.mark.parametrize(("name", "variant"), METHODS)
@pytest.mark.parametrize("step", [7, 100, 150])
def test_resumed_rows_and_weights_are_those_of_an_undisturbed_run(name, variant, step):
    bank = make_bank()
    asked = {"irm_penalty_anneal_iters": 120} if name == "irm" else {}
    trials = [
        make_trial(name, variant=variant, seed=s, steps=180, every=40, **asked) for s in range(5)
    ]
    whole = Training(trials, bank, keep_weights=True)
    whole.run()
    stopped_at(step, trials, bank, weights=True)
    resumed = Training(trials, bank, keep_weights=True)
    assert resume_state(EXPERIMENT, keys(trials), resumed) == 3.5
    assert resumed.step == step
    told = []
    resumed.run(told.append)
    assert sum(told) == 5 * (180 - step)
    assert resumed.rows() == whole.rows()
    for name_, tensor in whole.weights.items():
        assert torch.equal(tensor, resumed.weights[name_])
    for a, b in zip(whole.found, resumed.found, strict=True):
        assert (a.hits == b.hits).all() and (a.logits == b.logits).all() and a.chosen == b.chosen


def test_a_part_of_a_stack_goes_on_without_the_others():
    bank = make_bank()
    trials = [make_trial(seed=s, steps=60, every=20) for s in range(6)]
    whole = Training(trials, bank)
    whole.run()
    stopped_at(30, trials, bank)
    some = [trials[4], trials[1]]
    resumed = Training(some, bank)
    resume_state(EXPERIMENT, keys(trials), resumed)
    resumed.run()
    for trial in some:
        assert values_of(resumed.rows(), trial.key) == values_of(whole.rows(), trial.key)


def test_a_trial_that_diverged_before_the_save_stays_diverged():
    bank = make_bank()
    trials = [
        make_trial(seed=s, steps=250, every=50, lr=1e30 if s == 1 else 1e-3) for s in range(3)
    ]
    whole = Training(trials, bank)
    whole.run()
    assert whole.alive == [0, 2]
    stopped_at(130, trials, bank)
    resumed = Training(trials, bank)
    resume_state(EXPERIMENT, keys(trials), resumed)
    assert resumed.alive == [0, 2]
    resumed.run()
    assert resumed.rows() == whole.rows()
    lost = [row for row in whole.rows() if row["key"] == trials[1].key]
    assert len(lost) == 5 * 4 * 3 * 2 and {row["status"] for row in lost} == {"diverged"}


def test_a_stack_that_diverged_as_a_whole_stops_costing_time():
    bank, steps = make_bank(), []
    training = Training([make_trial(steps=10_000, lr=1e30)], bank)
    training.run(steps.append, lambda: steps.append(0))
    assert training.alive == [] and sum(steps) == 10_000 and steps.count(0) == 100


def test_only_the_last_state_is_kept_and_removed_when_done(rows):
    bank, trials = make_bank(), [make_trial(steps=90)]
    for step in (10, 20):
        stopped_at(step, trials, bank)
    assert len(list(rows.glob("*.state.safetensors"))) == 1
    assert saved_stacks(EXPERIMENT) == [keys(trials)]
    remove_state(EXPERIMENT, keys(trials))
    assert not list(rows.iterdir())


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "head"])
def test_a_damaged_state_is_said_and_costs_only_itself(damage, rows, capsys):
    bank, trials = make_bank(), [make_trial(seed=s, steps=40) for s in range(2)]
    whole = Training(trials, bank)
    whole.run()
    stopped_at(20, trials, bank)
    (tensors,) = rows.glob("*.state.safetensors")
    (head,) = rows.glob("*.state.json")
    if damage == "flip":
        flip(tensors)
    elif damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif damage == "gone":
        tensors.unlink()
    else:
        head.write_text(head.read_text()[:-30])
    resumed = Training(trials, bank)
    assert resume_state(EXPERIMENT, keys(trials), resumed) == 0.0
    assert resumed.step == 0
    assert "damaged saved state" in (said := capsys.readouterr().err) and said.count("\n") == 1
    assert not list(rows.iterdir())
    resumed.run()
    assert resumed.rows() == whole.rows()


def test_a_part_whose_trials_have_all_diverged_is_resumed_as_nothing_left():
    bank = make_bank()
    trials = [make_trial(seed=s, steps=250, every=50, lr=1e30 if s else 1e-3) for s in range(3)]
    whole = Training(trials, bank)
    whole.run()
    stopped_at(130, trials, bank)
    resumed = Training(trials[1:], bank)
    resume_state(EXPERIMENT, keys(trials), resumed)
    assert resumed.alive == []
    resumed.run()
    for trial in trials[1:]:
        assert values_of(resumed.rows(), trial.key) == values_of(whole.rows(), trial.key)


def test_a_state_made_by_other_code_is_no_start(capsys):
    bank, trials = make_bank(), [make_trial(steps=40)]
    training = Training(trials, bank)
    save_state(EXPERIMENT, training, code=[("engine", "abc")])
    resume_state(EXPERIMENT, keys(trials), training, [("engine", "abd")])
    assert "saved state by other code" in capsys.readouterr().err
    assert saved_stacks(EXPERIMENT) == []


def test_a_state_without_weights_is_no_start_for_a_run_that_keeps_them(rows):
    bank, trials = make_bank(), [make_trial(steps=40)]
    stopped_at(20, trials, bank)
    training = Training(trials, bank, keep_weights=True)
    resume_state(EXPERIMENT, keys(trials), training)
    assert training.step == 0


def test_a_full_disk_is_one_line(monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    training = Training([make_trial()], make_bank())
    monkeypatch.setattr(paths, "replace", full)
    with pytest.raises(Exception, match="No space left on device; make room there or set MGLIB_R"):
        save_state(EXPERIMENT, training)


def test_the_head_is_json_that_names_its_tensors(rows):
    trials = [make_trial(steps=40)]
    stopped_at(20, trials, make_bank())
    head = json.loads(next(rows.glob("*.state.json")).read_text())
    assert head["keys"] == keys(trials) and head["step"] == 20 and (rows / head["file"]).exists()
    assert saved.SECONDS <= 60
