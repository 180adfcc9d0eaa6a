"""Linear probes: scikit-learn's optimum, closed forms, many at once as one by one, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mglib.analysis import linear_probe
from mglib.analysis.linear_probe import fit_probes
from mglib.errors import MglibError

pytestmark = pytest.mark.usefixtures("one_thread")


def problem(n, d, classes, seed=0, spread=1.0):
    random = np.random.RandomState(seed)
    labels = np.arange(n) % classes
    turn = random.randn(d, d) * (1 + np.arange(d))[:, None] ** -0.7
    features = (spread * random.randn(classes, d)[labels] + random.randn(n, d)) @ turn + 3.0
    return features, labels


def objective(features, labels, inverse, weights, bias):
    """As in scikit-learn's manual, over all classes; for two, of its one vector."""
    scores = features @ weights + bias
    most = scores.max(axis=1, keepdims=True)
    logs = scores - most - np.log(np.exp(scores - most).sum(axis=1, keepdims=True))
    square = (weights**2).sum() * (2 if weights.shape[1] == 2 else 1)
    return -logs[np.arange(len(labels)), labels].sum() + square / (2 * inverse)


@pytest.mark.parametrize(("n", "d", "classes"), [(150, 12, 3), (60, 200, 5), (80, 100, 2)])
@pytest.mark.parametrize("inverse", [1e-4, 1e-2, 1.0, 100.0])
def test_the_optimum_is_scikit_learns(n, d, classes, inverse):
    features, labels = problem(n, d, classes)
    others, _ = problem(200, d, classes, seed=1)
    found = fit_probes(
        torch.from_numpy(features),
        torch.from_numpy(labels),
        torch.tensor([1 / inverse], dtype=torch.float64),
    )
    weights, bias = found.weights[0].numpy(), found.bias[0].numpy()
    model = LogisticRegression(C=inverse, tol=1e-9, max_iter=50000).fit(features, labels)
    other, shift = model.coef_.T, model.intercept_
    if classes == 2:
        other, shift = np.hstack([-other, other]) / 2, np.array([-shift[0], shift[0]]) / 2
    ours = objective(features, labels, inverse, weights, bias)
    assert ours == pytest.approx(objective(features, labels, inverse, other, shift), rel=1e-6)
    assert ours == pytest.approx(found.objectives.item(), rel=1e-9)
    assert bias.sum() == pytest.approx(0, abs=1e-9)
    margins = np.sort(others @ other + shift, axis=1)
    clear = margins[:, -1] - margins[:, -2] > 1e-3 * np.abs(margins).max()
    assert clear.mean() > 0.9
    predicted = (others @ weights + bias).argmax(axis=1)
    np.testing.assert_array_equal(predicted[clear], model.predict(others)[clear])


def test_the_slope_vanishes_at_the_optimum():
    features, labels = (torch.from_numpy(x) for x in problem(90, 20, 4, spread=0.2))
    found = fit_probes(features, labels, torch.tensor([0.5]), tolerance=1e-14)
    weights, bias = found.weights[0].requires_grad_(), found.bias[0].requires_grad_()
    losses = torch.nn.functional.cross_entropy(features @ weights + bias, labels, reduction="sum")
    (losses + 0.25 * weights.square().sum()).backward()
    assert weights.grad.abs().max() < 1e-3
    assert bias.grad.abs().max() < 1e-3


def test_features_that_say_nothing_leave_the_shares_of_the_classes():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 1)
    found = fit_probes(torch.ones(10, 4), labels, torch.tensor([1.0]))
    torch.testing.assert_close(
        found.bias[0].softmax(0), torch.tensor([0.6, 0.3, 0.1]).double(), rtol=1e-6, atol=0
    )
    assert found.weights.abs().max() == 0


def test_an_endless_penalty_leaves_the_shares_too():
    features, labels = (torch.from_numpy(x) for x in problem(40, 5, 4))
    found = fit_probes(features, labels, torch.tensor([1e12]))
    assert found.weights.abs().max() < 1e-8
    assert found.objectives.item() == pytest.approx(40 * np.log(4))


