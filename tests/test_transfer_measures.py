"""Measures of transfer runs: the source's spaces and the discrepancy, by a small body."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from _small_body import Small, make_source, make_target, make_transfer
from sklearn.metrics import davies_bouldin_score

from mglib import registry
from mglib.analysis.projections import project
from mglib.errors import MglibError
from mglib.transfer import trainer, training
from mglib.transfer.results import discrepancies, spaces
from mglib.transfer.trainer import ONE_BODY, read_answers
from mglib.trials import run_trials

pytestmark = pytest.mark.usefixtures("one_thread", "small")
EXPERIMENT = "test"


class Telling(Small):
    """Small, with five source classes of its own."""

    def source_probabilities(self, pooled):
        return pooled.softmax(-1)


class Card:
    """Stands for prepared features: only the class names are asked for."""

    card = {"class_names": {"class": ["a", "b", "c"]}}


@pytest.fixture
def small(monkeypatch, tmp_path):
    registry.bodies.names()
    monkeypatch.setitem(registry.bodies._found, "small", Telling)
    monkeypatch.setattr(Telling, "name", "small")
    monkeypatch.setattr(training, "load_target", lambda *names: make_target())
    monkeypatch.setattr(training, "load_source", lambda *names: make_source())
    monkeypatch.setattr(trainer.OneBody, "check", lambda self, trials: None)
    monkeypatch.setattr(spaces, "load_features", lambda *names: Card)
    monkeypatch.setattr(discrepancies, "load_target", lambda *names: make_target())
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))


@pytest.mark.parametrize("drawing", spaces.DRAWINGS)
def test_spaces_are_those_that_the_trial_left_and_are_drawn_once(drawing):
    trial = make_transfer("fine_tuning")
    run_trials(EXPERIMENT, "t", [trial], profile="quick", workers=1, trainer=ONE_BODY)
    asked = [(trial, "before"), (trial, "after")]
    rows = spaces.space_rows(EXPERIMENT, asked, drawing, profile="quick")
    left = read_answers(EXPERIMENT, [trial.key])[trial.key]
    frame = rows.to_pandas()
    for when in ("before", "after"):
        own = frame[[json.loads(text)["when"] == when for text in frame["hparams"]]]
        value = own.set_index("metric")["value"]
        features = getattr(left, when)
        assert value["davies_bouldin"] == pytest.approx(
            davies_bouldin_score(features, left.labels), rel=1e-4
        )
        assert value["davies_bouldin_low"] < value["davies_bouldin"] < value["davies_bouldin_high"]
        assert 0 <= value["purity"] <= 1 and 0 <= value["trustworthiness"] <= 1
    panels = {(trial.key, "before"): "pretrained", (trial.key, "after"): "after"}
    points = spaces.space_points(rows, panels, profile="quick")
    assert list(dict.fromkeys(points["panel"])) == ["pretrained", "after"]
    assert len(points) == 2 * len(left.labels) and set(points["class_name"]) <= {"a", "b", "c"}
    np.testing.assert_array_equal(points["class"][: len(left.labels)], left.labels)
    drawn = project(left.before.astype(np.float32), drawing)
    np.testing.assert_allclose(points[["x", "y"]][: len(drawn)], drawn, rtol=1e-4, atol=1e-4)


def test_a_trial_that_left_nothing_has_no_space():
    with pytest.raises(MglibError, match="left no features"):
        spaces.space_rows(EXPERIMENT, [(make_transfer("linear"), "after")], profile="quick")


def test_a_discrepancy_is_the_least_over_maps_of_classes():
    rows = discrepancies.discrepancy_rows(EXPERIMENT, ["glyphs"], "small", [0], profile="quick")
    far = discrepancies.discrepancies(rows, ["glyphs"])
    assert list(far["divergence"]) == ["cross_entropy", "hard"]
    assert (far["low"] <= far["discrepancy"]).all() and (far["discrepancy"] <= far["high"]).all()
    np.testing.assert_allclose(far["relative"], far["discrepancy"] / far["chance"])
    assert set(far["target"]) == {"glyphs"}


def test_fields_have_the_classes_that_their_answers_cluster_into(monkeypatch):
    monkeypatch.setattr(discrepancies, "load_target", lambda *names: make_target(fields=True))
    monkeypatch.setattr(discrepancies, "labels_of_fields", lambda both, k: np.arange(len(both)) % 3)
    rows = discrepancies.discrepancy_rows(EXPERIMENT, ["darcy"], "small", [0], profile="quick")
    assert discrepancies.discrepancies(rows, ["darcy"])["discrepancy"].notna().all()


def test_a_body_without_classes_of_its_own_is_probed_for_those_of_its_source(monkeypatch):
    monkeypatch.setitem(registry.bodies._found, "small", Small)
    monkeypatch.setattr(discrepancies, "load_source", lambda *names: make_source())
    run = training.TransferTraining(make_transfer("linear"))
    source = run.source
    probe = discrepancies.classifier_of(run.model, 0)
    told = probe(torch.from_numpy(source.features(run.model)["test"]))
    right = told.argmax(-1).numpy() == source.labels.numpy()[source.parts["test"]]
    assert told.shape == (len(right), 3) and right.mean() > 0.6
    torch.testing.assert_close(told.sum(-1), torch.ones(len(right), dtype=torch.float64))
    rows = discrepancies.discrepancy_rows(EXPERIMENT, ["glyphs"], "small", [0], profile="quick")
    assert discrepancies.discrepancies(rows, ["glyphs"])["discrepancy"].notna().all()
