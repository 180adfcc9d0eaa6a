"""Estimates of information against exact ones; the bound and the gradient of MINE."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch

from mglib.errors import MglibError
from mglib.missing.ceilings import joint, known_laws
from mglib.missing.ceilings.estimates import (
    WORDS,
    _mine_loss,
    complementarity,
    donsker_varadhan,
    information,
)
from mglib.missing.results.estimated import PARTS, estimate_rows, estimated_metric

pytestmark = pytest.mark.usefixtures("one_thread")
LAW = known_laws.two_digits(1.0).sum(1)  # the first digit and the label, [10, 10]


def drawn(law, samples, seed=0):
    cells = np.random.RandomState(seed).choice(law.size, samples, p=law.ravel())
    x, y = np.unravel_index(cells, law.shape)
    return np.eye(10, dtype=np.float32)[x], y


def test_the_bound_is_exact_at_the_log_ratio_and_below_it_elsewhere():
    margins = LAW.sum(1, keepdims=True) * LAW.sum(0, keepdims=True)
    exact = joint.information(known_laws.two_digits(1.0), (True, False))
    random = np.random.RandomState(0)
    x, y = np.unravel_index(random.choice(100, 400_000, p=LAW.ravel()), LAW.shape)
    other = y[random.permutation(len(y))]
    ratio = np.log(np.maximum(LAW, 1e-300) / margins)
    found = donsker_varadhan(torch.from_numpy(ratio[x, y]), torch.from_numpy(ratio[x, other]))
    assert float(found) == pytest.approx(exact, abs=0.01)
    for _ in range(5):
        score = ratio.clip(-5) * random.rand() + random.randn(*ratio.shape)
        bound = donsker_varadhan(torch.from_numpy(score[x, y]), torch.from_numpy(score[x, other]))
        assert float(bound) < exact


def test_the_loss_has_the_gradient_of_the_bound_with_the_moving_average_below():
    scores = torch.randn(6, 10, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 3, 3, 9, 1, 0])
    average = torch.tensor(2.0, dtype=torch.float64)
    _mine_loss(scores, y, average).backward()
    told = scores.detach().numpy()
    mean = np.exp(told[:, y.numpy()]).mean()
    moved = 0.99 * 2 + 0.01 * mean
    wanted = np.zeros((6, 10))
    for row in range(6):
        wanted[row, y[row]] -= 1 / 6
        for label in y.tolist():
            wanted[row, label] += np.exp(told[row, label]) / 36 / moved
    np.testing.assert_allclose(scores.grad.numpy(), wanted, rtol=1e-10)
    assert float(average) == pytest.approx(moved)


@pytest.mark.parametrize("word", WORDS)
def test_estimates_are_near_the_exact_value_with_many_samples(word):
    x, y = drawn(LAW, 6000)
    exact = joint.information(known_laws.two_digits(1.0), (True, False))
    assert information(x, y, 10, word, 0, 450) == pytest.approx(exact, abs=0.12)
    shuffled = np.random.RandomState(1).permutation(y)
    assert abs(information(x, shuffled, 10, word, 0, 450)) < 0.08


def test_complementarity_by_hand():
    whole = known_laws.two_digits(2.0)
    exact = [joint.information(whole, seen) for seen in PARTS.values()]
    assert complementarity(*exact) == pytest.approx(1.337, abs=2e-3)
    assert complementarity(math.log(10), math.log(10), math.log(10)) == 0
    assert complementarity(1.0, 0.0, 0.0) == 2


def test_rows_hold_each_estimate_and_the_metric_is_read_from_them(monkeypatch, tmp_path):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    rows = estimate_rows("made_up", [0.0], [0], 400, 150, profile="quick")
    shutil.rmtree(tmp_path / "made_up")
    again = estimate_rows("made_up", [0.0], [0], 400, 150, profile="quick")
    assert rows["value"].equals(again["value"])
    assert len(rows) == len(WORDS) * len(PARTS) and set(rows["n"].to_pylist()) == {400}
    found = estimated_metric(rows)
    assert set(found["estimate"]) == {*WORDS} and (found["exact"].abs() < 1e-12).all()
    table = rows.to_pandas().set_index(["algorithm", "modality"])["value"]
    for own in found.itertuples():
        both, one, other = (table[own.estimate, part] for part in PARTS)
        assert own.value == pytest.approx((2 * both - one - other) / both)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"word": "knn"}, "mine or entropy"),
        ({"classes": 5}, "from 0 to 4"),
        ({"rows": 10}, "20 or"),
    ],
)
def test_what_cannot_be_estimated_is_one_line(more, reason):
    x, y = drawn(LAW, more.get("rows", 50))
    with pytest.raises(MglibError, match=reason):
        information(x, y, more.get("classes", 10), more.get("word", "mine"), 0)
    with pytest.raises(MglibError, match="above 0"):
        complementarity(0.0, 0.0, 0.0)
