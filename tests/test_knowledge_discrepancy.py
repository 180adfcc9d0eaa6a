"""The modality-knowledge discrepancy: brute force, limits, closed forms and intervals."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from mglib.analysis.knowledge_discrepancy import (
    DIVERGENCES,
    cost_matrix,
    discrepancy,
    greedy,
    labels_of_fields,
)
from mglib.errors import MglibError


@pytest.fixture
def made():
    """A classifier of 5 classes that half knows 3 target classes, and those."""
    random = np.random.RandomState(0)
    labels = np.arange(60) % 3
    scores = random.randn(60, 5) + 1.5 * np.eye(5)[np.array([4, 0, 2])[labels]]
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), labels


def mean_divergence(q, labels, names, divergence):
    """Of one map: from the definition, sample by sample or class by class."""
    of = np.array([names[label] for label in labels])
    rows = np.arange(len(labels))
    if divergence == "cross_entropy":
        return -np.log(q[rows, of]).mean()
    if divergence == "error":
        return (1 - q[rows, of]).mean()
    if divergence == "hard":
        return (q.argmax(axis=1) != of).mean()
    return sum(
        (labels == j).mean()
        * jensenshannon(q[labels == j].mean(axis=0), np.eye(q.shape[1])[names[j]], 2) ** 2
        for j in set(labels)
    )


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_the_minimum_over_all_maps(made, divergence):
    q, labels = made
    found = discrepancy(q, labels, divergence, permutations=5, draws=20)
    maps = list(permutations(range(5), 3))
    values = [mean_divergence(q, labels, names, divergence) for names in maps]
    assert found.value == pytest.approx(min(values))
    assert tuple(found.assignment) == maps[int(np.argmin(values))] == (4, 0, 2)
    assert found.classes.tolist() == [0, 1, 2]
    assert found.value < found.chance
    assert found.relative == pytest.approx(found.value / found.chance)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_chance_is_the_mean_over_permuted_labels(made, divergence):
    q, labels = made
    found = discrepancy(q, labels, divergence, permutations=4, draws=2, seed=7)
    random = np.random.default_rng(7)
    values = []
    for _ in range(4):
        shuffled = random.permutation(labels)
        values.append(
            min(
                mean_divergence(q, shuffled, names, divergence)
                for names in permutations(range(5), 3)
            )
        )
    assert found.chance == pytest.approx(np.mean(values))


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_classifier_that_knows_the_target(divergence):
    labels = np.arange(40) % 4
    q = np.eye(6)[np.array([5, 3, 0, 1])[labels]]
    found = discrepancy(q, labels, divergence, permutations=10, draws=20)
    assert found.value == found.relative == 0
    assert found.interval.low == found.interval.high == 0
    assert found.assignment.tolist() == [5, 3, 0, 1]


@pytest.mark.parametrize(
    ("divergence", "value"),
    [
        ("cross_entropy", np.log(8)),
        ("error", 7 / 8),
        ("hard", 2 / 3),
        ("jensen_shannon", jensenshannon(np.full(8, 1 / 8), np.eye(8)[0], 2) ** 2),
    ],
)
def test_a_classifier_that_knows_nothing(divergence, value):
    """All are alike, so labels say nothing and chance is the value; ties go to the first class."""
    labels = np.arange(30) % 3
    found = discrepancy(np.full((30, 8), 1 / 8), labels, divergence, permutations=5, draws=5)
    assert found.value == pytest.approx(value)
    assert found.chance == pytest.approx(value)
    assert found.relative == pytest.approx(1)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_names_and_order_do_not_matter(made, divergence):
    q, labels = made
    value = cost_value(q, labels, divergence)
    names = np.array(["c", "a", "b"])[labels]
    assert cost_value(q, names, divergence) == pytest.approx(value)
    assert cost_value(q[:, [3, 1, 4, 0, 2]], labels, divergence) == pytest.approx(value)
    order = np.random.RandomState(1).permutation(60)
    assert cost_value(q[order], labels[order], divergence) == pytest.approx(value)


def cost_value(q, labels, divergence):
    return discrepancy(q, labels, divergence, permutations=1, draws=2).value


def test_greedy_is_an_upper_bound():
    random = np.random.RandomState(2)
    gaps = []
    for _ in range(40):
        q = random.dirichlet(np.full(6, 0.5), size=50)
        labels = random.randint(4, size=50)
        gaps.append(greedy(cost_matrix(q, labels, "error")) - cost_value(q, labels, "error"))
    assert min(gaps) > -1e-12
    assert max(gaps) > 1e-4
    assert greedy(np.array([[0.0, 1.0], [1.0, 5.0]])) == 5


def test_labels_that_say_nothing_are_at_chance():
    random = np.random.RandomState(3)
    q = random.dirichlet(np.ones(5), size=400)
    found = discrepancy(q, random.randint(3, size=400), permutations=50, draws=50)
    assert found.relative == pytest.approx(1, abs=0.03)


def test_the_interval_draws_whole_groups(made):
    q, labels = made
    fine = discrepancy(q, labels, permutations=1, draws=300)
    assert fine.interval.n == 60
    assert fine.interval.low < fine.value < fine.interval.high
    tripled = discrepancy(
        np.repeat(q, 3, 0), np.repeat(labels, 3), groups=np.repeat(np.arange(60), 3), draws=300
    )
    assert tripled.interval.n == 60
    assert tripled.interval.low == pytest.approx(fine.interval.low)
    assert tripled.interval.high == pytest.approx(fine.interval.high)


def test_fields_become_clusters():
    random = np.random.RandomState(0)
    kinds = np.arange(60) % 4
    fields = random.randn(4, 5, 6)[kinds] + 0.01 * random.randn(60, 5, 6)
    labels = labels_of_fields(fields, 4, seed=1)
    assert len({(a, b) for a, b in zip(kinds, labels, strict=True)}) == 4
    np.testing.assert_array_equal(labels, labels_of_fields(fields, 4, seed=1))
    with pytest.raises(MglibError, match="different"):
        labels_of_fields(np.ones((20, 3)), 2)
    with pytest.raises(MglibError, match="finite"):
        labels_of_fields(fields * np.nan, 2)


def test_refusals(made):
    q, labels = made
    with pytest.raises(MglibError, match="6 target classes do not fit into 5"):
        discrepancy(q, np.arange(60) % 6)
    with pytest.raises(MglibError, match="cross_entropy"):
        discrepancy(q, labels, "cross_entropi")
    with pytest.raises(MglibError, match="sum to 1"):
        discrepancy(2 * q, labels)
    with pytest.raises(MglibError, match="not below 0"):
        discrepancy(q - 0.5, labels)
    with pytest.raises(MglibError, match="labels"):
        discrepancy(q, labels[:-1])
    with pytest.raises(MglibError, match="two groups"):
        discrepancy(q, labels, groups=np.zeros(60))
    for wrong in ({"level": 1.0}, {"permutations": 0}, {"groups": labels[:-1]}):
        with pytest.raises(MglibError, match="permutations"):
            discrepancy(q, labels, **wrong)
