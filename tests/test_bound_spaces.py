"""Binding by ridge and by contrast: pairs, centres and noise, on worlds with a known answer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _spaces import GROUPS, IDS, INSTANCES, SPLIT, WORLD, disturbed, rotation, see, world

from mglib.analysis.retrieval import recall_at_k
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._contrast import batches, info_nce, train_head
from mglib.perceptors._draws import draw_pairs, exchanged
from mglib.perceptors._linear import fit_axes, fit_ridge, fit_scaling
from mglib.perceptors.bound import PENALTIES
from mglib.perceptors.contrastive import TEMPERATURE, symmetric_loss
from mglib.registry import perceptors

BINDERS = ("bound", "contrastive")


def test_axes_against_sklearn():
    from sklearn.decomposition import PCA

    random = np.random.RandomState(0)
    x = random.randn(50, 8) * np.linspace(3, 1, 8) + 5
    ours, theirs = fit_axes(x, 5), PCA(5, svd_solver="full").fit(x)
    np.testing.assert_allclose(np.abs(ours(x)), np.abs(theirs.transform(x)), atol=1e-10)
    np.testing.assert_allclose(ours.spread**2 * 50 / 49, theirs.explained_variance_, rtol=1e-10)
    assert (ours.axes[np.abs(ours.axes).argmax(axis=0), range(5)] > 0).all()
    assert fit_axes(np.repeat(x[:4], 10, axis=0), 8).axes.shape == (8, 3)  # rank of 4 points
    assert fit_axes(np.ones((5, 3)), 3).axes.shape == (3, 0)


@pytest.mark.parametrize("name", BINDERS)
def test_the_centre_keeps_its_angles_in_a_space_of_one_width(name):
    frozen = world()
    values = see(name, "text", frozen)
    centred = frozen["text"] - frozen["text"][SPLIT["binding"]].mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    assert values.shape == (INSTANCES, 256) and values.dtype == np.float32
    np.testing.assert_allclose(values @ values.T, unit @ unit.T, atol=1e-5)
    assert not values[:, 16:].any()
    wide = {**frozen, "text": np.random.RandomState(0).randn(INSTANCES, 300).astype(np.float32)}
    kept = see(name, "text", wide)
    assert np.count_nonzero(kept.any(axis=0)) == len(SPLIT["binding"]) - 1  # the rank


def test_another_centre_is_another_space():
    frozen = world()
    sense = perceptors.get("bound@centre=art")()
    assert sense.inputs(WORLD, "text") == [("frozen", "text"), ("frozen", "art")]
    assert {sense.space(WORLD, m) for m in WORLD.core} == {"bound@centre=art/art"}
    test = SPLIT["test"]
    values = {m: see("bound@centre=art", m, frozen)[test] for m in WORLD.core}
    assert np.linalg.norm(values["art"] - see("bound", "art", frozen)[test]) > 1
    assert recall_at_k(values["text"], values["art"], 1) > 0.95
    for modality in WORLD.core:
        same = see("bound@centre=text", modality, frozen)
        assert np.array_equal(same, see("bound", modality, frozen))


@pytest.mark.parametrize(("name", "least"), [("bound", 0.95), ("contrastive", 0.8)])
def test_a_known_rotation_is_found_from_pairs(name, least):
    frozen, test = world(noise=0.02), SPLIT["test"]
    values = {modality: see(name, modality, frozen)[test] for modality in WORLD.core}
    for query, gallery in (("art", "text"), ("speech", "text"), ("art", "speech")):
        assert recall_at_k(values[query], values[gallery], 1) > least  # chance .017
    wrong = see(f"{name}@noise=1", "art", frozen)[test]
    assert recall_at_k(wrong, values["text"], 1) < 0.2


@pytest.mark.parametrize("name", [*BINDERS, "bound@pairs=5", "contrastive@pairs=20,noise=0.5"])
def test_only_the_binding_part_is_learned_from(name):
    frozen = world(noise=0.1)
    other = disturbed(frozen, ("train", "validation", "test"))
    for modality in WORLD.core:
        before, after = see(name, modality, frozen), see(name, modality, other)
        assert np.array_equal(before[SPLIT["binding"]], after[SPLIT["binding"]])
        assert not np.array_equal(before[SPLIT["test"]], after[SPLIT["test"]])


@pytest.mark.parametrize("name", BINDERS)
def test_what_is_not_paired_is_not_known_as_pair(name):
    """Instances outside the pairs may be permuted in one modality: the map stays the same."""
    frozen = world(noise=0.1)
    pairs = draw_pairs(SPLIT["binding"], 20, 0, 0, name)
    others = np.setdiff1d(SPLIT["binding"], pairs)
    mixed = {m: values.copy() for m, values in frozen.items()}
    mixed["art"][others] = frozen["art"][np.roll(others, 3)]
    few, mixed_few = (see(f"{name}@pairs=20", "art", data) for data in (frozen, mixed))
    np.testing.assert_allclose(few[SPLIT["test"]], mixed_few[SPLIT["test"]], atol=1e-5)
    every, mixed_every = (see(name, "art", data) for data in (frozen, mixed))
    assert np.abs(every - mixed_every)[SPLIT["test"]].max() > 0.05


def test_pairs_are_nested_and_the_same_in_every_modality():
    binding = SPLIT["binding"]
    drawn = [set(draw_pairs(binding, n, 3, 1, "bound")) for n in (1, 5, 20, 100)]
    assert [len(pairs) for pairs in drawn] == [1, 5, 20, 100]
    assert all(few < more for few, more in zip(drawn, drawn[1:], strict=False))
    assert drawn[-1] < set(binding)
    assert set(draw_pairs(binding, 20, 3, 2, "bound")) != drawn[2]
    assert set(draw_pairs(binding, 20, 4, 1, "bound")) != drawn[2]
    assert np.array_equal(draw_pairs(binding, "all", 3, 1, "bound"), binding)
    with pytest.raises(MglibError, match="'bound' asks for 500 pairs; .* split 3 has 120"):
        draw_pairs(binding, 500, 3, 1, "bound")


def test_noise_exchanges_partners_and_leaves_none_its_own():
    pairs = np.arange(100, 140)
    wrong = {}
    for share in (0.05, 0.25, 0.5, 1.0):
        partners = exchanged(pairs, share, "art", 0, 0, "bound")
        assert sorted(partners) == list(pairs)
        wrong[share] = set(np.flatnonzero(partners != pairs))
        assert len(wrong[share]) == share * 40
    assert wrong[0.05] < wrong[0.25] < wrong[0.5] < wrong[1.0]
    assert np.array_equal(exchanged(pairs, 0.0, "art", 0, 0, "bound"), pairs)
    draws = [exchanged(pairs, 0.5, *by, "bound") for by in (("art", 0, 0), ("text", 0, 0))]
    assert not np.array_equal(*draws)
    with pytest.raises(MglibError, match=r"a share 0.1 of 5 pairs is 0; two pairs at least"):
        exchanged(pairs[:5], 0.1, "art", 0, 0, "bound")


def test_one_pair_tells_one_direction():
    frozen = world()
    values = see("bound@pairs=1", "art", frozen)
    (pair,) = draw_pairs(SPLIT["binding"], 1, 0, 0, "bound")
    along = values @ see("bound", "text", frozen)[pair]
    np.testing.assert_allclose(np.abs(along), 1, atol=1e-5)
    assert along[pair] > 0 and (along < 0).any()
    x, y = np.array([[3.0, 4.0]]), np.array([[1.0, -2.0]])
    ridge = fit_ridge(x, y, PENALTIES)
    assert ridge.penalty == PENALTIES[-1]
    np.testing.assert_allclose(ridge.weights, x.T @ y / (25 + PENALTIES[-1]), rtol=1e-12)


def test_more_pairs_bind_better():
    frozen, test = world(noise=0.3), SPLIT["test"]
    text = see("bound", "text", frozen)[test]
    found = [
        recall_at_k(see(name, "art", frozen)[test], text, 1)
        for name in ("bound@pairs=2", "bound@pairs=15", "bound")
    ]
    assert found[0] < found[1] < found[2]
    other = see("bound@pairs=15,seed=1", "art", frozen)
    assert not np.array_equal(other, see("bound@pairs=15", "art", frozen))


@pytest.mark.parametrize(
    "name", [*BINDERS, "self_supervised", "anchored", "anchored@method=moments", "relative@pairs=9"]
)
def test_few_distinct_vectors_and_constant_columns_are_no_trouble(name):
    """As in data that are paired by class: many instances share one vector."""
    frozen = {m: values[GROUPS % 7] for m, values in world().items()}
    frozen["art"][:, 3] = 1.0
    values = see(name, "art", frozen)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)


def test_the_loss_against_loops():
    random = np.random.RandomState(0)
    own, partners = random.randn(6, 4), random.randn(6, 4)

    def cosine(a, b):
        return a @ b / np.sqrt((a @ a) * (b @ b))

    def one_way(queries, keys, temperature):
        total = 0.0
        for i, query in enumerate(queries):
            alike = [np.exp(cosine(query, key) / temperature) for key in keys]
            total -= np.log(alike[i] / sum(alike)) / len(queries)
        return total

    a, b = torch.from_numpy(own), torch.from_numpy(partners)
    assert info_nce(a, b, 0.2).item() == pytest.approx(one_way(own, partners, 0.2), rel=1e-12)
    both = (one_way(own, partners, TEMPERATURE) + one_way(partners, own, TEMPERATURE)) / 2
    assert symmetric_loss(a, b).item() == pytest.approx(both, rel=1e-12)
    assert symmetric_loss(a, a).item() < both
    assert symmetric_loss(a[:1], b[:1]).item() == 0  # nothing to be told from


def test_the_head_is_trained_as_adamw_says():
    random = np.random.RandomState(0)
    x = random.randn(5, 3).astype(np.float32)
    start = np.random.RandomState(7).uniform(-1, 1, (4, 2)) / np.sqrt(3) * 0.5

    def loss(rows, head):
        return head(torch.from_numpy(x[rows])).square().sum()

    shares = []
    fixed = {"width": 2, "rows": 5, "batch": 5, "updates": 1, "lr": 0.1, "scale": 0.5}
    values = train_head(x, loss, random=np.random.RandomState(7), **fixed, advance=shares.append)
    inputs = np.hstack([x, np.ones((5, 1))])
    gradient = 2 * inputs.T @ (inputs @ start)
    moved = start * (1 - 0.1 * 0.01) - 0.1 * gradient / (np.abs(gradient) + 1e-8)
    np.testing.assert_allclose(values, inputs @ moved, atol=1e-5)
    assert shares == [1.0]


def test_batches_show_all_rows_before_any_again():
    draws = batches(np.random.RandomState(0), 9, 4)
    for _ in range(3):  # 4, 4 and a single one, which is left out
        first, second = next(draws), next(draws)
        assert len(first) == len(second) == 4 and len({*first, *second}) == 8


def test_contrast_is_the_same_to_the_bit_on_any_number_of_threads():
    frozen, before = world(noise=0.1), torch.get_num_threads()
    first = see("contrastive", "art", frozen)
    torch.manual_seed(5)
    torch.set_num_threads(2)
    try:
        assert np.array_equal(see("contrastive", "art", frozen), first)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert not np.array_equal(see("contrastive@seed=1", "art", frozen), first)


@pytest.mark.parametrize(
    "name", ["bound", "contrastive", "anchored", "self_supervised", "relative"]
)
def test_a_split_is_needed(name):
    sense = perceptors.get(name)()
    one = FeatureSet(world()["art"], None, {}, IDS, GROUPS, {})
    with pytest.raises(MglibError, match="split"):
        sense.perceive(WORLD, "art", [one, one], None, lambda share: None)


def test_instances_must_be_the_same():
    values = world()
    art = FeatureSet(values["art"], None, {}, IDS, GROUPS, {})
    text = FeatureSet(values["text"], None, {}, IDS[::-1], GROUPS, {})
    for name in (*BINDERS, "anchored"):
        with pytest.raises(MglibError, match="own instances"):
            perceptors.get(name)().perceive(WORLD, "art", [art, text], 0, lambda share: None)


def test_an_unknown_centre_names_the_nearest():
    data = SimpleNamespace(**{**vars(WORLD), "name": "emoji"})
    with pytest.raises(MglibError, match="no modality of emoji 'txt'; did you mean 'text'"):
        perceptors.get("bound@centre=txt")().inputs(data, "art")


def test_scaling_by_the_binding_part():
    x = np.random.RandomState(0).randn(20, 3) * [1, 5, 0] + 2
    scaled = fit_scaling(x[:10])(x)
    np.testing.assert_allclose(scaled[:10].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled[:10].std(axis=0), [1, 1, 0], atol=1e-12)
    assert rotation(3).shape == (3, 3) and np.allclose(scaled[:, 2], 0)
