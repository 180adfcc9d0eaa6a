"""Few pairs or none: maps against closed forms and independent ones; relative representations."""

from __future__ import annotations

import numpy as np
import pytest
from _spaces import INSTANCES, SPLIT, WORLD, disturbed, rotation, see, world

from mglib.analysis.retrieval import recall_at_k
from mglib.features import FeatureSet
from mglib.perceptors import anchored
from mglib.perceptors._draws import draw_pairs
from mglib.perceptors._linear import unit_rows
from mglib.perceptors._transport import match_clouds, sinkhorn
from mglib.perceptors._transport import rotation as fitted_rotation
from mglib.perceptors.anchored import by_moments, by_procrustes, by_ridge, by_transport
from mglib.registry import perceptors

METHODS = ("@method=procrustes,pairs=20", "@method=ridge,pairs=20", "@method=moments", "")
SEEN = SPLIT["binding"]


def clusters(count: int = 120, width: int = 6) -> np.ndarray:
    """A clearly structured cloud: clusters of unequal sizes at unequal distances."""
    random = np.random.RandomState(0)
    centres = random.randn(5, width) * np.linspace(3, 1, width)
    sizes = np.array([0.4, 0.25, 0.18, 0.1, 0.07])
    member = np.repeat(np.arange(5), np.rint(sizes * count).astype(int))
    return centres[member] + 0.25 * random.randn(len(member), width)


def test_rotation_against_scipy():
    from scipy.linalg import orthogonal_procrustes

    random = np.random.RandomState(0)
    x, y = random.randn(30, 5), random.randn(30, 5)
    turn, scale = fitted_rotation(x.T @ y, x)
    expected, total = orthogonal_procrustes(x, y)
    np.testing.assert_allclose(turn, expected, atol=1e-12)
    assert scale == pytest.approx(total / np.square(x).sum(), rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_procrustes_recovers_an_exact_rotation(scale):
    x = np.random.RandomState(0).randn(INSTANCES, 16) + 1
    y = scale * x @ rotation(16) + np.linspace(-1, 1, 16)
    pairs = draw_pairs(SEEN, "all", 0, 0, "anchored")
    np.testing.assert_allclose(by_procrustes(x, y, pairs, SEEN), y, atol=1e-6)


def test_the_perceptor_recovers_an_exact_rotation_from_all_pairs():
    random = np.random.RandomState(0)
    own = unit_rows(random.randn(INSTANCES, 16) + 0.3)
    anchor = unit_rows(own @ rotation(16))
    inputs = [FeatureSet(v, None, {}, ["x"], np.arange(INSTANCES), {}) for v in (own, anchor)]
    for name in ("anchored@method=procrustes,pairs=all", "anchored@pairs=all"):
        sense = perceptors.get(name)()
        values, _ = sense.perceive(WORLD, "art", inputs, 0, lambda share: None)
        np.testing.assert_allclose(values, anchor, atol=1e-6)


def test_few_pairs_turn_their_own_subspace():
    random = np.random.RandomState(0)
    x, y = random.randn(INSTANCES, 16), random.randn(INSTANCES, 16)
    pairs = draw_pairs(SEEN, 4, 0, 0, "anchored")
    mapped = by_procrustes(x, y, pairs, SEEN) - y[SEEN].mean(axis=0)
    targets = y[pairs] - y[SEEN].mean(axis=0)
    assert np.linalg.matrix_rank(mapped, 1e-8) == 4
    assert np.linalg.matrix_rank(np.vstack([mapped, targets]), 1e-8) == 4
    across = random.randn(16)
    own = x[pairs] - x[SEEN].mean(axis=0)
    across -= own.T @ np.linalg.lstsq(own.T, across, rcond=None)[0]
    moved = x.copy()
    moved[SPLIT["test"]] += across  # in no direction that the pairs tell of
    again = by_procrustes(moved, y, pairs, SEEN) - y[SEEN].mean(axis=0)
    np.testing.assert_allclose(again, mapped, atol=1e-10)


def test_ridge_against_sklearn():
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    random = np.random.RandomState(0)
    x, y = random.randn(INSTANCES, 6), random.randn(INSTANCES, 4)
    pairs = draw_pairs(SEEN, 10, 0, 0, "anchored")
    scaled, goal = StandardScaler().fit(x[SEEN]).transform(x), y[pairs] - y[SEEN].mean(axis=0)
    errors = {}
    for penalty in anchored.PENALTIES:
        model = Ridge(penalty, fit_intercept=False)
        left_out = [
            model.fit(np.delete(scaled[pairs], i, 0), np.delete(goal, i, 0)).predict(scaled[[p]])[0]
            for i, p in enumerate(pairs)
        ]
        errors[penalty] = np.square(np.array(left_out) - goal).mean()
    best = Ridge(min(errors, key=errors.get), fit_intercept=False).fit(scaled[pairs], goal)
    np.testing.assert_allclose(by_ridge(x, y, pairs, SEEN), best.predict(scaled), atol=1e-9)


def test_moments_take_on_those_of_the_anchor():
    random = np.random.RandomState(0)
    x = random.randn(INSTANCES, 8) @ random.randn(8, 8) + 3
    y = random.randn(INSTANCES, 8) @ random.randn(8, 8) - 1
    mapped = by_moments(x, y, SEEN)
    np.testing.assert_allclose(mapped[SEEN].mean(axis=0), y[SEEN].mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(np.cov(mapped[SEEN].T), np.cov(y[SEEN].T), atol=1e-9)


def test_moments_find_a_rotation_of_skewed_axes_without_pairs():
    random = np.random.RandomState(0)
    x = random.exponential(size=(INSTANCES, 5)) * [5, 4, 3, 2, 1] @ rotation(5, 1)
    y = x @ rotation(5, 2) + 1
    np.testing.assert_allclose(by_moments(x, y, SEEN), y, atol=1e-8)


def test_the_plan_has_even_margins_and_the_form_of_the_optimum():
    cost = np.random.RandomState(0).rand(12, 9)
    softness = 0.2
    plan = sinkhorn(cost, softness)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 9, rtol=1e-10)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 12, rtol=1e-4)
    # log plan + cost / softness is a sum of a row's and a column's value: the KKT conditions
    dual = np.log(plan) + cost / cost.mean() / softness
    dual = dual - dual.mean(axis=0) - dual.mean(axis=1, keepdims=True) + dual.mean()
    np.testing.assert_allclose(dual, 0, atol=1e-8)


