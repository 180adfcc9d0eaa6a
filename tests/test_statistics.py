"""The corrected interval against its closed form and by simulation; the published errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mglib.analysis.statistics import published_table, resampled_interval, standard_error
from mglib.errors import MglibError


def test_closed_form():
    values = [0.4, 0.5, 0.45, 0.55, 0.5]
    interval = resampled_interval(values, 0.2)
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) * np.sqrt(1 / 5 + 0.2 / 0.8)
    assert (interval.mean, interval.half, interval.n) == pytest.approx((0.48, half, 5))


def test_a_vanishing_test_share_is_the_plain_t_interval():
    values = [0.1, 0.3, 0.2]
    plain = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    interval = resampled_interval(values, 1e-12)
    assert (interval.low, interval.high) == pytest.approx(plain)


def test_overlapping_splits_are_covered_where_the_plain_interval_fails():
    """Random splits of one pool: the mean of a test sample, over many pools."""
    random = np.random.RandomState(0)
    covered = {"corrected": 0, "plain": 0}
    for _ in range(400):
        pool = random.randn(100)
        # A rule fitted on the training part errs alike in every split: the test mean of the pool.
        means = [pool[random.permutation(100)[:20]].mean() for _ in range(10)]
        corrected = resampled_interval(means, 0.2)
        plain = resampled_interval(means, 1e-12)
        covered["corrected"] += corrected.low <= 0 <= corrected.high
        covered["plain"] += plain.low <= 0 <= plain.high
    assert covered["plain"] / 400 < 0.85 < 0.9 < covered["corrected"] / 400


def test_sign_is_zero_for_a_tie():
    assert resampled_interval([0.1, -0.1, 0.02], 0.2).sign == 0
    assert resampled_interval([0.1, 0.11, 0.1], 0.2).sign == 1
    assert resampled_interval([-0.1, -0.11, -0.1], 0.2).sign == -1


@pytest.mark.parametrize(
    ("values", "share"), [([0.1], 0.2), ([0.1, float("nan")], 0.2), ([0.1, 0.2], 0)]
)
def test_too_little_to_go_on_is_refused(values, share):
    with pytest.raises(MglibError):
        resampled_interval(values, share)


def test_the_published_error_is_a_standard_error_with_the_population_deviation():
    values = [0.41, 0.44, 0.47]
    by_hand = ((0.03**2 + 0 + 0.03**2) / 3 / 3) ** 0.5
    assert standard_error(values) == pytest.approx(by_hand)
    assert standard_error(values) == pytest.approx(stats.sem(values, ddof=1) * (2 / 3) ** 0.5)
    assert standard_error([0.3]) == 0
    for wrong in ([], [0.1, float("nan")]):
        with pytest.raises(MglibError, match="standard error"):
            standard_error(wrong)


def test_the_published_table_has_means_errors_an_average_and_dashes():
    cells = {("ERM", "art"): [0.41, 0.44, 0.47], ("ERM", "text"): [0.2, 0.2], ("IRM", "art"): [0.5]}
    values = pd.DataFrame(
        [
            {"method": method, "modality": modality, "value": value}
            for (method, modality), trials in cells.items()
            for value in trials
        ]
    )
    table = published_table(values, ["art", "text"], ["IRM", "ERM", "EQRM"])
    assert table.columns.tolist() == ["Method", "art", "text", "Avg"]
    assert table.values.tolist() == [
        ["IRM", "50.0\xa0±\xa00.0", "–", "–"],
        ["ERM", "44.0\xa0±\xa01.4", "20.0\xa0±\xa00.0", "32.0"],
        ["EQRM", "–", "–", "–"],
    ]
