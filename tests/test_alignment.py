"""Linear CKA: what it must not see, an independent HSIC, and known answers."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from mglib.analysis.alignment import alignment_table, linear_cka
from mglib.errors import MglibError


@pytest.fixture
def views():
    random = np.random.RandomState(0)
    first = random.randn(40, 6)
    return first, first @ random.randn(6, 9) + 0.5 * random.randn(40, 9)


def slow_hsic(k, m):
    """Unbiased HSIC: the mean over quadruples of different instances (Song et al. 2012)."""
    total, count = 0.0, 0
    for i, j, q, r in permutations(range(len(k)), 4):
        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
        count += 1
    return total / count


def test_debiased_is_the_mean_over_quadruples():
    random = np.random.RandomState(1)
    x, y = random.randn(8, 3), random.randn(8, 2)
    k, m = x @ x.T, y @ y.T
    slow = slow_hsic(k, m) / (slow_hsic(k, k) * slow_hsic(m, m)) ** 0.5
    assert linear_cka(x, y) == pytest.approx(slow)


def test_plain_is_the_ratio_of_covariance_norms(views):
    x, y = (view - view.mean(axis=0) for view in views)
    ratio = np.linalg.norm(y.T @ x) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
    assert linear_cka(*views, debiased=False) == pytest.approx(ratio)


@pytest.mark.parametrize("debiased", [True, False])
def test_rotation_scale_shift_and_order_are_not_seen(views, debiased):
    first, second = views
    turn = np.linalg.qr(np.random.RandomState(2).randn(6, 6))[0]
    before = linear_cka(first, second, debiased)
    assert 0.3 < before < 1
    assert linear_cka(7 * first @ turn + 3, second, debiased) == pytest.approx(before)
    assert linear_cka(second, first, debiased) == pytest.approx(before)
    assert linear_cka(first, -2 * first @ turn, debiased) == pytest.approx(1.0)
    stretched = first * np.array([30, 1, 1, 1, 1, 1])
    assert linear_cka(first, stretched, debiased) < 0.9


def test_unrelated_views_are_at_zero_only_without_bias():
    random = np.random.RandomState(3)
    pairs = [(random.randn(60, 200), random.randn(60, 300)) for _ in range(20)]
    assert abs(np.mean([linear_cka(*pair) for pair in pairs])) < 0.02
    assert np.mean([linear_cka(*pair, debiased=False) for pair in pairs]) > 0.5


def test_what_has_no_answer():
    random = np.random.RandomState(4)
    assert np.isnan(linear_cka(np.ones((10, 3)), random.randn(10, 3), debiased=False))
    for wrong in (random.randn(9, 3), random.randn(10), random.randn(10, 3) * np.nan):
        with pytest.raises(MglibError):
            linear_cka(random.randn(10, 3), wrong)
    with pytest.raises(MglibError, match="at least 4"):
        linear_cka(random.randn(3, 2), random.randn(3, 2))


def test_the_table_has_a_line_for_each_pair():
    values = pd.DataFrame(
        [
            ("art", second, perceptor, metric, split, 0.5 + shift)
            for second in ("glyph", "text")
            for perceptor, shift in (("frozen", 0.0), ("bound", 0.25))
            for metric in ("cka", "cka_debiased")
            for split in range(2)
        ],
        columns=["first", "second", "perceptor", "metric", "split_seed", "value"],
    )
    table = alignment_table(values, 0.2)
    assert table["Pair"].tolist() == ["art, glyph", "art, text"]
    assert table["Bound"].tolist() == ["0.75\xa0±\xa00.00"] * 2
