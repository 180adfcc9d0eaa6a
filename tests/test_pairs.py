"""Paired tests against scipy and hand-computed numbers, and Holm's correction over a family."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mglib.analysis.pairs import (
    by_split,
    compare_methods,
    corrected_t_test,
    holm,
    p_value,
    pair_table,
)
from mglib.analysis.statistics import resampled_interval
from mglib.errors import MglibError


def values_of(**methods):
    """Rows of one modality: a list of values per method, one for each split."""
    return pd.DataFrame(
        [
            {"modality": "art", "method": method, "split_seed": s, "value": value}
            for method, own in methods.items()
            for s, value in enumerate(own)
        ]
    )


def test_t_and_p_by_hand():
    # Differences 1, 2, 3: mean 2, variance 1; a fifth tested: 1/3 + 0.2/0.8 = 7/12.
    test = corrected_t_test([1.0, 2.0, 3.0], 0.2)
    t = 2 / (7 / 12) ** 0.5
    assert test.t == pytest.approx(t)
    # With two degrees of freedom the t distribution has a closed form.
    assert test.p == pytest.approx(1 - t / (2 + t * t) ** 0.5)
    assert test.interval == resampled_interval([1.0, 2.0, 3.0], 0.2)


def test_without_the_correction_it_is_the_paired_test_of_scipy():
    random = np.random.RandomState(0)
    for n in (2, 5, 10):
        a, b = random.randn(2, n)
        share = 0.2
        plain = stats.ttest_rel(a, b)
        test = corrected_t_test((a - b).tolist(), share)
        wider = (1 + n * share / (1 - share)) ** 0.5
        assert test.t * wider == pytest.approx(plain.statistic)
        assert 2 * stats.t.sf(abs(test.t) * wider, n - 1) == pytest.approx(plain.pvalue)
        assert test.p > plain.pvalue, "splits that share instances tell less"


def test_p_is_below_the_level_exactly_where_the_interval_excludes_zero():
    random = np.random.RandomState(1)
    signs = set()
    for shift in np.linspace(-2, 2, 81):
        test = corrected_t_test((random.randn(10) + shift).tolist(), 0.2)
        assert (test.p < 0.05) == (test.interval.sign != 0)
        assert not test.interval.sign or test.interval.sign == np.sign(test.t)
        signs.add(test.interval.sign)
    assert signs == {-1, 0, 1}


def test_differences_without_spread():
    none = corrected_t_test([0.0, 0.0, 0.0], 0.2)
    assert (none.t, none.p) == (0.0, 1.0)
    for value in (0.1, -0.1):
        same = corrected_t_test([value] * 3, 0.2)
        assert same.t == np.sign(value) * np.inf and same.p == 0.0
    with pytest.raises(MglibError, match="two finite values"):
        corrected_t_test([0.1], 0.2)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.5]) == [1.0, 1.0] and holm([0.2]) == [0.2] and holm([]) == []
    with pytest.raises(MglibError, match="between 0 and 1"):
        holm([0.1, float("nan")])


def rejected(p, level):
    """Holm's procedure as he states it: from the smallest, until one is not small enough."""
    found = set()
    for step, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[place] > level / (len(p) - step):
            break
        found.add(place)
    return found


def test_adjusted_p_values_reject_what_the_procedure_rejects():
    random = np.random.RandomState(2)
    counts = set()
    for _ in range(200):
        p = (random.rand(6) ** 4).tolist()
        for level in (0.01, 0.05, 0.2):
            found = {i for i, value in enumerate(holm(p)) if value <= level}
            assert found == rejected(p, level)
            counts.add(len(found))
        bonferroni = np.minimum(6 * np.array(p), 1)
        assert (np.array(holm(p)) >= p).all() and (np.array(holm(p)) <= bonferroni).all()
    assert counts == set(range(7))


@pytest.fixture
def values():
    random = np.random.RandomState(3)
    shifts = {"A": 0.0, "B": 0.02, "C": 0.3}
    return pd.DataFrame(
        [
            {
                "modality": modality,
                "method": method,
                "split_seed": s,
                "value": 0.3 + shift + 0.05 * random.randn(),
            }
            for method, shift in shifts.items()
            for s in range(10)
            for modality in ("art", "text")
        ]
    )


