"""What a defect costs, from values made by hand, and the figure of printed and re-enacted rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mglib.analysis.burn_in import burn_in_runs, burn_in_table
from mglib.analysis.defects import (
    PRINTED,
    SGD,
    above,
    defect,
    defect_costs,
    defect_table,
    listed,
    published_above,
    published_table_above,
    told_above,
    variants_of,
)
from mglib.analysis.held_out import method_name
from mglib.analysis.pairs import corrected_t_test
from mglib.errors import MglibError
from mglib.figures.defects import VARIANTS, draw_published
from mglib.figures.style import PALETTE
from mglib.registry import algorithms

METHODS = [("concat", "corrected"), ("concat", "as_published"), ("mixup", "corrected")]
METHODS += [("mixup", "as_published"), ("eqrm", "corrected"), ("eqrm", "as_published")]


def values_of(found):
    """Values of three splits for every (algorithm, variant), in one modality."""
    return pd.DataFrame(
        [
            {"modality": "art", "method": name, "split_seed": split, "value": value}
            for name, own in found.items()
            for split, value in enumerate(own)
        ]
    )


@pytest.fixture
def values():
    return values_of(
        {
            "Majority class": [0.2, 0.2, 0.2],
            "Concat": [0.50, 0.52, 0.54],
            "Concat (as published)": [0.21, 0.20, 0.20],
            "Mixup": [0.5, 0.4, 0.5],
            "Mixup (as published)": [0.45, 0.5, 0.5],
            "EQRM": [0.4, 0.5, 0.6],
            "EQRM (as published)": [0.4, 0.5, 0.6],
        }
    )


def test_every_form_of_what_has_several():
    found = variants_of()
    names = {name for name, _ in found}
    assert {"concat", "ogm", "dlmg", "eqrm", "mixup", "urm", "adrmx"} <= names
    assert all((name, "corrected") in found for name in names) and "erm" not in names
    assert variants_of(["concat"]) == METHODS[:2]
    with pytest.raises(MglibError, match="'erm' has one form only; those with .* concat"):
        variants_of(["erm"])
    with pytest.raises(MglibError, match="'concatt'; did you mean 'concat'"):
        variants_of(["concatt"])


@pytest.mark.parametrize("method", [m for m in variants_of() if m[1] != "corrected"])
def test_every_defect_is_told_in_words_for_the_middle_of_a_line(method):
    told = defect(*method)
    assert told and told[0].islower() and not told.endswith(".") and "|" not in told


def test_what_a_variant_before_has_is_not_told_twice():
    assert "and as above" in defect("ogm", "as_published")
    assert len(defect("ogm", "as_published")) < len(algorithms.get("ogm").defects["as_published"])
    assert "no defect" in defect("mixup", "as_published")


def test_costs_are_corrected_minus_published_with_holms_correction(values):
    costs = defect_costs(values, METHODS, 0.2).set_index("algorithm")
    assert costs["verdict"].to_dict() == {"concat": "higher", "mixup": "a tie", "eqrm": "the same"}
    assert costs.loc["concat", "mean"] == pytest.approx((0.29 + 0.32 + 0.34) / 3)
    alone = corrected_t_test([0.29, 0.32, 0.34], 0.2)
    assert costs.loc["concat", "p_holm"] == pytest.approx(3 * alone.p)
    assert costs.loc["concat", "low"] == pytest.approx(alone.interval.low)
    assert costs.loc["eqrm", ["mean", "low", "high", "p_holm"]].tolist() == [0, 0, 0, 1]


def test_a_difference_that_does_not_survive_the_correction_is_a_tie():
    found = {"Concat": [0.5, 0.5, 0.5], "Concat (as published)": [0.40, 0.42, 0.38]}
    one = defect_costs(values_of(found), METHODS, 0.2)
    assert one["verdict"].tolist() == ["higher"] and 0.017 < one["p_holm"].iloc[0] < 0.05
    found |= {"Mixup": [0.5, 0.4, 0.5], "Mixup (as published)": [0.45, 0.5, 0.5]}
    found |= {"EQRM": [0.5, 0.4, 0.5], "EQRM (as published)": [0.45, 0.5, 0.5]}
    assert defect_costs(values_of(found), METHODS, 0.2)["verdict"].tolist() == ["a tie"] * 3


def test_a_form_without_values_is_left_out(values):
    rest = values[values["method"] != "Mixup (as published)"]
    assert defect_costs(rest, METHODS, 0.2)["algorithm"].tolist() == ["concat", "eqrm"]
    assert "Mixup (as published)" not in set(above(rest, METHODS, "Majority class", 0.2))


def test_the_table_and_the_lists_of_defects(values):
    costs = defect_costs(values, METHODS, 0.2)
    table = defect_table(values, costs, costs.iloc[:1], 0.2).set_index("Learner")
    line = table.loc["Concat (as published)"]
    assert line["With it"].startswith("20.3") and line["Corrected"].startswith("52.0")
    assert line["Cost"].startswith("+31.7") and line["Cost"].endswith("(higher)")
    assert line["Cost, published splits"] == line["Cost"]
    assert table.loc["EQRM (as published)", "Cost, published splits"] == "–"
    assert listed(costs, "higher") == "Concat (as published)"
    assert listed(costs, "a tie", "the same") == "Mixup (as published), EQRM (as published)"
    assert listed(costs, "lower") == "none"


def test_above_the_majority_class(values):
    gaps = above(values, METHODS[:2], "Majority class", 0.2)
    assert gaps["mean"].tolist() == pytest.approx([0.32, 0.01 / 3])
    assert gaps["low"].iloc[0] > 0 > gaps["low"].iloc[1]
    assert told_above(gaps).startswith("Concat +32.0") and ", Concat (as pub" in told_above(gaps)


def test_printed_rows_above_the_constant_level():
    found = published_above([*PRINTED])
    assert found.groupby("algorithm").size().to_dict() == dict.fromkeys(PRINTED, 9)
    own = found.set_index(["algorithm", "perceptor", "dataset"])["gap"]
    # (23.3 + 16.9 + 20.4) / 3 - (11.1 + 11.8 + 11.0) / 3, and the same of OGM.
    assert own["concat", "ImageBind", "MSR-VTT"] == pytest.approx(60.6 / 3 - 33.9 / 3)
    assert own["ogm", "ImageBind", "MSR-VTT"] == pytest.approx((33.4 - 33.9) / 3)
    still = found[found["algorithm"].isin(SGD)]["gap"].abs().max()
    assert still < 1 < own["erm"].min()
    assert set(SGD) == {n for n in PRINTED if "momentum" in algorithms.get(n).search}


def test_printed_and_re_enacted_side_by_side(values):
    ours = above(values, METHODS[:2], "Majority class", 0.2)
    titles = {"as_published": "As published", "aligned_rows": "Aligned", "corrected": "Corrected"}
    table = published_table_above(published_above(["concat"]), ours, titles)
    line = table.iloc[0]
    assert (line["Learner"], line["Aligned"]) == ("Concat", "–")
    assert line["Printed, least"].startswith(("+", "−")) and line["Corrected"].startswith("+32.0")


def test_the_figure_has_every_printed_cell_and_every_form(values):
    ours = above(values, METHODS[:2], "Majority class", 0.2)
    printed = published_above(["concat", "erm"])
    left, right = draw_published(printed, ours, {"concat": "Concat", "erm": "ERM"}).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["Concat", "ERM"]
    figure = left.figure
    assert "[points]" in figure.get_supxlabel() and left.get_ylabel() == "Learner"
    drawn = np.concatenate([np.asarray(line.get_xdata(), float) for line in left.lines])
    assert len(left.lines) == len(printed) + 1, "and the line at zero"
    assert all(np.isclose(drawn, gap).any() for gap in printed["gap"])
    drawn = np.concatenate([np.asarray(line.get_xdata(), float) for line in right.lines])
    for gap in ours[["mean", "low", "high"]].to_numpy().ravel():
        assert np.isclose(drawn, 100 * gap).any()
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"MSR-VTT", "ImageBind", *(look[0] for look in VARIANTS.values())} <= set(told)
    colours = {line.get_color() for axes in (left, right) for line in axes.lines}
    assert colours - {"#222222"} <= set(PALETTE.values())


def eqrm_rows(train, variant, burn_in, draw=0, lost_from=None, value=0.5):
    """Checkpoints 200, 400 and 600 of two splits; from step `lost_from` on all is diverged."""
    rows = []
    for split in range(2):
        for step in (200, 400, 600):
            lost = lost_from is not None and step >= lost_from
            for modality in ("art", "glyph", "text"):
                for part in ("validation", "test"):
                    rows.append(
                        {
                            "dataset": "d",
                            "perceptor": "p",
                            "algorithm": "eqrm",
                            "variant": variant,
                            "train": train,
                            "seed": 0,
                            "split_seed": split,
                            "draw": draw,
                            "step": step,
                            "modality": modality,
                            "split": part,
                            "metric": "accuracy",
                            "value": np.nan if lost else value + split / 100,
                            "status": "diverged" if lost else "ok",
                            "key": f"{train}/{variant}/{draw}/{split}",
                            "hparams": json.dumps({"eqrm_burnin_iters": burn_in}),
                            "test_pattern": None,
                        }
                    )
    return pd.DataFrame(rows)


@pytest.fixture
def eqrm():
    return pd.concat(
        [
            eqrm_rows("art", "corrected", 300.0),
            eqrm_rows("art", "as_published", 300.0, lost_from=400),
            eqrm_rows("art+glyph", "corrected", 300.0),
            eqrm_rows("art+glyph", "as_published", 300.0),
            eqrm_rows("art+glyph", "corrected", 81.25, draw=1, value=0.6),
            eqrm_rows("art+glyph", "as_published", 81.25, draw=1),
        ]
    )


def test_runs_end_where_the_burn_in_does(eqrm):
    runs = burn_in_runs(eqrm)
    assert len(runs) == 12 and runs["diverged"].sum() == 2
    assert set(runs.loc[runs["diverged"], "last_sound"]) == {200}
    assert set(runs.loc[~runs["diverged"], "last_sound"]) == {600}
    assert runs.groupby("draw")["whole"].all().to_dict() == {0: True, 1: False}
    assert runs.groupby("modalities").size().to_dict() == {1: 4, 2: 8}


def test_the_table_of_burn_ins(eqrm):
    table = burn_in_table(eqrm, 0.2)
    assert table["Trained on"].tolist() == ["1 modality", "2 modalities", "2 modalities"]
    assert table["Burn-in [steps]"].tolist() == ["300", "300", "81.25"]
    assert table["Renewed as published"].tolist() == ["2 of 2", "2 of 2", "0 of 2"]
    assert table["Diverged as published"].tolist() == ["2 of 2", "0 of 2", "0 of 2"]
    assert table["Diverged corrected"].tolist() == ["0 of 2"] * 3
    same, dearer = table["Cost"].tolist()[1:]
    assert table["Cost"].iloc[0] == "–" and same.endswith("(the same)")
    assert dearer.startswith("+10.0") and dearer.endswith("(higher)")


def test_an_eqrm_without_published_runs_has_no_cost(eqrm):
    table = burn_in_table(eqrm[eqrm["variant"] == "corrected"], 0.2)
    assert set(table["Cost"]) == {"–"} and table["Renewed as published"].iloc[0] == "0 of 0"
    assert method_name("eqrm", "as_published") == "EQRM (as published)"
