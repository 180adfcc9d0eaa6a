"""Linear probes against scikit-learn and known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mglib.analysis.held_out import percent
from mglib.analysis.probes import majority_accuracy, probe, probe_interval, probe_table
from mglib.analysis.statistics import resampled_interval
from mglib.data.splits import split_indices
from mglib.errors import MglibError


@pytest.fixture
def world():
    """Features [300, 10], three classes of which two overlap, and the parts of a split."""
    random = np.random.RandomState(0)
    labels = np.arange(300) % 3
    centres = np.array([[4.0] + [0] * 9, [0.0] * 10, [0.6] + [0] * 9])
    return centres[labels] + random.randn(300, 10), labels, split_indices(np.arange(300), 0)


def test_the_choice_is_made_on_the_validation_part(world):
    features, labels, parts = world
    penalties = [1e-2, 1e2, 1e4, 1e6]
    scores = {}
    for penalty in penalties:
        model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty))
        model.fit(features[parts["train"]], labels[parts["train"]])
        scores[penalty] = [
            model.score(features[parts[p]], labels[parts[p]]) for p in ("validation", "test")
        ]
    best = max(penalties, key=lambda p: (scores[p][0], p))
    assert probe(features, labels, parts, penalties) == pytest.approx((scores[best][1], best))


def test_labels_of_the_test_part_decide_nothing_but_the_score(world):
    features, labels, parts = world
    wrong = labels.copy()
    wrong[parts["test"]] = (wrong[parts["test"]] + 1) % 3
    accuracy, penalty = probe(features, labels, parts)
    assert probe(features, wrong, parts)[1] == penalty
    assert 0.6 < accuracy < 1.0
    easy = np.eye(3)[labels]
    assert probe(easy, labels, parts)[0] == 1.0 and probe(easy, wrong, parts)[0] == 0.0


def test_random_features_give_about_the_share_of_a_class(world):
    _, labels, parts = world
    noise = np.random.RandomState(1).randn(300, 50)
    assert abs(probe(noise, labels, parts)[0] - 1 / 3) < 0.2
    with pytest.raises(MglibError, match="finite"):
        probe(noise * np.nan, labels, parts)


def test_majority_is_that_of_the_training_part():
    labels = np.array([0, 0, 1, 1, 1, 0])
    parts = {"train": np.array([0, 1, 2]), "test": np.array([3, 4, 5])}
    assert majority_accuracy(labels, parts) == pytest.approx(1 / 3)


def test_the_table_has_intervals_over_splits():
    values = pd.DataFrame(
        [
            {
                "metric": metric,
                "target": "class",
                "perceptor": perceptor,
                "modality": modality,
                "split_seed": split,
                "value": 0.2 if metric == "majority" else 0.5 + 0.1 * split,
            }
            for metric in ("accuracy", "majority", "penalty")
            for perceptor in ("frozen", "bound")
            for modality in ("art", "text")
            for split in range(2)
        ]
    )
    table = probe_table(values, 0.2)
    assert table["Modality"].tolist() == ["majority class", "art", "text"]
    expected = percent(resampled_interval([0.5, 0.6], 0.2))
    assert table["Class, bound"].tolist() == ["20.0\xa0±\xa00.0", expected, expected]
    found = probe_interval(values, 0.2, target="class", perceptor="frozen")
    assert found.mean == pytest.approx(0.55) and found.n == 2
