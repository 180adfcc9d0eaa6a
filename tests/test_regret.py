"""What selection rules lose, on hand-made rows: by hand, by definition, and as table and figure."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from mglib.analysis.held_out import percent
from mglib.analysis.regret import (
    AGAINST,
    ORACLE,
    regret_by_split,
    regret_intervals,
    regret_table,
    regrets,
)
from mglib.analysis.statistics import resampled_interval
from mglib.errors import MglibError
from mglib.figures.regret import draw_regret
from mglib.figures.style import as_svg
from mglib.trials.selection import RULES, published_parts

RUN = ["algorithm", "seed", "split_seed", "train"]
TITLES = [rule.title.capitalize() for rule in RULES.values()]


def grid(
    value, sizes=(1, 2), draws=(0, 1), steps=(1, 2), splits=(0, 1, 2), algorithm="erm", **more
):
    """Rows of every run on art, glyph and text; value(left, split_seed, draw, step, m, part)."""
    names = ("art", "glyph", "text")
    rows = []
    for size, split_seed, draw, step in itertools.product(sizes, splits, draws, steps):
        for left in itertools.combinations(names, size):
            rows += [
                {
                    "dataset": "d",
                    "perceptor": "p",
                    "algorithm": algorithm,
                    "variant": "corrected",
                    "train": "+".join(m for m in names if m not in left),
                    "seed": 0,
                    "split_seed": split_seed,
                    "draw": draw,
                    "step": step,
                    "modality": modality,
                    "split": part,
                    "metric": "accuracy",
                    "value": value(left, split_seed, draw, step, modality, part),
                    **more,
                }
                for modality in names
                for part in ("validation", "test")
            ]
    return pd.DataFrame(rows)


def by_rule(table, **where):
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table.set_index("rule")


# Test scores of (draw, step); validation of what is trained on likes the first, of what is left
# out besides the second, of the test modality the last step of the second draw.
TEST = {(0, 1): 0.5, (0, 2): 0.9, (1, 1): 0.3, (1, 2): 0.7}


def three_tastes(left, split_seed, draw, step, modality, part):
    if part == "test":
        return TEST[draw, step]
    if modality not in left:
        return float((draw, step) == (0, 1))
    if len(left) == 2:
        return float((draw, step) == (1, 1))
    return float((draw, step) == (1, 2))


def test_every_rule_loses_what_it_leaves_on_the_table():
    table = regrets(grid(three_tastes))
    assert len(table) == 3 * 3 * 3, "three modalities, splits and rules"
    own = by_rule(table, modality="art", split_seed=1)
    assert set(own["train"]) == {"glyph+text"} and set(own["reachable"]) == {0.9}
    score = {"training-modality": 0.5, "leave-one-modality-out": 0.3, "test-modality": 0.7}
    assert own["score"].to_dict() == score
    for rule, value in score.items():
        assert own.loc[rule, "regret"] == pytest.approx(0.9 - value)
        assert own.loc[rule, "behind_oracle"] == pytest.approx(0.7 - value)


def random_rows(random, **more):
    return grid(lambda *_: random.randint(9) / 8, draws=(0, 1, 2), **more)


def test_regrets_by_definition_on_random_rows():
    random = np.random.RandomState(0)
    rows = pd.concat(
        [random_rows(random), random_rows(random, algorithm="concat"), random_rows(random, seed=1)]
    )
    table = regrets(rows)
    behind = set()
    for rule, own in table.groupby("rule"):
        choice = RULES[rule].choose(rows)
        for row in own.itertuples():
            at = {name: getattr(row, name) for name in RUN}
            mine = rows.loc[(rows[list(at)] == pd.Series(at)).all(axis=1)]
            mine = mine[(mine["split"] == "test") & (mine["modality"] == row.modality)]
            picked = choice.loc[(choice[list(at)] == pd.Series(at)).all(axis=1)]
            draw, step = picked[["draw", "step"]].drop_duplicates().iloc[0]
            score = mine[(mine["draw"] == draw) & (mine["step"] == step)]["value"].item()
            assert row.modality not in row.train.split("+")
            assert row.reachable == mine["value"].max() and row.regret == row.reachable - score
            behind.add(np.sign(row.behind_oracle))
    assert (table["regret"] >= 0).all() and behind == {-1, 0, 1}
    assert (table.loc[table["rule"] == ORACLE, "behind_oracle"] == 0).all()
    assert len(table) == 3 * 3 * 3 * 3


def test_the_published_parts_report_the_large_one():
    rows = grid(lambda left, split, draw, step, m, part: (draw + step) / 4, splits=(0,))
    rows = rows.assign(split=rows["split"].map({"validation": "out", "test": "in"}))
    table = regrets(rows, parts=published_parts())
    assert (table["regret"] == 0).all() and set(table["reachable"]) == {0.75}


def test_a_rule_that_lacks_runs_has_a_dash_and_methods_that_do_not_learn_no_line():
    rows = grid(three_tastes, sizes=(1,))
    table = regrets(pd.concat([rows, grid(three_tastes, algorithm="majority")]))
    assert set(table["rule"]) == {"training-modality", ORACLE}
    assert set(table["method"]) == {"ERM"}
    line = regret_table(table, 0.2).iloc[0]
    assert line[TITLES[1]] == "–" and line[TITLES[0]].startswith("40.0")
    assert regret_table(table, 0.2, "behind_oracle").columns.tolist() == ["Method", *TITLES[:2]]


def test_one_missing_run_takes_the_method_from_the_rule():
    rows = pd.concat([grid(three_tastes), grid(three_tastes, algorithm="concat")])
    lost = (rows["algorithm"] == "erm") & (rows["train"] == "art") & (rows["split_seed"] == 2)
    found = regrets(rows[~lost]).groupby("rule")["algorithm"].unique().map(sorted).to_dict()
    both = ["concat", "erm"]
    assert found == {
        "training-modality": both,
        "leave-one-modality-out": ["concat"],
        ORACLE: both,
    }


def test_divergence_is_passed_over_as_a_candidate_and_refused_as_a_choice():
    def value(left, split_seed, draw, step, modality, part):
        if (draw, step) == (0, 2):
            return None
        return three_tastes(left, split_seed, draw, step, modality, part)

    table = regrets(grid(value))
    assert set(table["reachable"]) == {0.7}
    wild = grid(lambda left, split, *_: None if split == 1 and left == ("art",) else 0.5)
    with pytest.raises(MglibError, match=r"erm .corrected. trained on glyph\+text by training-mod"):
        regrets(wild)


def varied(left, split_seed, draw, step, modality, part):
    """The validation of what is trained on prefers the worse of two draws, by more each split."""
    if part == "test":
        return 0.5 - draw * 0.1 * (split_seed + 1) * (1 + (modality == "art"))
    return float(draw if modality not in left else 1 - draw)


def test_intervals_are_over_splits_of_means_over_modalities():
    lost = regrets(grid(varied))
    mean_of_split = [0.1 * (s + 1) * (1 + 1 + 2) / 3 for s in range(3)]
    values = by_rule(regret_by_split(lost))
    assert values.loc["training-modality", "value"].tolist() == pytest.approx(mean_of_split)
    found = by_rule(regret_intervals(lost, 0.2)).loc["training-modality"]
    wanted = resampled_interval(mean_of_split, 0.2)
    assert [found["mean"], found["low"], found["high"], found["splits"]] == pytest.approx(
        [wanted.mean, wanted.low, wanted.high, 3]
    )
    table = regret_table(lost, 0.2)
    assert table.columns.tolist() == ["Method", *TITLES]
    assert table.iloc[0][TITLES[0]] == percent(wanted)
    assert table.iloc[0][TITLES[2]].startswith("0.0")
    signed = regret_table(lost, 0.2, "behind_oracle")
    assert signed.iloc[0][TITLES[0]] == percent(wanted, signed=True)
    several = pd.concat([lost, lost.assign(dataset="e")])
    told = regret_table(several, 0.2)
    assert told["Dataset"].tolist() == ["d", "e"] and "Perceptor" not in told


def test_no_rows_no_lines():
    none = regrets(grid(varied).iloc[:0])
    assert none.empty and regret_intervals(none, 0.2).empty and regret_table(none, 0.2).empty


def test_unknown_measures_are_named():
    lost = regrets(grid(varied))
    with pytest.raises(MglibError, match="'regrets'; did you mean 'regret'"):
        regret_by_split(lost, "regrets")
    with pytest.raises(MglibError, match="measure"):
        draw_regret(regret_by_split(lost), regret_intervals(lost, 0.2), "behind")


@pytest.mark.parametrize("column", AGAINST)
def test_the_figure_shows_every_mean_with_its_splits(column):
    lost = regrets(pd.concat([grid(varied), grid(three_tastes, algorithm="concat")]))
    values, intervals = regret_by_split(lost, column), regret_intervals(lost, 0.2, column)
    figure = draw_regret(values, intervals, column)
    (axes,) = figure.axes
    assert axes.get_xlabel() == AGAINST[column] and "[points]" in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ERM", "Concat"]
    drawn = np.concatenate([np.asarray(line.get_xdata(), float) for line in axes.lines])
    for value in [*values["value"], *intervals["mean"]]:
        assert np.isclose(drawn, 100 * value).any()
    shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert shown == {RULES[rule].title for rule in values["rule"]}
    assert len(shown) == (3 if column == "regret" else 2)
    assert as_svg(figure) == as_svg(draw_regret(values, intervals, column))
