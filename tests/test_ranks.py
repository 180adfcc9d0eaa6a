"""Ranks and the tests on them against Demsar's own example, scipy and hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mglib.analysis.ranks import (
    block_ranks,
    critical_difference,
    friedman,
    groups_within,
    rank_methods,
    rank_table,
)
from mglib.errors import MglibError
from mglib.figures.ranks import draw_ranks
from mglib.figures.style import as_svg

# Demsar (2006), table 6: ranks of C4.5 and three of its variants on 14 datasets.
TREES = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]
RANKS = [
    [4, 3, 2, 1],
    [1, 2, 3, 4],
    [4, 1, 2, 3],
    [4, 1, 3, 2],
    [4, 2, 3, 1],
    [1, 2.5, 4, 2.5],
    [3, 2, 4, 1],
    [2.5, 2.5, 4, 1],
    [4, 3, 2, 1],
    [2.5, 2.5, 2.5, 2.5],
    [4, 2.5, 1, 2.5],
    [3, 2, 4, 1],
    [4, 1, 2, 3],
    [3, 1, 4, 2],
]


def values_of(scores, methods, block="dataset"):
    """Rows of scores [blocks, methods]."""
    return pd.DataFrame(
        [
            {block: f"set {i}", "method": method, "value": float(value)}
            for i, own in enumerate(scores)
            for method, value in zip(methods, own, strict=True)
        ]
    )


@pytest.fixture
def trees():
    return values_of(-np.array(RANKS), TREES)


def test_the_example_of_the_paper(trees):
    """Section 3.2.4: ranks, a chi-squared of 9.28, critical differences of 1.25 and 1.12."""
    ranking = rank_methods(trees)
    assert list(ranking.ranks) == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
    assert list(ranking.ranks.values()) == pytest.approx([1.964, 2.0, 2.893, 3.143], abs=5e-4)
    # His statistic leaves ties uncorrected: three of two and one of four, of 14 (4^3 - 4).
    assert ranking.statistic * (1 - (3 * 6 + 60) / (14 * 60)) == pytest.approx(9.28, abs=0.005)
    assert ranking.critical_difference == pytest.approx(1.25, abs=0.005)
    assert ranking.groups == (tuple(ranking.ranks),), "at 0.05 the test is not powerful enough"
    looser = rank_methods(trees, level=0.9)
    assert looser.critical_difference == pytest.approx(1.12, abs=0.005)
    assert looser.groups == (tuple(ranking.ranks)[:3], tuple(ranking.ranks)[2:])
    assert ranking.blocks == 14 and ranking.note == ""


@pytest.mark.parametrize(
    ("methods", "at_95", "at_90"),
    [(2, 1.960, 1.645), (3, 2.343, 2.052), (5, 2.728, 2.459), (10, 3.164, 2.920)],
)
def test_critical_values_of_the_paper(methods, at_95, at_90):
    """Table 5(a), three decimals; for two methods they are those of the normal distribution."""
    scale = (methods * (methods + 1) / (6 * 20)) ** 0.5
    assert critical_difference(methods, 20) / scale == pytest.approx(at_95, abs=1e-3)
    assert critical_difference(methods, 20, 0.9) / scale == pytest.approx(at_90, abs=1e-3)


def test_friedman_is_that_of_scipy_with_and_without_ties():
    random = np.random.RandomState(0)
    for scores in (random.rand(9, 5), random.randint(3, size=(12, 4)), random.rand(2, 3)):
        methods = [f"m{i}" for i in range(scores.shape[1])]
        ranks = block_ranks(values_of(scores, methods))
        assert friedman(ranks) == pytest.approx(tuple(stats.friedmanchisquare(*scores.T)))
        assert ranks.to_numpy() == pytest.approx(stats.rankdata(-scores, axis=1))


def test_methods_that_tie_everywhere_do_not_differ():
    ranking = rank_methods(values_of(np.ones((4, 3)), "abc"))
    assert set(ranking.ranks.values()) == {2.0} and ranking.groups == (("a", "b", "c"),)
    assert (ranking.statistic, ranking.p) == (0.0, 1.0)


def test_means_of_the_same_numbers_tie():
    rows = values_of([[0.1, 0.3], [0.5, 0.4]], "ab")
    more = values_of([[0.2, 0.2], [0.5, 0.4]], "ab")
    more2 = values_of([[0.3, 0.1], [0.5, 0.4]], "ab")
    ranks = block_ranks(pd.concat([rows, more, more2]))
    assert ranks.loc["set 0"].tolist() == [1.5, 1.5] and ranks.loc["set 1"].tolist() == [1, 2]


def test_groups_are_the_largest_runs_of_neighbours():
    ranks = {"d": 4.0, "a": 1.0, "b": 1.8, "c": 2.5, "e": 6.0}
    assert groups_within(ranks, 1.0) == (("a", "b"), ("b", "c"))
    assert groups_within(ranks, 1.6) == (("a", "b", "c"), ("c", "d"))
    assert groups_within(ranks, 1.5) == (("a", "b"), ("b", "c")), "at least so far apart differ"
    assert groups_within(ranks, 9.0) == (("a", "b", "c", "d", "e"),)
    assert groups_within(ranks, 0.5) == ()
    assert groups_within({"a": 1.0, "b": 1.0}, 0.5) == (("a", "b"),)


def test_few_blocks_only_describe():
    random = np.random.RandomState(1)
    few = rank_methods(values_of(random.rand(10, 3), "abc"))
    assert few.note == "Descriptive: 3 methods over only 10 blocks"
    assert rank_methods(values_of(random.rand(11, 3), "abc")).note == ""
    two = rank_methods(values_of([[3, 2, 1], [3, 2, 1]], "abc"))
    assert two.critical_difference > 2 and two.groups == (("a", "b", "c"),)
    assert two.note.endswith("could not be told apart")


def test_what_cannot_be_ranked_is_named(trees):
    with pytest.raises(MglibError, match=r"C4\.5\+cf has no finite value in dataset set 3"):
        rank_methods(trees.drop(index=3 * 4 + 2))
    assert len(rank_methods(trees.drop(index=3 * 4 + 2), methods=["C4.5", "C4.5+m"]).ranks) == 2
    lost = trees.assign(value=trees["value"].where(trees.index != 0))
    with pytest.raises(MglibError, match=r"C4\.5 has no finite value in dataset set 0"):
        rank_methods(lost)
    with pytest.raises(MglibError, match="two methods and two blocks; got 4 and 1"):
        rank_methods(trees[trees["dataset"] == "set 0"])
    with pytest.raises(MglibError, match="two methods and two blocks; got 1 and 14"):
        rank_methods(trees, methods=["C4.5"])
    with pytest.raises(MglibError, match="level between 0 and 1; got 3, 4 and 95"):
        critical_difference(3, 4, 95)


def test_the_table_gives_methods_the_letters_of_their_groups(trees):
    table = rank_table(rank_methods(trees, level=0.9)).set_index("Method")
    assert table["Average rank"].tolist() == ["1.96", "2.00", "2.89", "3.14"]
    assert table["Groups"].tolist() == ["a", "a", "a, b", "b"]


def lines(axes):
    return [(np.asarray(x.get_xdata()), np.asarray(x.get_ydata())) for x in axes.lines]


def test_the_diagram_shows_ranks_groups_and_the_critical_difference(trees):
    ranking = rank_methods(trees, level=0.9)
    figure = draw_ranks(ranking)
    (axes,) = figure.axes
    assert axes.get_xlim() == (1, 4) and "1 is the best" in axes.get_xlabel()
    dots = sorted(float(x[0]) for x, y in lines(axes) if len(x) == 1)
    assert dots == pytest.approx(list(ranking.ranks.values()))
    named = [text.get_text() for text in axes.texts]
    for name, rank in ranking.ranks.items():
        assert any(name in text.split() and f"{rank:.2f}" in text for text in named)
    bars = [line for line in axes.lines if str(line.get_gid()).startswith("group")]
    for bar, group in zip(bars, ranking.groups, strict=True):
        ends = [ranking.ranks[group[0]], ranking.ranks[group[-1]]]
        assert list(bar.get_xdata()) == pytest.approx(ends)
    lengths = [x[1] - x[0] for x, y in lines(axes) if len(x) == 2]
    assert np.isclose(lengths, ranking.critical_difference).any()
    assert "chi-squared 10.23, p = 0.017" in figure.get_supxlabel()
    assert as_svg(figure) == as_svg(draw_ranks(ranking))


def test_the_diagram_of_few_blocks_says_that_it_describes():
    figure = draw_ranks(rank_methods(values_of([[3, 2, 1], [3, 2, 1]], "abc")))
    assert "Descriptive: 3 methods" in figure.get_supxlabel()
    (axes,) = figure.axes
    assert any("more than the axis" in text.get_text() for text in axes.texts)
    assert max(float(x.max()) for x, _ in lines(axes)) <= 3.1
