"""Every transfer method under the run loop: what it changes, its limits, resuming, divergence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from _small_body import Small, make_source, make_target, make_transfer

import mglib
from mglib import registry
from mglib.arrays import about_arrays
from mglib.errors import MglibError
from mglib.registry import transfers
from mglib.rows import part_path
from mglib.transfer import trainer, training
from mglib.transfer.kept import Transferred
from mglib.transfer.measuring import SOURCE
from mglib.transfer.targets import TARGETS, target_named, transfer_trials
from mglib.transfer.trainer import ONE_BODY, read_answers
from mglib.transfer.training import TransferTraining, boundaries, learning_rate
from mglib.trials import run_trials, saved
from mglib.trials.kept import find_kept

pytestmark = pytest.mark.usefixtures("one_thread", "small")
METHODS = [name for name in transfers.names() if name != "pare"]  # for transformers: its own tests


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The small body, target and source, with rows in a folder of the test."""
    registry.bodies.names()
    monkeypatch.setitem(registry.bodies._found, "small", Small)
    monkeypatch.setattr(training, "load_target", lambda *names: make_target())
    monkeypatch.setattr(training, "load_source", lambda *names: make_source())
    monkeypatch.setattr(trainer.OneBody, "check", lambda self, trials: None)
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))


def weights(run: TransferTraining) -> dict[str, torch.Tensor]:
    parts = run.model.named("embedder", "encoder", "predictor")
    return {name: parameter.detach().clone() for name, parameter in parts.items()}


def finished(trial) -> TransferTraining:
    run = TransferTraining(trial)
    run.run()
    return run


def differ(one, other) -> set[str]:
    return {name for name in one if not torch.equal(one[name], other[name])}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_what_its_stages_name_and_nothing_else(method):
    run = TransferTraining(make_transfer(method))
    assert sum(stage.share for stage in run.stages) == pytest.approx(1)
    touched: set[str] = set()
    while run.step < run.trial.steps:
        if run.step == run.edges[run.number + 1]:
            run._enter(run.step)
        before, stage = weights(run), run.stages[run.number]
        assert run.advance()
        changed = differ(before, weights(run))
        assert changed <= set(stage.names)
        touched |= changed
    assert touched == {name for stage in run.stages for name in stage.names}


