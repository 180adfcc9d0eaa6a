"""What random search does: variance components by closed form, tables and figure by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway

from mglib.analysis.held_out import percent
from mglib.analysis.regret import regrets
from mglib.analysis.search import (
    TRIALS,
    Components,
    draw_values,
    drawn_table,
    gain,
    gain_table,
    rule_values,
    searched_values,
    spread_table,
    variance_components,
)
from mglib.analysis.statistics import resampled_interval
from mglib.errors import MglibError
from mglib.figures.search import draw_search
from mglib.figures.style import as_svg
from mglib.trials.selection import RULES

NAMES = ("art", "glyph", "text")


def grid(value, sizes=(1,), draws=(0, 1, 2), splits=(0, 1, 2), algorithm="erm", steps=(1, 2)):
    """Rows of every run on three modalities; value(left, split_seed, draw, step, m, part)."""
    rows = []
    for size, split_seed, draw, step in itertools.product(sizes, splits, draws, steps):
        for left in itertools.combinations(NAMES, size):
            rows += [
                {
                    "dataset": "d",
                    "perceptor": "p",
                    "algorithm": algorithm,
                    "variant": "corrected",
                    "train": "+".join(m for m in NAMES if m not in left),
                    "seed": 0,
                    "split_seed": split_seed,
                    "draw": draw,
                    "step": step,
                    "modality": modality,
                    "split": part,
                    "metric": "accuracy",
                    "value": value(left, split_seed, draw, step, modality, part),
                    "test_pattern": None,
                    "key": "k",
                }
                for modality in NAMES
                for part in ("validation", "test")
            ]
    return pd.DataFrame(rows)


def test_components_by_closed_form():
    """Draws +-a and splits +-b, rest +-c: squares by hand, each with one degree of freedom."""
    a, b, c = 0.3, 0.2, 0.05
    table = 0.5 + np.array([[a + b + c, a - b - c], [-a + b - c, -a - b + c]])
    found = variance_components(table)
    rest = 4 * c**2
    assert found.rest == pytest.approx(rest)
    assert found.draws == pytest.approx((4 * a**2 - rest) / 2)
    assert found.splits == pytest.approx((4 * b**2 - rest) / 2)
    # F with 1 and 1 degrees of freedom is the square of Cauchy's law.
    ratio = (4 * a**2 / rest) ** 0.5
    assert found.p == pytest.approx(1 - 2 / np.pi * np.arctan(ratio))


def test_draws_alone_are_tested_as_in_the_analysis_of_paired_values():
    """Two draws: the F test is the paired t test; with no split effect its squares are one-way."""
    from scipy.stats import ttest_rel

    table = np.random.RandomState(0).rand(2, 6) + np.array([[0], [1]])
    assert variance_components(table).p == pytest.approx(ttest_rel(*table).pvalue)
    centred = table - table.mean(0) + table.mean()
    one_way = f_oneway(*centred).statistic
    found = variance_components(centred)
    # One way leaves 10 degrees of freedom where two ways leave 5.
    assert (found.draws * 6 + found.rest) / found.rest == pytest.approx(one_way / 2)


def test_components_are_found_again_in_many_draws_and_splits():
    random = np.random.RandomState(0)
    draws, splits = random.randn(400, 1), random.randn(1, 300)
    found = variance_components(3 * draws + 2 * splits + random.randn(400, 300))
    spreads = [part**0.5 for part in (found.draws, found.splits, found.rest)]
    assert spreads == pytest.approx([3, 2, 1], rel=0.15) and found.p < 1e-6


@pytest.mark.parametrize(
    ("table", "which", "p"),
    [
        ([[0.1, 0.1], [0.7, 0.7]], "draws", 0.0),
        ([[0.1, 0.7], [0.1, 0.7]], "splits", 1.0),
        ([[0.1, 0.1], [0.1, 0.1]], "", 1.0),
    ],
)
def test_of_one_spread_nothing_is_left_for_the_others(table, which, p):
    found = variance_components(np.array(table))
    parts = {"draws": found.draws, "splits": found.splits, "rest": found.rest}
    assert {name for name, value in parts.items() if value > 0} == ({which} if which else set())
    assert found.p == p
    if which:
        assert parts[which] == pytest.approx(0.18)


def test_no_component_is_below_zero():
    found = variance_components(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert (found.draws, found.splits, found.rest) == (0, 0, 1) and found.p == 1


@pytest.mark.parametrize("table", [np.ones((1, 3)), np.ones((3, 1)), np.full((2, 2), np.nan)])
def test_components_need_a_table(table):
    with pytest.raises(MglibError, match="at least two draws in at least two splits"):
        variance_components(table)


def test_the_draws_spread_counts_only_where_they_are_drawn_anew():
    found = Components(draws=9.0, splits=2.0, rest=1.0, p=0.0)
    assert found.plus_minus(3, anew=False) == 1 and found.plus_minus(3, anew=True) == 2


def tasted(left, split_seed, draw, step, modality, part):
    """Draw 2 is liked by what is trained on and best at test; step 1 is liked, step 2 better."""
    if part == "test":
        return 0.4 + 0.1 * draw + 0.01 * split_seed + 0.2 * (step == 2) + 0.03 * (modality == "art")
    return 0.5 + 0.1 * draw - 0.2 * (step == 2) if modality not in left else 0.0


def test_every_draw_is_scored_at_the_step_that_its_training_modalities_prefer():
    values = draw_values(grid(tasted, sizes=(1, 2)))
    assert len(values) == 3 * 3 and set(values["method"]) == {"ERM"}
    for row in values.itertuples():
        assert row.value == pytest.approx(0.4 + 0.1 * row.draw + 0.01 * row.split_seed + 0.01)


def test_a_diverged_draw_has_no_value_and_leaves_the_table():
    def value(left, split_seed, draw, step, modality, part):
        lost = (left, split_seed, draw) == (("art",), 1, 2) or (draw, step) == (1, 1)
        return None if lost else tasted(left, split_seed, draw, step, modality, part)

    values = draw_values(grid(value))
    found = values.set_index(["draw", "split_seed"])["value"]
    assert found.isna().sum() == 1 and np.isnan(found[2, 1])
    assert found[1, 0] == pytest.approx(0.71), "its first step diverged, the second did not"
    assert drawn_table(values, "ERM") == pytest.approx(np.array([[0.71, 0.72, 0.73]]))
    table = spread_table(values, ["ERM"])
    assert table.iloc[0].tolist() == ["ERM", 1, *["–"] * 6]


def test_spreads_in_points_and_the_published_errors():
    rows = pd.concat([grid(tasted), grid(tasted, algorithm="concat", draws=(0, 1))])
    table = spread_table(draw_values(rows), ["ERM", "Concat"])
    first, second = table.to_dict("records")
    found = variance_components(np.array([[0.51, 0.52, 0.53], [0.61, 0.62, 0.63]]))
    assert first["Draws"] == 2 and first["p (draws)"] == "< 0.001"
    assert first["Between draws"] == percent(found.draws**0.5) == "7.1"
    assert (first["Between splits"], first["Rest"]) == ("1.0", "0.0")
    assert first["± one draw"] == percent(found.plus_minus(TRIALS, False)) == "0.6"
    assert first["± new draws"] == percent((found.draws / 3 + found.splits / 3) ** 0.5) == "4.1"
    assert second["Draws"] == 1 and second["Rest"] == "–"


def test_what_the_search_gains_is_paired_by_split():
    def value(left, split_seed, draw, step, modality, part):
        more = 0.02 * split_seed * (draw == 2) if part == "test" else 0.0
        return tasted(left, split_seed, draw, step, modality, part) + more

    defaults, searched = searched_values(grid(value, sizes=(1, 2)))
    found = gain(defaults, searched, "ERM", 0.2)
    wanted = resampled_interval([0.2, 0.22, 0.24], 0.2)
    assert (found.mean, found.low) == pytest.approx((wanted.mean, wanted.low))
    (line,) = gain_table(defaults, searched, ["ERM"], 0.2).to_dict("records")
    assert line["Difference"] == percent(wanted, signed=True) and line["Verdict"] == "higher"
    assert line["Defaults"].startswith("42.0") and line["Searched"].startswith("64.0")


def test_rules_are_compared_on_the_methods_that_all_of_them_have():
    whole = grid(tasted, sizes=(1, 2))
    rows = pd.concat([whole, grid(tasted, algorithm="concat", draws=(0, 1))])
    lost = regrets(rows)
    assert set(lost["method"]) == {"ERM", "Concat"}
    values = rule_values(lost)
    titles = [rule.title.capitalize() for rule in RULES.values()]
    assert list(dict.fromkeys(values["method"])) == titles
    alone = regrets(whole)
    for name, title in zip(RULES, titles, strict=True):
        own = alone[alone["rule"] == name].groupby("split_seed")["regret"].mean()
        assert values[values["method"] == title]["value"].tolist() == pytest.approx(own.tolist())


def test_without_crossed_runs_two_rules_are_left_and_all_methods():
    rows = pd.concat([grid(tasted), grid(tasted, algorithm="concat", draws=(0, 1))])
    values = rule_values(regrets(rows))
    # The first rule loses the 0.2 of step 2; the oracle, to which all look alike, takes
    # the defaults at step 2 and loses 0.1 for each draw that is better.
    assert values["value"].tolist() == pytest.approx([0.2] * 3 + [0.15] * 3)


def test_the_figure_shows_every_draw_the_defaults_and_the_choice():
    rows = pd.concat([grid(tasted), grid(tasted, algorithm="concat")])
    draws = draw_values(rows)
    draws.loc[draws.index[-1], "value"] = np.nan
    _, chosen = searched_values(rows)
    chosen = chosen.groupby(["method", "split_seed"], as_index=False)["value"].mean()
    figure = draw_search(draws, chosen, ["ERM", "Concat"])
    (axes,) = figure.axes
    assert "[%]" in axes.get_xlabel() and axes.get_ylabel() == "Method"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ERM", "Concat"]
    marks = [line for line in axes.lines if line.get_marker() != "None"]
    drawn = np.sort(np.concatenate([np.asarray(line.get_xdata(), float) for line in marks]))
    wanted = np.sort(100 * np.concatenate([draws["value"].dropna(), chosen["value"]]))
    assert drawn == pytest.approx(wanted)
    strokes = {line.get_xdata()[0] for line in axes.lines if line.get_marker() == "None"}
    mean = 100 * chosen.loc[chosen["method"] == "ERM", "value"].mean()
    assert any(np.isclose(mean, stroke) for stroke in strokes) and len(strokes) >= 3
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["random draws", "defaults", "chosen among all"]
    assert as_svg(figure) == as_svg(draw_search(draws, chosen, ["ERM", "Concat"]))
