"""Cluster indices: scikit-learn's values, weights as copies, closed forms, and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import davies_bouldin_score, silhouette_samples, silhouette_score
from sklearn.neighbors import NearestNeighbors

from mglib.analysis.cluster_indices import (
    INDICES,
    davies_bouldin_index,
    group_weights,
    index_interval,
    neighbourhood_purity,
    silhouette,
)
from mglib.analysis.projections import davies_bouldin
from mglib.errors import MglibError


@pytest.fixture
def made():
    """Points, labels and groups of two rows."""
    random = np.random.RandomState(0)
    labels = np.arange(90) % 3
    return random.randn(3, 5)[labels] + random.randn(90, 5) + 20, labels, np.arange(90) // 2


def test_values_are_those_of_scikit_learn(made):
    points, labels, _ = made
    assert davies_bouldin_index(points, labels)[0] == pytest.approx(
        davies_bouldin_score(points, labels)
    )
    assert silhouette(points, labels)[0] == pytest.approx(silhouette_score(points, labels))
    near = NearestNeighbors(n_neighbors=7).fit(points).kneighbors(return_distance=False)
    share = (labels[near] == labels[:, None]).mean()
    assert neighbourhood_purity(points, labels, neighbours=7)[0] == pytest.approx(share)


def test_labels_of_one_row(made):
    points, labels, _ = made
    labels = labels.copy()
    labels[0] = 9
    assert davies_bouldin_index(points, labels)[0] == pytest.approx(davies_bouldin(points, labels))
    assert silhouette(points, labels)[0] == pytest.approx(silhouette_score(points, labels))
    only = np.array([0] * 89 + [1])
    assert np.isnan(davies_bouldin_index(points, only)[0])
    assert np.isnan(silhouette(points, np.zeros(90))[0])


def test_weights_of_the_davies_bouldin_index_are_copies(made):
    points, labels, groups = made
    weights = group_weights(groups, 5)
    found = davies_bouldin_index(points, labels, weights)
    for value, weight in zip(found, weights.astype(int), strict=True):
        copies = np.repeat(points, weight, axis=0), np.repeat(labels, weight)
        assert value == pytest.approx(davies_bouldin_score(*copies))


def slow_silhouette(points, labels, weight):
    """Row by row, own copies left out."""
    total = 0.0
    for row in range(len(points)):
        distances = np.linalg.norm(points - points[row], axis=1)
        rest = weight.copy()
        rest[row] = 0
        means = {
            name: (rest * distances)[labels == name].sum() / rest[labels == name].sum()
            for name in set(labels)
        }
        own = means.pop(labels[row])
        other = min(means.values())
        total += weight[row] * (other - own) / max(own, other)
    return total / weight.sum()


def slow_purity(points, labels, weight, neighbours):
    """Row by row, every copy of another row a neighbour of its own."""
    total = 0.0
    for row in range(len(points)):
        distances = np.linalg.norm(points - points[row], axis=1)
        order = [other for other in np.argsort(distances) if other != row]
        near = np.repeat(order, weight[order].astype(int))[:neighbours]
        total += weight[row] * (labels[near] == labels[row]).mean()
    return total / weight.sum()


def test_weights_count_for_others_and_own_copies_do_not(made):
    points, labels, groups = made
    weights = group_weights(groups, 4)
    found = silhouette(points, labels, weights), neighbourhood_purity(points, labels, weights, 6)
    for index, weight in enumerate(weights):
        assert found[0][index] == pytest.approx(slow_silhouette(points, labels, weight))
        assert found[1][index] == pytest.approx(slow_purity(points, labels, weight, 6))


def test_rows_without_weight_are_not_there(made):
    points, labels, _ = made
    weight = (np.arange(90) < 60).astype(float)[None]
    for index in INDICES.values():
        assert index(points, labels, weight)[0] == pytest.approx(index(points[:60], labels[:60])[0])


def test_closed_forms():
    """Two pairs at distance 2, their centres 10 apart."""
    points = np.array([[-1.0, 0], [1, 0], [-1, 10], [1, 10]])
    labels = np.array(["a", "a", "b", "b"])
    assert davies_bouldin_index(points, labels)[0] == pytest.approx(0.2)
    other = (10 + 104**0.5) / 2
    assert silhouette(points, labels)[0] == pytest.approx((other - 2) / other)
    np.testing.assert_allclose(silhouette_samples(points, labels), (other - 2) / other)
    assert neighbourhood_purity(points, labels, neighbours=1)[0] == 1
    assert neighbourhood_purity(points, labels, neighbours=3)[0] == pytest.approx(1 / 3)
    # One pair drawn alone has no other label; each row alone in its label has nothing of its own.
    assert np.isnan(silhouette(points, labels, np.array([[1.0, 1, 0, 0]]))[0])
    assert silhouette(points, labels, np.array([[3.0, 0, 2, 0]]))[0] == 0


def test_groups_are_drawn_whole(made):
    groups = made[2]
    weights = group_weights(groups, 50, seed=3)
    np.testing.assert_array_equal(weights[:, ::2], weights[:, 1::2])
    assert (weights.sum(axis=1) == 90).all()
    np.testing.assert_array_equal(weights, group_weights(groups, 50, seed=3))


@pytest.mark.parametrize("name", sorted(INDICES))
def test_intervals_hold_the_value_and_shrink_with_groups(made, name):
    points, labels, groups = made
    wide = index_interval(name, points, labels, np.arange(90) // 6, draws=200)
    fine = index_interval(name, points, labels, groups, draws=200)
    assert (wide.n, fine.n) == (15, 45)
    assert wide.low < fine.mean < wide.high
    assert fine.low < fine.mean < fine.high
    assert fine == index_interval(name, points, labels, groups, draws=200)
    once = index_interval(name, np.repeat(points, 4, 0) + 0, np.repeat(labels, 4), np.arange(360))
    own = index_interval(name, points, labels, np.arange(90))
    assert once.half < own.half


def test_labels_that_say_nothing():
    random = np.random.RandomState(1)
    points, labels = random.randn(300, 4), np.arange(300) % 3
    assert neighbourhood_purity(points, labels)[0] == pytest.approx(1 / 3, abs=0.04)
    assert abs(silhouette(points, labels)[0]) < 0.02
    assert davies_bouldin_index(points, labels)[0] > 8


def test_refusals(made):
    points, labels, groups = made
    with pytest.raises(MglibError, match="silhouette"):
        index_interval("silhouete", points, labels, groups)
    with pytest.raises(MglibError, match="level"):
        index_interval("purity", points, labels, groups, level=1)
    with pytest.raises(MglibError, match="two groups"):
        index_interval("purity", points, labels, np.zeros(90))
    with pytest.raises(MglibError, match="groups must"):
        index_interval("purity", points, labels, groups[:-1])
    with pytest.raises(MglibError, match="no value"):
        index_interval("davies_bouldin", points, np.zeros(90), groups)
    for index in INDICES.values():
        with pytest.raises(MglibError, match="finite"):
            index(points * np.nan, labels)
        with pytest.raises(MglibError, match="labels"):
            index(points, labels[:-1])
        with pytest.raises(MglibError, match="weights"):
            index(points, labels, -np.ones((1, 90)))
    with pytest.raises(MglibError, match="neighbours"):
        neighbourhood_purity(points, labels, neighbours=90)
