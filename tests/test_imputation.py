"""Imputation in closed form against sklearn, scipy and plain loops, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _missing import WIDTHS, cost, made_batch, made_model, made_trial, trained
from scipy.linalg import orthogonal_procrustes, subspace_angles
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors

from mglib.errors import MglibError
from mglib.missing.branches import uniform_subsets
from mglib.missing.imputing import READING
from mglib.missing.method import hide
from mglib.missing.methods import knn
from mglib.missing.subsets import subsets
from mglib.missing.subspaces import principal
from mglib.registry import missing_methods

pytestmark = pytest.mark.usefixtures("one_thread")
IMPUTING = ("ridge", "ridge@maps=pairwise", "knn", "mean_shift", "procrustes")
BOTH = pytest.mark.parametrize("classes", [3, 0])
EQUAL = (6, 6, 6)


def part(widths=WIDTHS, rows=60, rate=0.4, seed=0):
    """A training part of two trials in which modalities tell of each other."""
    random = np.random.RandomState(seed)
    common = random.randn(2, rows, 4)
    x = [
        common @ random.randn(4, w) + 0.3 * random.randn(2, rows, w) + random.randn(w)
        for w in widths
    ]
    seen = random.rand(2, rows, len(widths)) >= rate
    seen[..., 0] |= ~seen.any(-1)
    seen[1, -5:] = False  # padding
    seen = torch.from_numpy(seen)
    return hide([torch.tensor(own, dtype=torch.float32) for own in x], seen), seen


def fitted(name, widths=WIDTHS, rate=0.4, **numbers):
    model = made_model(name, widths=widths, **numbers)
    x, seen = part(widths, rate=rate)
    model.fit(x, seen, torch.zeros(2, x[0].shape[1]))
    return model, [own.double().numpy() for own in x], seen.numpy()


def queries(widths=WIDTHS, seed=1):
    return part(widths, rows=9, rate=0.5, seed=seed)


def imputed(model, x, seen, learning=False):
    with torch.no_grad():
        return [own.double().numpy() for own in model.imputed(x, seen, learning)]


@pytest.mark.parametrize("strength", [1e-6, 0.3, 20.0])
def test_joint_ridge_is_the_regression_on_what_is_seen(strength):
    model, x, seen = fitted("ridge", strength=strength)
    rows, there = queries()
    found = imputed(model, rows, there)
    for t in range(2):
        for r in range(9):
            source = [m for m in range(3) if there[t, r, m]]
            for m in set(range(3)) - set(source) if source else ():
                kept = seen[t][:, [*source, m]].all(1)
                a = np.concatenate([x[j][t, kept] for j in source], 1)
                own = Ridge(alpha=strength * kept.sum()).fit(a, x[m][t, kept])
                query = np.concatenate([rows[j][t, r].numpy() for j in source])
                np.testing.assert_allclose(
                    found[m][t, r], own.predict(query[None])[0], rtol=1e-3, atol=2e-4
                )
    if strength == 1e-6:
        a = np.concatenate([x[0][0], np.ones((60, 1))], 1)[seen[0][:, :2].all(1)]
        least = np.linalg.lstsq(a, x[1][0][seen[0][:, :2].all(1)], rcond=None)[0]
        own, *_ = np.where((there[0].numpy() == [True, False, False]).all(1))
        for r in own:
            wanted = rows[0][0, r].numpy() @ least[:-1] + least[-1]
            np.testing.assert_allclose(found[1][0, r], wanted, rtol=1e-3, atol=1e-3)


def test_pairwise_ridge_is_the_mean_of_regressions():
    model, x, seen = fitted("ridge@maps=pairwise")
    rows, there = queries()
    found = imputed(model, rows, there)
    for t in range(2):
        for r in range(9):
            for m in range(3):
                made = []
                for j in range(3):
                    if there[t, r, j] and j != m:
                        kept = seen[t][:, [j, m]].all(1)
                        own = Ridge(alpha=kept.sum()).fit(x[j][t, kept], x[m][t, kept])
                        made.append(own.predict(rows[j][t, r].numpy()[None])[0])
                if made:
                    wanted = np.mean(made, 0)
                    np.testing.assert_allclose(found[m][t, r], wanted, rtol=1e-3, atol=2e-4)


def test_ridge_of_few_principal_components_is_that_of_sklearn():
    model, x, _ = fitted("ridge@strength=0.5,rank=3", rate=0.0)
    rows, there = queries()
    only = there & torch.tensor([True, False, False])
    found = imputed(model, hide(rows, only), only)
    kept = slice(0, 60)
    before, after = (PCA(3).fit(x[m][0, kept]) for m in (0, 1))
    own = Ridge(alpha=30.0).fit(before.transform(x[0][0]), after.transform(x[1][0]))
    for r in range(9):
        if only[0, r, 0]:
            made = own.predict(before.transform(rows[0][0, r].numpy()[None].astype(float)))
            wanted = after.inverse_transform(made)[0]
            np.testing.assert_allclose(found[1][0, r], wanted, rtol=1e-3, atol=1e-3)


def test_the_principal_subspace_of_wide_features():
    random = np.random.RandomState(0)
    x = random.randn(300, 200) * np.geomspace(10, 1e-3, 200)
    x = x @ np.linalg.qr(random.randn(200, 200))[0]
    x = x - x.mean(0)
    found = principal(torch.tensor(x, dtype=torch.float32), 16).double().numpy()
    np.testing.assert_allclose(found.T @ found, np.eye(16), atol=1e-5)
    right = np.linalg.svd(x, full_matrices=False)[2][:16].T
    assert subspace_angles(found[:, :8], right[:, :8]).max() < 0.02
    kept = [np.square(x @ own).sum() for own in (found, right)]
    assert kept[0] > 0.999 * kept[1]
    assert torch.isfinite(principal(torch.zeros(3, 200), 16)).all()  # rows that are all the same


def test_neighbours_by_one_modality_are_those_of_sklearn():
    model, x, seen = fitted("knn", rate=0.0)
    rows, there = queries()
    only = there & torch.tensor([True, False, False])
    found = imputed(model, hide(rows, only), only)
    for t in range(2):
        items = x[0][t][seen[t, :, 0]]
        mean = items.mean(0)
        own = NearestNeighbors(n_neighbors=5, metric="cosine").fit(items - mean)
        for r in np.flatnonzero(only[t, :, 0]):
            near = own.kneighbors((rows[0][t, r].numpy() - mean)[None])[1][0]
            for m in (1, 2):
                wanted = x[m][t][near].mean(0)
                np.testing.assert_allclose(found[m][t, r], wanted, rtol=1e-4, atol=1e-4)


def test_neighbours_by_several_modalities_in_plain_loops():
    model, x, seen = fitted("knn@neighbours=3")
    rows, there = queries()
    found = imputed(model, rows, there)
    for t in range(2):
        means = [x[m][t][seen[t, :, m]].mean(0) for m in range(3)]

        def cosine(a, b, m, means=means):
            a, b = a - means[m], b - means[m]
            return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

        for r in range(9):
            for m in range(3):
                if there[t, r, m] or not there[t, r].any():
                    continue
                score = {}
                for i in range(60):
                    both = [j for j in range(3) if there[t, r, j] and seen[t, i, j]]
                    if both and seen[t, i, m]:
                        own = [cosine(rows[j][t, r].numpy(), x[j][t, i], j) for j in both]
                        score[i] = np.mean(own)
                near = sorted(score, key=lambda i: -score[i])[:3]
                wanted = x[m][t][near].mean(0)
                np.testing.assert_allclose(found[m][t, r], wanted, rtol=1e-4, atol=1e-4)


def test_in_training_a_row_does_not_find_itself():
    model, x, seen = fitted("knn@neighbours=1", rate=0.0)
    own = [torch.tensor(values, dtype=torch.float32) for values in x]
    only = torch.from_numpy(seen) & torch.tensor([True, False, False])
    apart = {
        learning: np.abs(imputed(model, hide(own, only), only, learning)[1] - x[1])[0].max(1)
        for learning in (False, True)
    }
    assert apart[False].max() < 1e-4 < apart[True].min()


def test_where_none_is_near_it_is_the_mean():
    model = made_model("knn")
    x, seen = part()
    seen[..., 1] = False
    seen[:, 0] = torch.tensor([False, True, False])
    model.fit(hide(x, seen), seen, torch.zeros(2, 60))
    rows, _ = queries()
    only = torch.tensor([True, False, False]).expand(2, 9, 3)
    assert (model.there.sum(1)[:, 1] == 1).all()
    found = imputed(model, hide(rows, only), only)
    np.testing.assert_allclose(found[1][0, 0], x[1][0, 0].numpy(), atol=1e-5)


def test_many_items_are_spread_over_the_training_part(monkeypatch):
    monkeypatch.setattr(knn, "POOL", 10)
    model, x, _ = fitted("knn@rank=2", rate=0.0)
    assert model.there.all() and model.items0.shape == (2, 10, 2)
    kept = model.subspaces.rows(
        [torch.tensor(v, dtype=torch.float32) for v in x], 0, torch.arange(60)
    )
    torch.testing.assert_close(model.items0[0], kept[0][::6])


def test_procrustes_is_the_rotation_of_scipy():
    model, x, seen = fitted("procrustes", widths=EQUAL)
    rows, there = queries(EQUAL)
    only = there & torch.tensor([True, False, False])
    found = imputed(model, hide(rows, only), only)
    for t in range(2):
        kept = seen[t][:, :2].all(1)
        a, b = x[0][t, kept], x[1][t, kept]
        turn, _ = orthogonal_procrustes(a - a.mean(0), b - b.mean(0))
        for r in np.flatnonzero(only[t, :, 0]):
            wanted = (rows[0][t, r].numpy() - a.mean(0)) @ turn + b.mean(0)
            np.testing.assert_allclose(found[1][t, r], wanted, rtol=1e-3, atol=1e-3)


def test_mean_shift_of_equal_widths_is_the_gap():
    model, x, seen = fitted("mean_shift", widths=EQUAL)
    rows, there = queries(EQUAL)
    found = imputed(model, rows, there)
    for t in range(2):
        means = [x[m][t][seen[t, :, m]].mean(0) for m in range(3)]
        for r in range(9):
            for m in range(3):
                others = [j for j in range(3) if j != m and there[t, r, j]]
                if others:
                    shifted = [rows[j][t, r].numpy() + means[m] - means[j] for j in others]
                    wanted = np.mean(shifted, 0)
                    np.testing.assert_allclose(found[m][t, r], wanted, rtol=1e-4, atol=1e-4)


def test_mean_shift_of_other_widths_joins_principal_coordinates():
    model, x, _ = fitted("mean_shift", rate=0.0)
    rows, there = queries()
    only = there & torch.tensor([True, False, False])
    found = imputed(model, hide(rows, only), only)
    before, after = PCA().fit(x[0][0]), PCA().fit(x[1][0])
    a, b = before.transform(x[0][0])[:, :4], after.transform(x[1][0])
    signs = np.sign((a * b).sum(0))
    for r in np.flatnonzero(only[0, :, 0]):
        own = before.transform(rows[0][0, r].numpy()[None].astype(float))[:, :4]
        wanted = after.inverse_transform(own * signs)[0]
        np.testing.assert_allclose(found[1][0, r], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [*IMPUTING, "smil"])
def test_what_is_there_is_read_as_it_is(name):
    model, x, _ = fitted(name)
    rows = made_batch(whole=True)
    before = model.answer(rows.x, rows.seen)
    for buffer in model.buffers():
        buffer.fill_(1)
    assert torch.equal(before, model.answer(rows.x, rows.seen))
    torch.testing.assert_close(before, model.reader(rows.x))


@pytest.mark.parametrize("word", READING)
@BOTH
def test_each_row_is_learned_as_it_is_and_with_less(word, classes):
    name = "ridge" if word == "sum" else f"ridge@fusion={word}"
    model, batch = made_model(name, classes), made_batch(classes)
    x, seen = part()
    model.fit(x, seen, torch.zeros(2, 60))
    less = uniform_subsets(batch.seen, batch.noise["seed"], proper=True)
    answers = [
        model.answer(hide(batch.x, left), left).detach().double().numpy()
        for left in (batch.seen, less)
    ]
    wanted = [
        sum(
            np.mean([cost(own[t, r], batch.y[t, r], classes) for r in range(9) if batch.used[t, r]])
            for own in answers
        )
        for t in range(2)
    ]
    np.testing.assert_allclose(model.loss(batch).detach().numpy(), wanted, rtol=1e-5)


def test_a_proper_subset_leaves_something_out():
    seen = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    left = uniform_subsets(seen.repeat(2000, 1)[None], torch.tensor([5]), proper=True)
    left = left[0].view(2000, 3, 3)
    codes = (left * torch.tensor([1, 2, 4])).sum(-1)
    for row, allowed in enumerate([{1, 2, 3, 4, 5, 6}, {1, 4}, {2}]):
        found, counts = codes[:, row].unique(return_counts=True)
        assert set(found.tolist()) == allowed
        assert (counts / 2000 - 1 / len(allowed)).abs().max() < 0.04


@pytest.mark.parametrize("name", [*IMPUTING, "smil", "trml", "mmin"])
def test_training_parts_of_other_lengths_change_nothing(name):
    trials = [made_trial(name, 0, share=0.5), made_trial(name, 1)]
    both, single = trained(trials), trained(trials[:1])
    assert np.array_equal(both.found[0].answers, single.found[0].answers)


@pytest.mark.parametrize("name", [*IMPUTING, "smil", "mmin@blocks=2"])
@BOTH
def test_what_is_not_seen_has_no_influence_in_any_way(name, classes):
    training = trained([made_trial(name)], classes)
    x, _, _ = training.part(training.trials, "test")
    for pattern in subsets(3):
        seen = torch.tensor(pattern).expand(*x[0].shape[:2], -1)
        noisy = [own + 7 * ~seen[..., m, None] for m, own in enumerate(hide(x, seen))]
        answers = (training.model.answer(own, seen) for own in (hide(x, seen), noisy))
        assert torch.equal(*answers)


def test_a_modality_never_seen_is_its_mean():
    x, seen = part()
    seen[..., 1] = False
    for name in IMPUTING:
        model = made_model(name)
        model.fit(hide(x, seen), seen, torch.zeros(2, 60))
        rows, there = queries()
        assert all(np.isfinite(own).all() for own in imputed(model, rows, there))
        assert (imputed(model, rows, there)[1] == 0).all()


def test_what_they_are_not_for():
    for name in (*IMPUTING, "smil"):
        with pytest.raises(MglibError, match="two or more"):
            missing_methods.get(name).check_task(1, 3)
    with pytest.raises(MglibError, match="ridge@maps=pairwise"):
        missing_methods.get("ridge").check_task(5, 3)
    missing_methods.get("ridge@maps=pairwise").check_task(5, 3)
