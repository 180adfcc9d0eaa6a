"""The published tables as data: whole, consistent, and what can be counted in them."""

from __future__ import annotations

import numpy as np
import pytest

from mglib.analysis.published import (
    GENERALIZERS,
    SETTINGS,
    best_against_erm,
    counts_against_erm,
    published,
    published_averages,
)
from mglib.errors import MglibError
from mglib.trials.selection import RULES

CELL = ["setting", "selection", "perceptor", "algorithm", "dataset", "modality"]
MODALITIES = {
    "MSR-VTT": {"video", "audio", "text"},
    "NYUDv2": {"depth", "rgb", "text"},
    "VGGSound-S": {"video", "audio", "text"},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_cell_occurs_once_and_is_a_share_in_per_cent(setting):
    table = published(setting)
    assert table.columns.tolist() == [*CELL, "mean", "standard_error", "constant"]
    assert not table.duplicated(CELL).any() and set(table["setting"]) == {setting}
    assert set(table["selection"]) == set(RULES)
    assert set(table["perceptor"]) == {"ImageBind", "LanguageBind", "UniBind"}
    for dataset, own in table.groupby("dataset"):
        assert set(own["modality"]) == MODALITIES[dataset]
    known = table["mean"].dropna()
    assert known.between(0, 100).all() and table["constant"].notna().all()
    assert np.allclose(known, known.round(1)), "one decimal, as printed"
    whole = table[table["algorithm"].isin(GENERALIZERS)]
    assert whole["mean"].notna().all()
    datasets = 2 if setting == "strong_png" else 3
    assert len(whole) == 3 * 3 * 8 * datasets * 3


def test_errors_are_known_where_means_are_but_in_the_picture():
    for setting in ("weak", "strong_tex"):
        table = published(setting)
        assert (table["mean"].isna() == table["standard_error"].isna()).all()
    assert published("strong_png")["standard_error"].isna().all()
    assert len(published("weak")["algorithm"].unique()) == 11 + 2
    assert len(published("strong_tex")["algorithm"].unique()) == 11
    assert not published("strong_tex")["mean"].isna().any()


@pytest.mark.parametrize(("setting", "printed"), [("weak", 302), ("strong_tex", 297), (None, 144)])
def test_every_average_is_the_mean_of_its_cells(setting, printed):
    setting = setting or "strong_png"
    averages = published_averages(setting)
    own = CELL[:-1]
    cells = published(setting).groupby(own)["mean"].agg(["mean", "count"]).reset_index()
    both = averages.merge(cells, on=own)
    assert len(averages) == len(both) == printed and (both["count"] == 3).all()
    # Half a unit of the last decimal each: of the printed average and of the printed cells.
    assert (both["average"] - both["mean"]).abs().max() <= 0.05 + 0.05 + 1e-9


def test_the_constant_levels_are_where_the_baselines_stand_still():
    """OGM and DLMG learn nothing as published: their most frequent value is the level."""
    still = published("weak").query("algorithm in ['OGM', 'DLMG']")
    common = still.groupby(["dataset", "modality"])["mean"].agg(lambda x: x.mode()[0])
    levels = still.groupby(["dataset", "modality"])["constant"].first()
    assert len(levels) == 9 and common.to_dict() == levels.to_dict()


def test_how_often_the_best_method_beats_erm_beyond_the_noise():
    counts = counts_against_erm().set_index("dataset")
    assert counts["cells"].to_dict() == dict.fromkeys(MODALITIES, 27)
    assert counts["within"].to_dict() == {"MSR-VTT": 10, "NYUDv2": 8, "VGGSound-S": 19}
    cells = best_against_erm()
    assert (cells["gap"] >= 0).all() and cells.loc[cells["best"] == "ERM", "within"].all()
    row = cells.query(
        "selection == 'test-modality' and perceptor == 'ImageBind' and modality == 'rgb'"
    ).iloc[0]
    assert (row["best"], row["mean"], row["erm"]) == ("CDANN", 38.2, 26.5)
    assert row["noise"] == pytest.approx((3.9**2 + 0.9**2) ** 0.5) and not row["within"]


def test_no_method_reaches_the_constant_predictor_on_depth():
    table = published("weak")
    depth = table[(table["modality"] == "depth") & table["algorithm"].isin(GENERALIZERS)]
    assert len(depth) == 72 and depth["mean"].max() == 22.2
    assert (depth["mean"] < depth["constant"]).all() and set(depth["constant"]) == {22.3}


def test_the_two_strong_sets_differ_but_for_a_few_rows():
    own = ["selection", "perceptor", "algorithm", "dataset"]
    both = published("strong_tex").merge(published("strong_png"), on=[*own, "modality"])
    same = both.assign(same=both["mean_x"] == both["mean_y"]).groupby(own)["same"].all()
    assert same.groupby("dataset").agg(["sum", "size"]).values.tolist() == [[8, 72], [2, 72]]


def test_what_is_read_stays_as_it_is():
    table = published("weak")
    table.loc[0, ["mean", "constant"]] = 99.0
    assert published("weak").loc[0, ["mean", "constant"]].tolist() == [23.3, 11.1]


def test_unknown_settings_and_unknown_errors_are_named():
    with pytest.raises(MglibError, match="no published setting 'strong'; did you mean 'strong_"):
        published("strong")
    with pytest.raises(MglibError, match="weak"):
        published_averages("weka")
    with pytest.raises(MglibError, match="standard errors of the published setting 'strong_png'"):
        best_against_erm("strong_png")