def test_a_hard_plan_is_the_best_assignment():
    from scipy.optimize import linear_sum_assignment

    cost = np.random.RandomState(1).rand(8, 8)
    hard = sinkhorn(cost, 0.005)
    assert np.array_equal(hard.argmax(axis=1), linear_sum_assignment(cost)[1])
    spread = np.full((4, 4), 1e9)
    np.fill_diagonal(spread, 0)
    assert np.isfinite(sinkhorn(spread, 0.01)).all() and np.isfinite(sinkhorn(0 * spread, 1)).all()


def test_transport_finds_a_rotation_of_a_structured_cloud_without_pairs():
    x = clusters()
    turn = rotation(6, 4)
    order = np.random.RandomState(5).permutation(len(x))
    y = np.empty_like(x)
    y[order] = (x @ turn)[np.arange(len(x))]  # nobody knows which row is which
    none = np.zeros(len(x), dtype=bool)
    centred, goal = x - x.mean(axis=0), y - y.mean(axis=0)
    plan = match_clouds(centred, goal, none)
    found, _ = fitted_rotation(centred.T @ plan @ goal, centred)
    np.testing.assert_allclose(found, turn, atol=0.05)
    nearest = np.square((centred @ found)[:, None] - goal[None]).sum(axis=-1).argmin(axis=1)
    assert (nearest == order).mean() > 0.95  # chance .008
    # the order of rows that are not known is not looked at
    again = match_clouds(centred, goal[order], none)
    np.testing.assert_allclose(again, plan[:, order], atol=1e-9)


def test_known_pairs_are_kept_and_steer_the_others():
    x = np.random.RandomState(0).randn(60, 4)  # round: nothing tells which way it lies
    y = x @ rotation(4, 3)
    known = np.arange(60) < 8
    plan = match_clouds(x, y, known)
    np.testing.assert_allclose(plan[known], np.eye(60)[known] / 60, atol=1e-15)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 60, rtol=1e-8)
    assert np.diagonal(plan)[~known].sum() > 0.5 * (52 / 60)


