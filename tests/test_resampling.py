"""The bootstrap against closed forms, a slow re-implementation, and known truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mglib.analysis.resampling import (
    Hits,
    bootstrap_difference,
    bootstrap_interval,
    bootstrap_means,
)
from mglib.analysis.statistics import resampled_interval
from mglib.errors import MglibError


def rng(seed=0):
    return np.random.default_rng(seed)


def some_splits(random, k=3, seeds=2, groups=8):
    """Splits with groups of 1 to 5 instances, hits of unequal accuracy, ids shared by splits."""
    splits = []
    for index in range(k):
        ids = np.repeat(random.choice(12, groups, replace=False), random.integers(1, 6, groups))
        accuracy = 0.3 + 0.1 * index + 0.03 * ids
        splits.append(Hits(random.random((seeds, len(ids))) < accuracy, ids))
    return splits


def slow_mean(splits, random, shared):
    """One bootstrap draw, instance by instance."""
    pool = sorted({g for split in splits for g in split.groups})
    of_pool = [pool[random.integers(len(pool))] for _ in pool]
    means = []
    for _ in splits:
        split = splits[random.integers(len(splits))]
        own = sorted(set(split.groups))
        drawn = of_pool if shared else [own[random.integers(len(own))] for _ in own]
        seeds = [random.integers(len(split.values)) for _ in split.values]
        seen = [
            split.values[seed, i]
            for seed in seeds
            for group in drawn
            for i in range(len(split.groups))
            if split.groups[i] == group
        ]
        if seen:
            means.append(sum(seen) / len(seen))
    return sum(means) / len(means)


@pytest.mark.parametrize("shared", [False, True])
def test_the_same_distribution_as_a_slow_bootstrap(shared):
    splits = some_splits(rng(1))
    random = rng(2)
    slow = [slow_mean(splits, random, shared) for _ in range(1500)]
    fast = bootstrap_means(splits, rng(3), 20_000, shared)
    # The standard error of a tail quantile of 1,500 draws is 0.07 standard deviations.
    for q in (0.025, 0.25, 0.5, 0.75, 0.975):
        assert abs(np.quantile(slow, q) - np.quantile(fast, q)) < 0.25 * fast.std()
    assert abs(np.std(slow) / fast.std() - 1) < 0.08
    assert stats.ks_2samp(slow, fast).pvalue > 0.01


def test_one_split_and_seed_of_single_instances_is_binomial():
    hits = Hits([np.arange(400) < 120], np.arange(400))
    interval = bootstrap_interval([hits], draws=20_000)
    exact = stats.binom.ppf([0.025, 0.975], 400, 0.3) / 400
    assert [interval.low, interval.high] == pytest.approx(exact, abs=1.01 / 400)
    assert (interval.mean, interval.n) == (0.3, 1)
    assert interval.half == pytest.approx(
        stats.norm.ppf(0.975) * (0.3 * 0.7 / 400) ** 0.5, rel=0.05
    )


def test_seeds_alone_and_splits_alone_have_the_variance_of_a_mean():
    values = np.array([0.2, 0.3, 0.5, 0.9, 0.4])
    expected = values.std() / 5**0.5
    seeds = [Hits(np.repeat(values[:, None], 7, axis=1), np.zeros(7))]
    splits = [Hits([[value] * 7], np.zeros(7)) for value in values]
    for only in (seeds, splits):
        means = bootstrap_means(only, rng(), 20_000)
        assert means.std() == pytest.approx(expected, rel=0.03)
        assert means.mean() == pytest.approx(values.mean(), abs=4 * expected / 20_000**0.5)


def test_levels_add_their_variances():
    """Additive values: var of split means + of seeds + of groups, each as drawn, by hand."""
    random = rng(4)
    group, seed = random.normal(size=20), random.normal(size=4)
    one = Hits(seed[:, None] + group[None], np.arange(20))
    expected = (group.var() / 20 + seed.var() / 4) ** 0.5
    assert bootstrap_means([one], rng(), 20_000).std() == pytest.approx(expected, rel=0.03)
    two = [one, Hits(one.values + 1.0, one.groups)]
    within = (group.var() / 20 + seed.var() / 4) / 2
    expected = (0.25 / 2 + within) ** 0.5
    assert bootstrap_means(two, rng(), 20_000).std() == pytest.approx(expected, rel=0.03)
    # Groups drawn once for both splits do not average out between them.
    expected = (0.25 / 2 + group.var() / 20 + seed.var() / 4 / 2) ** 0.5
    shared = bootstrap_means(two, rng(), 20_000, shared_groups=True)
    assert shared.std() == pytest.approx(expected, rel=0.03)


def test_every_instance_weighs_the_same_whatever_its_group():
    hits = Hits([[1.0] + [0.0] * 9], ["lone"] + ["many"] * 9)
    assert bootstrap_interval([hits]).mean == pytest.approx(0.1)
    # Two of two groups drawn: both lone, one each, both many.
    found, count = np.unique(bootstrap_means([hits], rng(), 20_000), return_counts=True)
    assert found == pytest.approx([0, 0.1, 1]) and count / 20_000 == pytest.approx(
        [0.25, 0.5, 0.25], abs=0.015
    )


def test_a_split_without_any_drawn_group_is_left_out():
    splits = [Hits([[0.0]], ["a"]), Hits([[1.0]], ["b"])]
    means = bootstrap_means(splits, rng(), 4000, shared_groups=True)
    assert np.isfinite(means).all() and set(means) == {0.0, 0.5, 1.0}


def test_the_same_seed_gives_the_same_interval():
    splits = some_splits(rng())
    assert bootstrap_interval(splits, seed=7) == bootstrap_interval(splits, seed=7)
    assert bootstrap_interval(splits, seed=7) != bootstrap_interval(splits, seed=8)
    named = [Hits(s.values, [f"{g:02}" for g in s.groups]) for s in splits]
    assert bootstrap_interval(named, seed=7) == bootstrap_interval(splits, seed=7)
    narrow = bootstrap_interval(splits, level=0.5)
    assert narrow.half < bootstrap_interval(splits, level=0.95).half


@pytest.mark.parametrize("shared", [False, True])
def test_equal_methods_differ_by_exactly_zero(shared):
    splits = some_splits(rng())
    gap = bootstrap_difference(splits, splits, shared_groups=shared)
    assert (gap.mean, gap.low, gap.high, gap.sign) == (0, 0, 0, 0)


def test_pairing_tightens_the_interval():
    """Methods that mostly hit the same instances: much nearer than two independent intervals."""
    random = rng(5)
    first, second = [], []
    for _ in range(5):
        hard = random.random(200)
        groups = np.repeat(np.arange(100), 2)
        first.append(Hits([hard + random.normal(0, 0.03, 200) < 0.55 for _ in range(3)], groups))
        second.append(Hits([hard + random.normal(0, 0.03, 200) < 0.5 for _ in range(3)], groups))
    gap = bootstrap_difference(first, second)
    apart = [bootstrap_means(m, rng(s)) for s, m in enumerate((first, second))]
    low, high = np.quantile(apart[0] - apart[1], [0.025, 0.975])
    assert gap.half < 0.6 * (high - low) / 2
    assert gap.sign == 1 and low < 0
    back = bootstrap_difference(second, first)
    assert (back.mean, back.low) == pytest.approx((-gap.mean, -gap.high))
    assert gap.mean == pytest.approx(
        bootstrap_interval(first).mean - bootstrap_interval(second).mean
    )


def covered(intervals, truth):
    return np.mean([i.low <= truth <= i.high for i in intervals])


def test_coverage_of_one_level():
    """50 groups of 1 to 4 instances that hit or miss together: 95 % up to Monte-Carlo error."""
    random = rng(6)
    intervals = []
    for _ in range(400):
        groups = np.repeat(np.arange(50), random.integers(1, 5, 50))
        hits = Hits([(random.random(50) < 0.6)[groups]], groups)
        intervals.append(bootstrap_interval([hits], draws=400))
    assert 0.91 < covered(intervals, 0.6) < 0.98


def test_coverage_of_three_levels_of_independent_splits():
    """Every split with its own instances: on the wide side, since lower levels count twice."""
    random = rng(7)
    intervals = []
    for _ in range(300):
        splits = []
        for _ in range(8):
            groups = np.repeat(np.arange(30), 2)
            value = 0.5 + 0.02 * random.normal() + 0.1 * random.normal(size=30)[groups]
            splits.append(Hits(value + 0.02 * random.normal(size=(3, 1)), groups))
        intervals.append(bootstrap_interval(splits, draws=300))
    assert 0.94 < covered(intervals, 0.5) <= 1


def test_splits_of_one_pool_need_shared_groups():
    """Ten splits testing 20 % of a pool, of a rule that errs alike in each; see the docstring.

    In units of the variance of one split's mean the truth is 1/10 + 9/10 * 0.2 = 0.28. Groups drawn
    anew give 0.1 + 0.9 * 0.8 / 10 = 0.172: too narrow. Shared groups give 0.28, and the spread of
    the splits, 0.072, once as it is and once by the groups drawn, 0.424: too wide.
    """
    random = rng(8)
    found = {"anew": [], "shared": [], "Nadeau & Bengio": []}
    spread = {"anew": [], "shared": []}
    for _ in range(300):
        pool = random.normal(size=200)
        splits = []
        for _ in range(10):
            tested = random.permutation(200)[:40]
            splits.append(Hits([pool[tested]], tested))
        for name in spread:
            found[name].append(bootstrap_interval(splits, draws=300, shared_groups=name != "anew"))
            spread[name].append(found[name][-1].half / 1.96)
        means = [split.values.mean() for split in splits]
        found["Nadeau & Bengio"].append(resampled_interval(means, 0.2))
    covers = {name: covered(intervals, 0) for name, intervals in found.items()}
    half = {name: np.mean([i.half for i in intervals]) for name, intervals in found.items()}
    assert np.mean(spread["anew"]) == pytest.approx((0.172 / 40) ** 0.5, rel=0.05)
    assert np.mean(spread["shared"]) == pytest.approx((0.424 / 40) ** 0.5, rel=0.05)
    assert covers["anew"] < 0.92 < 0.93 < covers["Nadeau & Bengio"]
    assert covers["shared"] > 0.95
    assert half["anew"] < 0.75 * half["Nadeau & Bengio"]
    assert half["shared"] == pytest.approx(1.07 * half["Nadeau & Bengio"], rel=0.05)


@pytest.mark.parametrize(
    ("k", "anew", "shared", "corrected"), [(3, 0.043, 0.053, 0.088), (10, 0.026, 0.036, 0.039)]
)
def test_the_half_widths_of_the_docstring(k, anew, shared, corrected):
    random = rng(9)
    found = []
    for _ in range(60):
        groups = np.repeat(np.arange(800), random.integers(1, 4, 800))
        ease = random.normal(0, 1, 800)[groups] + random.normal(0, 0.5, len(groups))
        chance = 1 / (1 + np.exp(-2 * ease))
        splits = []
        for _ in range(k):
            tested = np.isin(groups, random.permutation(800)[:160])
            shift = random.normal(0, 0.015) + random.normal(0, 0.015, (5, 1))
            hits = random.random((5, tested.sum())) < chance[tested] + shift
            splits.append(Hits(hits, groups[tested]))
        means = [split.values.mean() for split in splits]
        intervals = (
            bootstrap_interval(splits, draws=300),
            bootstrap_interval(splits, draws=300, shared_groups=True),
            resampled_interval(means, 0.2),
        )
        found.append([interval.half for interval in intervals])
    assert np.mean(found, axis=0) == pytest.approx([anew, shared, corrected], rel=0.1)


def test_what_cannot_be_drawn_or_paired_is_refused():
    one = Hits([[1.0, 0.0]], [0, 1])
    for values, groups in [
        ([1.0, 0.0], [0, 1]),
        ([[1.0, 0.0]], [0]),
        (np.zeros((0, 2)), [0, 1]),
        (np.zeros((1, 0)), []),
        ([[1.0, np.nan]], [0, 1]),
    ]:
        with pytest.raises(MglibError, match="hits"):
            Hits(values, groups)
    with pytest.raises(MglibError, match="nothing to resample"):
        bootstrap_interval([Hits([[1.0, 0.0]], [0, 0])])
    with pytest.raises(MglibError, match="level"):
        bootstrap_interval([one], level=95)
    for splits, draws in (([], 100), ([one], 0)):
        with pytest.raises(MglibError, match="splits and draws"):
            bootstrap_interval(splits, draws=draws)
    with pytest.raises(MglibError, match="paired"):
        bootstrap_difference([one], [one, one])
    for other in (Hits([[1.0, 0.0]], [1, 0]), Hits([[1.0, 0.0]] * 2, [0, 1])):
        with pytest.raises(MglibError, match="paired"):
            bootstrap_difference([one], [other])