@pytest.mark.parametrize("method", METHODS)
def test_rows_hold_every_quantity_at_every_checkpoint(method):
    trial = make_transfer(method)
    run = finished(trial)
    rows = run.rows()
    assert trial.checkpoints == (0, 5, 10, 12)
    assert {row["step"] for row in rows} == set(trial.checkpoints)
    assert len(rows) == 4 * (2 + len(SOURCE))
    assert all(row["status"] == "ok" and np.isfinite(row["value"]) for row in rows)
    assert {row["modality"] for row in rows if row["metric"] in SOURCE} == {"art"}
    first = {r["metric"]: r["value"] for r in rows if r["step"] == 0}
    assert first["cka"] == pytest.approx(1)
    assert run.found[0].misses.mean() == pytest.approx(
        next(
            r["value"]
            for r in rows
            if r["metric"] == "error"
            and r["split"] == "test"
            and r["step"] == trial.checkpoints[run.found[0].chosen]
        )
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop", [1, 2, 7])
def test_a_resumed_run_is_an_undisturbed_one(method, stop):
    trial = make_transfer(method)
    whole, stopped = finished(trial), TransferTraining(trial)

    class Enough(Exception):
        pass

    def pause():
        if stopped.step == stop:
            saved.save_state("test", stopped)
            raise Enough

    with pytest.raises(Enough):
        stopped.run(pause=pause)
    resumed = TransferTraining(trial)
    saved.resume_state("test", [trial.key], resumed)
    assert resumed.step == stop
    resumed.run()
    assert not differ(weights(whole), weights(resumed))
    assert whole.rows() == resumed.rows()


def test_fine_tuning_learns_and_a_frozen_encoder_keeps_its_source():
    tuned, frozen = (finished(make_transfer(name, steps=60)) for name in ("fine_tuning", "linear"))
    for run in (tuned, frozen):
        values = run.found[0].values
        assert values[-1, 1] < 0.45 < values[0, 1]
    cka = SOURCE.index("cka") - len(SOURCE)
    assert frozen.found[0].values[-1, cka] == pytest.approx(1)
    assert tuned.found[0].values[-1, cka] < 0.99


def test_fields_are_learned_and_judged_in_their_own_units(monkeypatch):
    monkeypatch.setattr(training, "load_target", lambda *names: make_target(fields=True))
    run = finished(make_transfer("fine_tuning", steps=80))
    rows = [row for row in run.rows() if row["metric"] == "nrmse" and row["split"] == "test"]
    assert rows[-1]["value"] < rows[0]["value"] / 1.5
    target, model = run.target, run.model
    inputs, wanted = target.rows(target.parts["test"])
    with torch.no_grad():
        answer = model.answer(inputs) * 2 + 3
    error = (answer - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    assert rows[-1]["value"] == pytest.approx(float(error.mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("method", "simpler"),
    [
        ("warm_up@share=0", "fine_tuning"),
        ("mona@share=0", "fine_tuning"),
        ("mona@weight=0", "warm_up"),
        ("mona@inner_rate=0", "warm_up"),
        ("mona@form=second_order", "mona"),
        ("mona@virtual=encoder", "mona"),
        ("mona@form=second_order,inner_steps=3", "mona@inner_steps=3"),
    ],
)
def test_in_a_limit_a_method_is_a_simpler_one(method, simpler):
    one, other = finished(make_transfer(method)), finished(make_transfer(simpler))
    for name, value in weights(one).items():
        torch.testing.assert_close(value, weights(other)[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "other"),
    [
        ("mona@inner_rate=1", "warm_up"),
        # The second step starts from a predictor that has moved, or has not.
        ("mona@inner_rate=1,inner_steps=2,virtual=encoder", "mona@inner_rate=1,inner_steps=2"),
    ],
)
def test_the_outer_loss_of_mona_moves_the_embedder(method, other):
    one, two = finished(make_transfer(method)), finished(make_transfer(other))
    gap = (weights(one)["embedder.weight"] - weights(two)["embedder.weight"]).abs().max()
    assert gap > 1e-5


def test_a_smaller_surrogate_set_is_part_of_a_larger_and_nothing_else_is_learned_from():
    small, larger, all_of_it = (
        TransferTraining(make_transfer(name))
        for name in ("mona@surrogate=0.1", "mona@surrogate=0.5", "mona")
    )
    learned = set(all_of_it.source.parts["surrogate"].tolist())
    for run, share in ((small, 0.1), (larger, 0.5)):
        own = run._surrogate(share)
        assert len(own) == max(2, round(share * len(learned))) and set(own) < learned
        drawn: set[int] = set()
        rows = run.source.rows
        object.__setattr__(run.source, "rows", lambda i, d=drawn, r=rows: (d.update(i), r(i))[1])
        run.run()
        assert drawn and drawn <= set(own)
    assert set(small._surrogate(0.1)) < set(larger._surrogate(0.5))
    pool = all_of_it.source.parts["surrogate"]
    np.testing.assert_array_equal(all_of_it._surrogate(1.0), pool)


def test_methods_begin_alike_and_scratch_does_not():
    starts = {name: weights(TransferTraining(make_transfer(name))) for name in METHODS}
    for name, start in starts.items():
        same = not differ(start, starts["fine_tuning"])
        assert same == (name != "scratch"), name


def test_normalisation_is_live_from_scratch_alone():
    for name in ("fine_tuning", "mona", "scratch"):
        run = TransferTraining(make_transfer(name))
        before = {key: value.clone() for key, value in run.model.encoder.named_buffers()}
        run.run()
        after = dict(run.model.encoder.named_buffers())
        moved = any(not torch.equal(before[key], after[key]) for key in before)
        assert moved == (name == "scratch")
        assert not run.model.encoder.training


def test_a_run_that_diverges_ends_there_and_says_so():
    told = []
    run = TransferTraining(make_transfer("fine_tuning", lr=0.9e38, steps=20))
    run.run(told.append)
    assert sum(told) == 20 and run.alive == []
    rows = run.rows()
    assert {row["status"] for row in rows if row["step"] == 20} == {"diverged"}
    assert all(row["value"] is None for row in rows if row["step"] == 20)
    assert {row["status"] for row in rows if row["step"] == 0} == {"ok"}


def test_rows_are_kept_and_what_is_left_can_be_read(tmp_path):
    trials = [make_transfer(name) for name in ("fine_tuning", "linear")]
    asked = {"profile": "quick", "workers": 1, "trainer": ONE_BODY}
    rows = run_trials("test", "transfer", trials, **asked)
    files = sorted(path.name for path in Path(tmp_path / "test").iterdir())
    again = run_trials("test", "transfer", trials, **asked)
    assert again.equals(rows) and sorted(p.name for p in (tmp_path / "test").iterdir()) == files
    assert set(pc.unique(rows["key"]).to_pylist()) == {trial.key for trial in trials}
    left = read_answers("test", [trials[1].key])[trials[1].key]
    assert left.before.shape == left.after.shape == (26, 5) and len(left.labels) == 26
    np.testing.assert_array_equal(left.before, left.after)  # its encoder is frozen
    record = json.loads(part_path("test", [trials[0].key]).with_suffix(".json").read_text())
    assert record["keys"] == [trials[0].key]


@pytest.mark.parametrize(
    ("method", "fields", "lr"),  # the higher rate is best before its end
    [
        *((name, False, 0.02) for name in METHODS),
        ("mona", True, 0.02),
        *(("mona", f, 1.0) for f in (False, True)),
    ],
)
def test_a_kept_body_says_again_what_was_measured(monkeypatch, method, fields, lr):
    target = make_target(fields)
    monkeypatch.setattr(training, "load_target", lambda *names: target)
    trial = make_transfer(method, lr=lr)
    asked = {"profile": "quick", "workers": 1, "trainer": ONE_BODY}
    rows = run_trials("test", "transfer", [trial], **asked)
    with pytest.raises(MglibError, match="no kept weights under key .* `weights` set to true"):
        mglib.load(trial.key)
    assert run_trials("test", "transfer", [trial], **asked, weights=True).equals(rows)
    body = mglib.load(trial.key[:9])
    assert isinstance(body, Transferred) and body.trial == trial
    left = read_answers("test", [trial.key])[trial.key]
    index = torch.from_numpy(left.instances).long()
    said = torch.from_numpy(body.predict(target.inputs[index]))
    if fields:  # in their own units
        wanted = target.answers[index]
        missed = (said - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    else:
        missed = (said.argmax(-1) != target.answers[index]).float()
    np.testing.assert_allclose(missed, left.misses, rtol=1e-5)
    (about,) = (own for own in find_kept(trial.key).path.parent.glob("*.answers.safetensors"))
    assert lr != 1 or about_arrays(about)[trial.key]["chosen"] < trial.steps
    with torch.no_grad():
        pooled = body.model.target_features(target.rows(left.instances)[0])
    np.testing.assert_allclose(body.features(target.inputs[index]), pooled, rtol=1e-6)
    assert len(body.predict(target.inputs[:0])) == len(body.features(target.inputs[:0])) == 0
    with pytest.raises(MglibError, match=r"must be \[N, 2, 8, 8\], not \[3, 8, 8\]"):
        body.predict(np.zeros((3, 8, 8)))


def test_what_is_kept_of_a_resumed_run_is_that_of_an_undisturbed_one():
    trial = make_transfer("fine_tuning", lr=0.5)
    whole, stopped = (TransferTraining(trial, keep_weights=True) for _ in range(2))
    whole.run()

    def pause():
        if stopped.step == 7:
            saved.save_state("test", stopped)
            stopped.alive = []

    stopped.run(pause=pause)
    resumed = TransferTraining(trial, keep_weights=True)
    saved.resume_state("test", [trial.key], resumed)
    assert resumed.step == 7
    resumed.run()
    assert not differ(whole.weights, resumed.weights)
    present = training.state_of(whole.model)
    assert trial.checkpoints[whole.found[0].chosen] < trial.steps
    assert differ({k: v[0] for k, v in whole.weights.items()}, present)


def test_a_body_of_another_version_is_not_taken_for_the_present_one(monkeypatch):
    trial = make_transfer("linear")
    asked = {"profile": "quick", "workers": 1, "trainer": ONE_BODY, "weights": True}
    run_trials("test", "transfer", [trial], **asked)
    monkeypatch.setattr(Small, "version", 99)
    with pytest.raises(MglibError, match=f"another version .* `mglib why {trial.key}` says which"):
        mglib.load(trial.key)


def test_stages_begin_and_rates_go_where_they_should():
    stages = TransferTraining(make_transfer("warm_up", steps=100)).stages
    assert boundaries(stages, 100) == [0, 20, 100]
    assert boundaries(stages, 2) == [0, 0, 2]
    assert learning_rate(0.05, 0.1) == pytest.approx(0.5)
    assert learning_rate(0.1, 0.1) == 1 and learning_rate(1.0, 0.1) == 0
    assert learning_rate(0.55, 0.1) == pytest.approx(0.5)


def test_keys_hang_on_method_body_and_settings(monkeypatch):
    keys = {make_transfer(name).key for name in ("mona", "mona@weight=0.3", "warm_up")}
    assert len(keys) == 3
    before = make_transfer("mona").key
    monkeypatch.setattr(Small, "version", 2)
    assert make_transfer("mona").key != before
    monkeypatch.setattr(Small, "version", 1)
    monkeypatch.setattr(transfers.get("mona"), "version", 99)
    assert make_transfer("mona").key != before


def test_asking_for_what_is_not_there_is_one_clear_line():
    asked = {
        "targets": ["glyphs"],
        "bodies": "small",
        "methods": ["mona"],
        "seeds": [0],
        "split_seeds": [0],
        "steps": 4,
        "every": 2,
        "lr": 0.1,
    }
    assert len(transfer_trials(**asked)) == 1
    for change, words in (
        ({"targets": ["glyph"]}, "did you mean 'glyphs'"),
        ({"targets": ["emoji_concepts/raw/glyphs/class"]}, "did you mean 'glyph'"),
        ({"targets": []}, "one or more different"),
        ({"methods": ["mona", "mona"]}, "one or more different"),
        ({"seeds": []}, "seeds must be one or more different"),
        ({"split_seeds": range(0)}, "split seeds must be one or more different"),
        ({"methods": ["monna"]}, "did you mean 'mona'"),
        ({"methods": ["mona@share=1"]}, "the rest of the steps"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"lr": 1.0}, "between 0 and 1"),
    ):
        with pytest.raises(MglibError, match=words):
            transfer_trials(**{**asked, **change})
    named = target_named("emoji_concepts/raw/glyph/class")
    assert (named.dataset, named.modality) == ("emoji_concepts", "glyph")
    for name in TARGETS:
        assert target_named(target_named(name).dataset + "/raw/" + _any_modality(name)) is not None


def test_two_targets_of_one_input_are_refused_before_anything_trains():
    """Rows tell a target by its input: two answers of one would be averaged."""
    asked = {"bodies": "efficientnet_lite0", "methods": ["fine_tuning"], "seeds": [0]}
    asked |= {"split_seeds": [0], "steps": 4, "every": 2, "lr": 0.001}
    places = [f"emoji_concepts/raw/glyph/{answer}" for answer in ("class", "subgroup")]
    for targets in (places, ["glyphs", places[0]]):
        with pytest.raises(MglibError, match=f"'{targets[0]}' and '.*' have the same input"):
            transfer_trials(targets=targets, **asked)


def _any_modality(name: str) -> str:
    own = TARGETS[name]
    return f"{own.modality}/{own.target}"