def test_with_all_pairs_transport_is_procrustes():
    frozen = world(noise=0.5)
    one, other = (
        see(f"anchored@{method}pairs=all", "art", frozen) for method in ("", "method=procrustes,")
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_cloud_is_cut_but_keeps_its_pairs(monkeypatch):
    monkeypatch.setattr(anchored, "CLOUD", 30)
    sense = perceptors.get("anchored@pairs=20")()
    pairs = draw_pairs(SEEN, 20, 0, 0, "anchored")
    cloud = sense._cloud(SEEN, pairs, 0)
    assert len(cloud) == 30 and set(pairs) < set(cloud) <= set(SEEN)
    assert np.array_equal(sense._cloud(SEEN, SEEN, 0), SEEN)
    x, y = (np.random.RandomState(n).randn(INSTANCES, 4) for n in range(2))
    assert by_transport(x, y, pairs, cloud).shape == (INSTANCES, 4)


@pytest.mark.parametrize("settings", METHODS)
def test_it_lies_in_the_bound_space_and_learns_from_the_binding_part_only(settings):
    name = f"anchored{settings}"
    sense = perceptors.get(name)()
    assert {sense.space(WORLD, m) for m in WORLD.core} == {"bound/text"}
    frozen = world(noise=0.1)
    other = disturbed(frozen, ("validation", "test"))
    for modality in ("art", "text"):
        before, after = see(name, modality, frozen), see(name, modality, other)
        assert before.shape == (INSTANCES, 256) and before.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(before, axis=1), 1, atol=1e-5)
        assert np.array_equal(before[SEEN], after[SEEN])
    assert np.array_equal(see(name, "text", frozen), before)


@pytest.mark.parametrize("method", ["method=procrustes,", "method=ridge,"])
def test_pairs_are_what_brings_an_unseen_modality_home(method):
    frozen, test = world(noise=0.05), SPLIT["test"]
    text = see("bound", "text", frozen)[test]
    found = [
        recall_at_k(see(f"anchored@{method}pairs={n}", "art", frozen)[test], text, 3)
        for n in (1, 10, "all")
    ]
    assert found[0] < found[1] <= found[2] and found[2] > 0.8  # chance .05


def test_transport_needs_no_pairs_where_one_space_is_the_other_turned():
    frozen, test = world(noise=0.05), SPLIT["test"]
    text = see("bound", "text", frozen)[test]
    assert recall_at_k(see("anchored", "art", frozen)[test], text, 3) > 0.8  # chance .05
    frozen["art"] = frozen["art"][np.random.RandomState(0).permutation(INSTANCES)]
    assert recall_at_k(see("anchored", "art", frozen)[test], text, 3) < 0.2


def test_relative_vectors_are_cosines_to_the_same_instances():
    from sklearn.metrics.pairwise import cosine_similarity

    frozen = world()
    anchors = draw_pairs(SEEN, 20, 0, 0, "relative")
    for modality in WORLD.core:
        own = see("self_supervised", modality, frozen)
        expected = cosine_similarity(own, own[anchors])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        values = see("relative@pairs=20", modality, frozen)
        assert values.shape == (INSTANCES, 256) and values.dtype == np.float32
        np.testing.assert_allclose(values[:, :20], expected, atol=1e-5)
        assert not values[:, 20:].any(), "as wide as the other spaces"
    sense = perceptors.get("relative@pairs=20")()
    assert {sense.space(WORLD, m) for m in WORLD.core} == {"relative@pairs=20/instances"}
    bound = see("relative@pairs=20,source=bound", "text", frozen)
    own = see("bound", "text", frozen)
    expected = cosine_similarity(own, own[anchors])
    cosines = (bound[:, :20] * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-5)


def test_relative_vectors_do_not_know_a_rotation():
    sense = perceptors.get("relative@pairs=20")()
    own = unit_rows(np.random.RandomState(0).randn(INSTANCES, 8))
    values = [
        sense.perceive(
            WORLD,
            "art",
            [FeatureSet(x.astype(np.float32), None, {}, [], np.arange(INSTANCES), {})],
            0,
            lambda share: None,
        )[0]
        for x in (own, own @ rotation(8))
    ]
    np.testing.assert_allclose(*values, atol=1e-5)


def test_relative_vectors_hang_on_binding_and_own_features_only():
    frozen, test = world(), SPLIT["test"]
    before = see("relative@pairs=20", "art", frozen)
    after = see("relative@pairs=20", "art", disturbed(frozen, ("validation", "test")))
    assert np.array_equal(
        np.delete(before, [*test, *SPLIT["validation"]], 0),
        np.delete(after, [*test, *SPLIT["validation"]], 0),
    )
    values = [see("relative@pairs=40", m, frozen)[test] for m in ("art", "text")]
    assert recall_at_k(*values, 3) > 0.2  # chance .05: no map was fitted