def test_all_at_once_are_one_by_one():
    """Two sets of features, own labels, subsets and strengths: each as if it were alone."""
    sets = torch.stack([torch.from_numpy(problem(70, 9, 3, seed)[0]) for seed in (0, 1)])
    random = np.random.RandomState(0)
    labels = torch.from_numpy(random.randint(3, size=(6, 70)))
    rows = torch.from_numpy(random.rand(6, 70) < 0.7)
    strengths = torch.tensor([0.1, 1.0, 10.0, 100.0, 0.5, 3.0])
    which = torch.tensor([0, 1, 0, 1, 1, 0])
    found = fit_probes(sets, labels, strengths, sets=which, rows=rows, tolerance=1e-12)
    for index in range(6):
        one = fit_probes(
            sets[which[index]][rows[index]],
            labels[index][rows[index]],
            strengths[index : index + 1],
            tolerance=1e-12,
        )
        torch.testing.assert_close(one.weights[0], found.weights[index], rtol=1e-4, atol=1e-5)
        assert one.objectives.item() == pytest.approx(found.objectives[index].item(), rel=1e-9)
    own = fit_probes(sets, labels[:2], strengths[:2], rows=rows[:2], tolerance=1e-12)
    torch.testing.assert_close(own.weights, found.weights[:2], rtol=1e-4, atol=1e-5)


def test_a_class_that_a_problem_lacks_is_never_predicted():
    features, labels = (torch.from_numpy(x) for x in problem(90, 8, 4))
    rows = torch.stack([labels != 2, labels >= 0, labels < 2])
    found = fit_probes(features, labels, torch.ones(3), rows=rows)
    assert (found.bias == -torch.inf).tolist() == [
        [False, False, True, False],
        [False] * 4,
        [False, False, True, True],
    ]
    assert found.weights[0, :, 2].abs().max() == 0
    for index in (0, 2):
        own = rows[index].numpy()
        model = LogisticRegression(tol=1e-8, max_iter=10000).fit(features[own], labels[own])
        scores = features @ found.weights[index] + found.bias[index]
        np.testing.assert_allclose(
            scores.softmax(1)[:, torch.from_numpy(model.classes_)],
            model.predict_proba(features),
            atol=1e-3,
        )


def test_a_problem_at_its_optimum_waits_for_the_others():
    """Its steps come to nothing long before the others stop."""
    features, labels = (torch.from_numpy(x) for x in problem(60, 10, 3))
    strengths = torch.tensor([1e14] + [1e-3] * 9, dtype=torch.float64)
    found = fit_probes(features, labels, strengths, tolerance=1e-10)
    assert found.objectives[0].item() == pytest.approx(60 * np.log(3))
    assert found.objectives[1:].max() < 3
    assert torch.isfinite(found.weights).all()


def test_scale_and_shift_of_features_are_not_seen_but_by_the_penalty():
    features, labels = (torch.from_numpy(x) for x in problem(60, 10, 3))
    one = fit_probes(features, labels, torch.tensor([2.0]), tolerance=1e-12)
    two = fit_probes(1e4 * features - 5e4, labels, torch.tensor([2e8]), tolerance=1e-12)
    torch.testing.assert_close(two.weights * 1e4, one.weights, rtol=1e-4, atol=1e-6)
    assert one.objectives.item() == pytest.approx(two.objectives.item(), rel=1e-9)


def test_what_cannot_be_fitted(monkeypatch):
    features, labels = (torch.from_numpy(x) for x in problem(30, 4, 3))
    one = torch.ones(1)
    for wrong in (torch.nan, torch.inf):
        broken = features.clone()
        broken[3, 1] = wrong
        with pytest.raises(MglibError, match="finite features"):
            fit_probes(broken, labels, one)
    with pytest.raises(MglibError, match="two classes"):
        fit_probes(features, torch.zeros_like(labels), one)
    with pytest.raises(MglibError, match="two classes"):
        fit_probes(features, labels, torch.ones(2), rows=torch.stack([labels == 1, labels < 2]))
    with pytest.raises(MglibError, match="positive"):
        fit_probes(features, labels, torch.zeros(1))
    with pytest.raises(MglibError, match="whole"):
        fit_probes(features, labels.double(), one)
    for answers, more in (
        (labels[:-1], {}),
        (labels, {"rows": torch.ones(2, 30, dtype=torch.bool)}),
        (labels, {"sets": torch.ones(1, dtype=torch.long)}),
    ):
        with pytest.raises(MglibError, match="do not make 1 problems"):
            fit_probes(features, answers, one, **more)
    for shape in ((3,), (0, 4), (1, 2, 3, 4)):
        with pytest.raises(MglibError, match="features are"):
            fit_probes(torch.ones(shape), labels, one)
    monkeypatch.setattr(linear_probe, "MOST", 2)
    with pytest.raises(MglibError, match="did not converge"):
        fit_probes(features, labels, 1e-3 * one)
