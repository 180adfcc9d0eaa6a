"""How well the unseen modality must be bound: the sweep, the monotone fit, half of the way."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from _spaces import GROUPS, SPLIT, see, world

from mglib.analysis import similarity
from mglib.analysis.half_way import (
    Points,
    half_way,
    half_way_in,
    half_way_table,
    monotone,
    over_splits,
    points_of,
    rank_correlation,
    told,
)
from mglib.analysis.held_out import SUPERVISED
from mglib.analysis.retrieval import recall_at_k
from mglib.analysis.similarity import (
    FULL,
    Condition,
    centre_of,
    conditions_of,
    similarity_rows,
)
from mglib.analysis.sweep import (
    against_full,
    condition_intervals,
    condition_table,
    learners_apart,
    mean_similarity,
    similarity_trials,
    similarity_values,
)
from mglib.analysis.worlds import WORLDS
from mglib.errors import MglibError
from mglib.figures.similarity import draw_similarity
from mglib.figures.style import as_svg
from mglib.registry import perceptors

EMOJI = WORLDS["text_centred"]
SWEEP = conditions_of([10, 100], [0.5])
COMMON = {"splits": 2, "seeds": 1, "steps": 4, "checkpoints": 2, "lr": 1e-3}
ALL = 1000.0  # pairs


def test_a_condition_is_a_perceptor_of_the_registry():
    for base in ("bound", "bound@centre=art", "contrastive"):
        for condition in [*SWEEP, Condition(pairs=7, noise=0.3)]:
            name = condition.perceptor(base)
            told_of = perceptors.get(name)().values()
            assert told_of["pairs"] == (condition.pairs or "all")
            assert told_of["noise"] == condition.noise
    assert FULL.perceptor("bound") == "bound" and SWEEP[0] == FULL


@pytest.mark.parametrize(("pairs", "noise"), [([], []), ([5, 5], []), ([0], []), ([5], [0.0])])
def test_a_sweep_needs_different_values(pairs, noise):
    with pytest.raises(MglibError, match="different values above 0"):
        conditions_of(pairs, noise)


def test_the_centre_is_trained_on_and_never_held_out():
    assert centre_of("emoji_concepts", "bound") == "text"
    assert centre_of("emoji_concepts", "bound@centre=art") == "art"
    trials = similarity_trials(EMOJI, [("erm", "corrected")], SWEEP, **COMMON)
    several = [t for t in trials if len(t.train) > 1]
    assert all("text" in t.train for t in several)
    assert {t.train for t in trials if len(t.train) == 1} == {("art",), ("glyph",), ("speech",)}
    learned = [t for t in several if t.algorithm == "erm"]
    assert len(learned) == 3 * 2 * len(SWEEP), "modalities, splits and conditions"
    assert {t.unseen for t in learned} == {
        "",
        "bound@pairs=10",
        "bound@pairs=100",
        "bound@noise=0.5",
    }
    assert {t.perceptor for t in trials} == {"bound"}, "training modalities are fully bound"
    assert {t.unseen for t in trials if t.algorithm == "majority"} == {""}, "bounds stand once"
    with pytest.raises(MglibError, match="binds nothing"):
        centre_of("emoji_concepts", "raw")


def test_alignment_is_measured_on_test_pairs_with_the_centre(monkeypatch):
    frozen = world(noise=0.5)
    asked = []

    def load(dataset, perceptor, modality, split_seed):
        asked.append((perceptor, modality))
        return SimpleNamespace(values=see(perceptor, modality, frozen), groups=GROUPS)

    def measured(experiment, questions, answer, **more):
        lines = []
        for question in questions:
            told_of = {**question, "hparams": json.dumps(question["hparams"])}
            lines += [{**told_of, **row} for row in answer(told_of)]
        return pa.Table.from_pylist(lines)

    monkeypatch.setattr(similarity, "load_features", load)
    monkeypatch.setattr(similarity, "measured", measured)
    monkeypatch.setattr(similarity, "centre_of", lambda dataset, perceptor: "text")
    asked_of = "made_up", "bound", ("art", "speech", "text")
    conditions = conditions_of([2], [])
    rows = similarity_rows("x", *asked_of, conditions, [0], k=3, profile="quick").to_pandas()
    assert len(rows) == 2 * 2 * 2 and set(rows["n"]) == {len(SPLIT["test"])}
    for condition in conditions:
        perceptor = condition.perceptor("bound")
        pair = [
            see("bound", m, frozen) if m == "text" else see(perceptor, m, frozen)
            for m in ("art", "text")
        ]
        own = rows[(rows["perceptor"] == perceptor) & (rows["modality"] == "art")]
        recall = own[own["metric"] == "recall"]["value"].item()
        assert recall == recall_at_k(*(values[SPLIT["test"]] for values in pair), 3)
    by_pairs = rows[rows["metric"] == "recall"].groupby("perceptor")["value"].mean()
    assert by_pairs["bound"] > by_pairs["bound@pairs=2"] + 0.1


def frame(score, splits=(0, 1, 2)):
    """Rows of runs without art or glyph under every condition: score(condition, m, split)."""
    lines = []
    shared = {"dataset": "d", "variant": "corrected", "seed": 0, "draw": 0, "step": 1}
    shared |= {"metric": "accuracy", "test_pattern": None, "status": "ok"}
    names = ("art", "glyph", "text")
    for condition, left, split_seed in product(SWEEP, names[:2], splits):
        seen_through = "bound" if condition == FULL else f"bound>{condition.perceptor('bound')}"
        runs = {"erm": score(condition, left, split_seed)}
        if condition == FULL:
            runs["majority"] = 0.2
        for algorithm, value in runs.items():
            lines += [
                {
                    **shared,
                    "perceptor": seen_through,
                    "algorithm": algorithm,
                    "train": "+".join(m for m in names if m != left),
                    "split_seed": split_seed,
                    "modality": m,
                    "split": part,
                    "value": value if m == left else 0.9,
                }
                for m in names
                for part in ("validation", "test")
            ]
        if condition == FULL:
            lines += [
                {
                    **shared,
                    "perceptor": seen_through,
                    "algorithm": "erm",
                    "train": left,
                    "split_seed": split_seed,
                    "modality": m,
                    "split": part,
                    "value": 0.8,
                }
                for m in names
                for part in ("validation", "test")
            ]
    return pd.DataFrame(lines)


REACHED = {
    FULL: 0.6,
    Condition(pairs=10): 0.2,
    Condition(pairs=100): 0.4,
    Condition(noise=0.5): 0.3,
}
RECALLS = {
    FULL: 0.5,
    Condition(pairs=10): 0.1,
    Condition(pairs=100): 0.3,
    Condition(noise=0.5): 0.2,
}
BOUNDS = ("Majority class", SUPERVISED)


def alike(splits=(0, 1, 2)):
    return pd.DataFrame(
        [
            {
                "perceptor": condition.perceptor("bound"),
                "modality": m,
                "split_seed": s,
                "metric": metric,
                "value": recall / (1 if metric == "recall" else 2),
                "n": 20,
            }
            for condition, recall in RECALLS.items()
            for m in ("art", "glyph")
            for s in splits
            for metric in ("recall", "cka_debiased")
        ]
    )


@pytest.fixture
def values():
    return similarity_values(frame(lambda c, m, s: REACHED[c] + 0.01 * (s - 1)), bounds=BOUNDS)


@pytest.fixture
def points(values):
    told_of = {"method": "ERM", "lower": "Majority class", "all_pairs": ALL}
    return points_of(values, alike(), EMOJI, SWEEP, **told_of)


def test_values_carry_the_condition_and_the_bounds_stand_under_each(values):
    names = {condition.perceptor("bound") for condition in SWEEP}
    assert set(values["perceptor"]) == names
    for name, value in zip(BOUNDS, (0.2, 0.8), strict=True):
        own = values[values["method"] == name]
        assert set(own["perceptor"]) == names and set(own["value"]) == {value}
        assert len(own) == len(SWEEP) * 2 * 3
    own = values[(values["method"] == "ERM") & (values["perceptor"] == "bound@pairs=100")]
    np.testing.assert_allclose(own.groupby("split_seed")["value"].mean(), [0.39, 0.40, 0.41])


def test_means_differences_and_the_table_by_hand(values):
    intervals = condition_intervals(values, EMOJI, SWEEP, 0.2)
    erm = intervals[intervals["method"] == "ERM"]
    assert erm["pairs"].tolist() == [0, 10, 100, 0] and erm["noise"].tolist() == [0, 0, 0, 0.5]
    np.testing.assert_allclose(erm["mean"], list(REACHED.values()))
    tested = against_full(values, EMOJI, SWEEP, "ERM", 0.2)
    np.testing.assert_allclose(tested["mean"], [-0.4, -0.2, -0.3])
    assert tested["first"].tolist() == ["bound@pairs=10", "bound@pairs=100", "bound@noise=0.5"]
    assert set(tested["verdict"]) == {"lower"}
    assert mean_similarity(alike(), "recall", "bound", 0.2).mean == pytest.approx(0.5)
    table = condition_table(values, alike(), EMOJI, SWEEP, [("erm", "corrected")], 0.2)
    assert table["Pairs"].tolist() == ["all", "10", "100", "all"]
    assert table["Wrong [%]"].tolist() == ["0", "0", "0", "50"]
    assert table["Verdict"].tolist() == ["–", "lower", "lower", "lower"]
    assert table["ERM"].iloc[2].startswith("40.0") and table["CKA"].iloc[0].startswith("0.25")


def test_the_way_leads_from_the_majority_class_to_full_binding(points):
    mean = np.full(3, 1 / 3)
    share = points.share(mean)
    np.testing.assert_allclose(share, np.repeat([1.0, 0.0, 0.5, 0.25], 2), atol=1e-12)
    assert points.pairs.tolist() == [ALL, ALL, 10, 10, 100, 100, ALL, ALL]
    assert len(points.swept.modalities) == 6 and len(points.of("art").modalities) == 4
    first = points.share(np.array([1.0, 0, 0]))
    np.testing.assert_allclose(first[4], (0.39 - 0.2) / (0.59 - 0.2))
    lost = replace(points, lower=points.upper, upper=points.lower)
    assert np.isnan(lost.share(mean)).all(), "an upper bound below the lower leaves no way"


def test_a_missing_value_is_said(values):
    told_of = {"method": "ERM", "lower": "Majority class", "all_pairs": ALL}
    with pytest.raises(MglibError, match="lacks a value"):
        points_of(values.drop(values.index[0]), alike(), EMOJI, SWEEP, **told_of)


def min_max(x, y):
    """Isotonic regression by its min-max formula (Barlow et al. 1972)."""
    knots = np.unique(x)
    sums = np.array([[y[x == k].sum(), (x == k).sum()] for k in knots])

    def mean(i, j):
        return sums[i : j + 1, 0].sum() / sums[i : j + 1, 1].sum()

    n = len(knots)
    return knots, [
        max(min(mean(i, j) for j in range(k, n)) for i in range(k + 1)) for k in range(n)
    ]


def test_the_monotone_fit_is_that_of_the_min_max_formula():
    random = np.random.RandomState(0)
    for _ in range(20):
        x, y = random.randint(6, size=12) / 5, random.rand(12)
        for ours, slow in zip(monotone(x, y), min_max(x, y), strict=True):
            np.testing.assert_allclose(ours, slow)


def test_half_way_in_closed_forms():
    assert half_way(np.array([1.0, 2, 3]), np.array([0.0, 0.4, 0.8])) == pytest.approx(2.25)
    assert half_way(np.array([3.0, 1, 2]), np.array([0.8, 0.0, 0.4])) == pytest.approx(2.25)
    assert half_way(np.array([1.0, 2]), np.array([0.1, 0.4])) == np.inf, "never reached"
    assert half_way(np.array([1.0, 2]), np.array([0.6, 0.9])) == 1.0, "reached at the least"
    assert half_way(np.array([1.0, 2, 3]), np.array([0.0, np.nan, 1])) == pytest.approx(2.0)
    assert np.isnan(half_way(np.array([1.0, 2]), np.full(2, np.nan)))


def test_half_way_is_interpolated_by_the_logarithm_of_pairs(points):
    mean = np.full(3, 1 / 3)
    assert half_way_in(points, mean, "pairs") == pytest.approx(100)
    assert half_way_in(points, mean, "recall") == pytest.approx(0.3)
    # One split: shares 1, -0.01/0.39, 0.19/0.39 at 1000, 10 and 100 pairs.
    low, high = 0.19 / 0.39, 1.0
    exponent = 2 + (0.5 - low) / (high - low)
    assert half_way_in(points, np.array([1.0, 0, 0]), "pairs") == pytest.approx(10**exponent)


def test_rank_correlation_leaves_the_fully_bound_out(points):
    mean = np.full(3, 1 / 3)
    assert rank_correlation(points, mean, "recall") == pytest.approx(1)
    moved = points.recall.copy()
    moved[:, :2] = 0.0  # of the fully bound: they take no part
    moved[:, 2:] *= -1
    other = replace(points, recall=moved)
    assert rank_correlation(other, mean, "recall") == pytest.approx(-1)
    assert np.isnan(rank_correlation(points.of("art").swept.where([1, 1, 0]), mean, "recall"))


def test_two_splits_are_drawn_in_all_four_ways(points):
    def first_split(points, weights, measure):
        return float(weights[0])

    tables = (points.score, points.lower, points.upper, points.recall, points.cka)
    known = points.modalities, points.pairs, points.noise
    two = Points(*known, *(table[:2] for table in tables))
    interval = over_splits(two, first_split, "x")
    assert (interval.mean, interval.low, interval.high, interval.n) == (0.5, 0.0, 1.0, 2)
    # Of the four equally likely draws a quarter has the split twice: inside the middle half.
    assert over_splits(two, first_split, "x", level=0.4).high == 0.5
    many = over_splits(points, lambda p, w, m: float(w @ [0.0, 1, 2]), "x", draws=20)
    assert many.mean == pytest.approx(1) and 0 <= many.low < 1 < many.high <= 2
    assert over_splits(points, lambda p, w, m: float("nan"), "x") is None
    assert over_splits(points, half_way_in, "recall").low <= 0.3


def test_what_tables_print(points):
    interval = over_splits(points, half_way_in, "recall")
    assert told(interval, ".1f", 0.0, 100).startswith("30.0 (")
    assert told(None, ".1f", 0.0) == "undefined"
    never = over_splits(points, lambda p, w, m: float("inf"), "x")
    assert told(never, ".0f", 2.0) == "not reached (not reached to not reached)"
    least = over_splits(points, lambda p, w, m: 2.0, "x")
    assert told(least, ".0f", 2.0) == "≤\xa02 (≤\xa02 to ≤\xa02)"
    table = half_way_table(points)
    assert table["Unseen"].tolist() == ["art", "glyph", "all"]
    assert table["Half-way [pairs]"].iloc[0].startswith("100 (")
    assert table["Correlation, recall"].iloc[2].startswith("1.00 (")


def test_the_figure_shows_every_mean_and_point(values, points):
    intervals = condition_intervals(values, EMOJI, SWEEP, 0.2)
    half = over_splits(points, half_way_in, "recall")

    def draw():
        looks = {"Majority class": ":", SUPERVISED: "-"}
        return draw_similarity(intervals, points, ["ERM"], looks, half)

    figure = draw()
    left, middle, right = figure.axes
    units = [(axes.get_xlabel(), "[number]" if axes is left else "[%]") for axes in figure.axes]
    assert all(unit in label for label, unit in units)
    assert "[%]" in left.get_ylabel() and "ERM" in right.get_ylabel()

    def drawn(axes):
        return {
            (round(float(x), 6), round(float(y), 6))
            for line in axes.lines
            for x, y in np.broadcast(line.get_xdata(), line.get_ydata())
        }

    assert {(10, 20), (100, 40), (ALL, 60)} <= drawn(left) and left.get_xscale() == "log"
    assert {(0, 60), (50, 30)} <= drawn(middle)
    assert {(10, 0), (30, 50), (20, 25), (50, 100)} <= drawn(right)
    (fit,) = [line for line in right.lines if line.get_gid() == "fit"]
    np.testing.assert_allclose(fit.get_ydata(), [0, 25, 50, 100], atol=1e-9)
    assert as_svg(figure) == as_svg(draw())


def test_learners_are_apart_where_a_trained_modality_differs_under_two_conditions():
    rows = pd.DataFrame(
        [
            {"algorithm": "erm", "variant": "corrected", "train": "art+text", "seed": 0}
            | {"split_seed": 0, "step": step, "split": "test", "metric": "accuracy"}
            | {"perceptor": seen, "modality": modality, "value": value}
            for step, seen, modality, value in (
                (4, "bound", "text", 0.5),
                (4, "bound>bound@pairs=10", "text", 0.5),
                (4, "bound", "speech", 0.5),  # unseen: may differ
                (4, "bound>bound@pairs=10", "speech", 0.2),
                (8, "bound", "text", float("nan")),
                (8, "bound>bound@pairs=10", "text", float("nan")),
            )
        ]
    )
    assert learners_apart(rows) == 0
    rows.loc[1, "value"] = np.nextafter(0.5, 1)
    assert learners_apart(rows) == 1
    rows.loc[5, "value"] = 0.5
    assert learners_apart(rows) == 2
