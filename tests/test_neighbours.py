"""Votes of nearest neighbours against an own count and known answers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mglib.analysis.neighbours import neighbour_probe
from mglib.data.splits import split_indices
from mglib.errors import MglibError


@pytest.fixture
def world():
    """Features [240, 6] of three classes, one of which lies between the others, and a split."""
    random = np.random.RandomState(0)
    labels = np.arange(240) % 3
    centres = np.array([[2.0, 0, 0, 0, 0, 1], [0.0, 2, 0, 0, 0, 1], [1.0, 1, 0, 0, 0, 1]])
    return centres[labels] + 0.5 * random.randn(240, 6), labels, split_indices(np.arange(240), 0)


def counted(features, labels, parts, k, part):
    """The share of right votes, one instance after the other."""
    right = 0
    for i in parts[part]:
        cosine = {
            j: features[i] @ features[j] / np.linalg.norm(features[i]) / np.linalg.norm(features[j])
            for j in parts["train"]
        }
        nearest = sorted(cosine, key=cosine.get, reverse=True)[:k]
        votes = Counter(labels[j] for j in nearest)
        right += min(votes, key=lambda c: (-votes[c], c)) == labels[i]
    return right / len(parts[part])


def test_the_vote_is_that_of_an_own_count_and_k_is_chosen_on_validation(world):
    features, labels, parts = world
    counts = (1, 4, 15)
    scores = {k: counted(features, labels, parts, k, "validation") for k in counts}
    best = max(counts, key=lambda k: (scores[k], k))
    accuracy, chosen = neighbour_probe(features, labels, parts, counts)
    assert chosen == best and len(set(scores.values())) > 1
    assert accuracy == pytest.approx(counted(features, labels, parts, best, "test"))


def test_lengths_of_features_do_not_matter(world):
    features, labels, parts = world
    longer = features * np.random.RandomState(1).uniform(0.1, 10, (len(features), 1))
    assert neighbour_probe(longer, labels, parts) == neighbour_probe(features, labels, parts)


def test_labels_of_the_test_part_decide_nothing_but_the_score(world):
    features, labels, parts = world
    wrong = labels.copy()
    wrong[parts["test"]] = (wrong[parts["test"]] + 1) % 3
    assert neighbour_probe(features, wrong, parts)[1] == neighbour_probe(features, labels, parts)[1]
    easy = np.eye(3)[labels]
    assert neighbour_probe(easy, labels, parts)[0] == 1.0
    assert neighbour_probe(easy, wrong, parts)[0] == 0.0


def test_what_cannot_be_asked_is_one_line(world):
    features, labels, parts = world
    with pytest.raises(MglibError, match="finite"):
        neighbour_probe(features * np.nan, labels, parts)
    with pytest.raises(MglibError, match="1000 neighbours are asked of"):
        neighbour_probe(features, labels, parts, (1, 1000))