def test_all_pairs_are_one_family(values):
    found = compare_methods(values, 0.2)
    assert list(zip(found["first"], found["second"], strict=True)) == list(combinations("ABC", 2))
    means = values.groupby(["split_seed", "method"])["value"].mean().unstack()
    for row in found.itertuples():
        test = corrected_t_test((means[row.first] - means[row.second]).tolist(), 0.2)
        assert (row.t, row.p, row.mean) == pytest.approx((test.t, test.p, test.interval.mean))
        assert row.n == 10
    assert found["p_holm"].tolist() == holm(found["p"].tolist())
    assert found["verdict"].tolist() == ["a tie", "lower", "lower"]


def test_against_one_is_a_smaller_family(values):
    found = compare_methods(values, 0.2, against="A")
    assert found[["first", "second"]].values.tolist() == [["B", "A"], ["C", "A"]]
    every = compare_methods(values, 0.2).set_index(["first", "second"])
    assert found["t"].tolist() == pytest.approx([-every.loc[("A", m), "t"] for m in "BC"])
    assert found["verdict"].tolist() == ["a tie", "higher"]
    ordered = compare_methods(values, 0.2, against="A", methods=["C", "A", "B"])
    assert ordered["first"].tolist() == ["C", "B"]
    alone = compare_methods(values, 0.2, against="A", methods=["C"])
    assert alone["p_holm"].tolist() == alone["p"].tolist()


def test_a_difference_that_only_the_family_calls_a_tie():
    """Alone p is 0.04; as one of two tests it is 0.08."""
    target = stats.t.isf(0.02, 9)
    x = np.random.RandomState(4).randn(10)
    x = (x - x.mean()) / x.std(ddof=1)
    a = (x + target * (1 / 10 + 0.25) ** 0.5).tolist()
    zero = [0.0] * 10
    other = (1e-3 * np.array(x)).tolist()
    alone = compare_methods(values_of(A=a, zero=zero), 0.2)
    assert alone["p"][0] == pytest.approx(0.04) and alone["verdict"][0] == "higher"
    both = compare_methods(values_of(A=a, other=other, zero=zero), 0.2, against="zero")
    assert both["p_holm"][0] == pytest.approx(0.08) and both["verdict"].tolist() == ["a tie"] * 2
    assert both["low"][0] > 0, "the interval is not corrected"


def test_methods_that_cannot_be_paired_are_named(values):
    lacking = values[~((values["method"] == "B") & (values["split_seed"] == 4))]
    with pytest.raises(MglibError, match="B has no finite value .* split_seed 4, modality art"):
        compare_methods(lacking, 0.2)
    assert len(compare_methods(lacking, 0.2, methods=["A", "C"])) == 1, "B is not asked for"
    lost = values.assign(value=values["value"].where(values.index != 0))
    with pytest.raises(MglibError, match="A has no finite value .* split_seed 0, modality art"):
        by_split(lost)
    with pytest.raises(MglibError, match="no method in these values 'D'"):
        compare_methods(values, 0.2, against="D")
    with pytest.raises(MglibError, match="two methods; got A"):
        compare_methods(values, 0.2, methods=["A"])


def test_the_table_says_it_in_words(values):
    compared = compare_methods(values, 0.2, against="A")
    table = pair_table(compared)
    assert table.columns.tolist() == [
        "Comparison",
        "Difference [points]",
        "t",
        "p",
        "p (Holm)",
        "Verdict",
    ]
    line = table.iloc[1]
    assert line["Comparison"] == "C minus A" and line["Verdict"] == "higher"
    assert line["p"] == "< 0.001" and line["Difference [points]"].startswith("+")
    assert "−" in pair_table(compare_methods(values, 0.2, methods=["A", "C"])).iloc[0]["t"]
    assert (p_value(0.0004), p_value(0.0126), p_value(1.0)) == ("< 0.001", "0.013", "1.000")
