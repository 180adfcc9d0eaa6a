"""From strong to weak by pairs: means, the best method, how many pairs are enough, the figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mglib.analysis.ladder import (
    best_anchored,
    enough,
    gap_table,
    gaps,
    in_words,
    ladder_table,
    rung_intervals,
    rung_values,
)
from mglib.analysis.statistics import Interval, resampled_interval
from mglib.analysis.strong import rungs
from mglib.errors import MglibError
from mglib.figures.ladder import LEVELS, draw_ladder
from mglib.figures.style import as_svg

SHARE = 0.2
HEIGHT = {"Moments": 0.2, "Transport": 0.25, "Procrustes": 0.3, "Ridge": 0.31, "Relative": 0.9}


@pytest.fixture
def steps():
    """Two modalities and three splits; accuracies rise with the method, pairs and split."""
    ladder = rungs([5, 20], [20])
    values = pd.DataFrame(
        [
            {
                "sight": rung.sight.title,
                "modality": modality,
                "method": "ERM",
                "split_seed": split_seed,
                "value": HEIGHT[rung.method] + rung.pairs / 100 + 0.01 * split_seed + shift,
            }
            for rung in ladder
            for modality, shift in (("art", 0.1), ("text", -0.1))
            for split_seed in range(3)
        ]
    )
    elsewhere = values.assign(sight="One space", value=0.0)
    return rung_values(pd.concat([values, elsewhere]), ladder)


def test_rungs_are_means_over_modalities(steps):
    assert len(steps) == 9 * 3
    own = steps[(steps["method"] == "Ridge") & (steps["pairs"] == 20)].sort_values("split_seed")
    assert own["value"].tolist() == pytest.approx([0.51, 0.52, 0.53])


def test_intervals_are_those_of_the_splits(steps):
    table = rung_intervals(steps, SHARE).set_index(["method", "pairs"])
    expected = resampled_interval([0.51, 0.52, 0.53], SHARE)
    assert table.loc[("Ridge", 20), ["mean", "low", "high"]].tolist() == pytest.approx(
        [expected.mean, expected.low, expected.high]
    )
    assert (table["splits"] == 3).all()


def test_the_best_is_chosen_by_other_splits_and_never_relative(steps):
    best = best_anchored(steps)
    assert best.index.tolist() == [0, 5, 20] and best.columns.tolist() == [0, 1, 2]
    assert best.loc[0].tolist() == pytest.approx([0.25, 0.26, 0.27]), "transport without pairs"
    assert best.loc[20].tolist() == pytest.approx([0.51, 0.52, 0.53])
    # Procrustes by chance far ahead in split 0: the other splits still prefer ridge there.
    lucky = steps.copy()
    lucky.loc[
        (lucky["method"] == "Procrustes") & (lucky["pairs"] == 5) & (lucky["split_seed"] == 0),
        "value",
    ] = 0.99
    assert best_anchored(lucky).loc[5, 0] == pytest.approx(0.36)


def test_a_method_that_lacks_a_split_is_no_rival(steps):
    lost = (steps["method"] == "Ridge") & (steps["pairs"] == 5) & (steps["split_seed"] == 1)
    with pytest.raises(MglibError, match="Ridge with 5 pairs"):
        best_anchored(steps[~lost])


def test_gaps_are_paired_by_split(steps):
    other = pd.Series({split: 0.5 + 0.01 * split for split in (2, 0, 1)})
    found = gaps(best_anchored(steps), other, SHARE)
    assert [*found] == [0, 5, 20]
    assert found[20].mean == pytest.approx(0.01)
    assert found[20].half == pytest.approx(0, abs=1e-12), "the splits move together"
    assert [found[pairs].sign for pairs in (0, 5, 20)] == [-1, -1, 1]


def interval(sign):
    """An interval of some sign."""
    return Interval(sign, sign - 0.5, sign + 0.5, 5)


@pytest.mark.parametrize(
    ("signs", "sign", "expected"),
    [
        ({0: -1, 5: 0, 20: 0}, 0, 5),
        ({0: -1, 5: 0, 20: -1, 50: 1}, 0, 50),
        ({0: 0, 5: 1, 20: 1}, 1, 5),
        ({0: 0, 5: 0}, 1, None),
        ({20: 1, 0: 1, 5: 1}, 1, 0),
    ],
)
def test_enough_means_from_there_on(signs, sign, expected):
    assert enough({pairs: interval(own) for pairs, own in signs.items()}, sign) == expected


def test_numbers_in_words():
    assert [in_words(n) for n in (0, 1000, None)] == ["0", "1,000", "none of those asked"]


def test_tables_hold_every_rung_and_both_comparisons(steps):
    table = ladder_table({"World": rung_intervals(steps, SHARE)})
    assert table.columns.tolist() == ["World", "Method", "0", "5", "20"]
    own = table.set_index("Method")
    assert own.loc["Moments", ["5", "20"]].tolist() == ["–", "–"]
    assert own.loc["Transport", "5"] == "–" and own.loc["Transport", "20"].startswith("46.0")
    assert own.loc["Relative", "0"] == "–"
    differences = {0: interval(-1), 5: interval(0)}
    lines = gap_table({"World": (differences, {0: interval(-1), 5: interval(1)})})
    assert lines["Against strong"].tolist() == ["lower", "a tie"]
    assert lines["Against weak"].tolist() == ["lower", "higher"]
    assert lines["Pairs"].tolist() == ["0", "5"]


def test_the_figure_shows_every_mean_its_interval_and_the_levels(steps):
    table = rung_intervals(steps, SHARE)
    levels = {"Supervised": 0.9, "Weak": 0.6, "Strong": 0.3, "Majority class": 0.1}
    figure = draw_ladder({"One": table, "Two": table}, {"One": levels, "Two": levels})
    assert len(figure.axes) == 2
    for axes, world in zip(figure.axes, ("One", "Two"), strict=True):
        assert axes.get_title() == world and axes.get_xscale() == "symlog"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "5", "20"]
        assert axes.get_xlim()[0] < 0, "no pairs stand at the left, inside"
        flat = [line for line in axes.lines if len(set(line.get_ydata())) == 1]
        heights = [float(line.get_ydata()[0]) for line in flat[: len(LEVELS)]]
        assert heights == pytest.approx([90, 60, 30, 10])
        assert len(axes.containers) == 5
        for container in axes.containers:
            method, (line, _, (bars,)) = container.get_label(), container.lines
            own = table[table["method"] == method].sort_values("pairs")
            np.testing.assert_allclose(np.asarray(line.get_ydata(), float), 100 * own["mean"])
            np.testing.assert_allclose(np.asarray(line.get_xdata(), float), own["pairs"], 0.2, 0.2)
            ends = np.array([segment[:, 1] for segment in bars.get_segments()])
            np.testing.assert_allclose(ends, 100 * own[["low", "high"]].to_numpy(float))
    assert "[%]" in figure.get_supylabel() and "Pairs" in figure.get_supxlabel()
    again = draw_ladder({"One": table, "Two": table}, {"One": levels, "Two": levels})
    assert as_svg(figure) == as_svg(again)
