"""What is made of transfer rows: the choice of checkpoints, pairs, tables, ranks and figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from _small_body import Small, make_transfer

from mglib import registry
from mglib.analysis.pairs import holm
from mglib.analysis.statistics import Interval, interval_of, resampled_interval
from mglib.figures.transfer import (
    draw_curves,
    draw_discrepancy,
    draw_kept,
    draw_kept_against_error,
    draw_spaces,
)
from mglib.transfer.results.values import (
    before,
    beside_shorter,
    beyond_all,
    chosen,
    compare_to,
    curves,
    diverged,
    kept_against_error,
    listed,
    mean_gaps,
    mean_ranks,
    method_title,
    pair_grid,
    told_on,
    tuned,
    value_table,
)

SHARES = {"glyphs": 0.2, "speech": 0.2}


def measured(target, method, split, validation, test, probe=0.5):
    """The values of one run, whose checkpoints are 0, 1, 2, ..."""
    rows = []
    common = {"target": target, "method": method, "split_seed": split, "seed": 0}
    for step, (own, reported) in enumerate(zip(validation, test, strict=True)):
        for metric, part, value in (
            ("own", "validation", own),
            ("own", "test", reported),
            ("probe_accuracy", "test", probe - step / 100),
            ("davies_bouldin", "test", 5.0 + step),
            ("cka", "test", 1.0),
        ):
            key = f"{target}-{method}-{split}"
            rows.append(
                {
                    **common,
                    "key": key,
                    "step": step,
                    "part": part,
                    "metric": metric,
                    "value": value,
                }
            )
    return rows


def frame(*runs):
    found = pd.DataFrame([row for run in runs for row in run])
    found["target"] = pd.Categorical(found["target"], [*SHARES], ordered=True)
    return found


def several():
    """Three splits, two targets, two methods, with known differences of errors."""
    return frame(
        *(
            measured(target, method, split, [1.0, level + split / 100], [1.0, level + gap])
            for target, level in (("glyphs", 0.3), ("speech", 0.6))
            for method, gap in (("fine_tuning", 0.0), ("mona", 0.1 + 0.01 * (target == "speech")))
            for split in range(3)
        )
    )


def test_a_run_is_read_where_its_validation_error_is_least_and_never_by_its_test_error():
    run = measured("glyphs", "mona", 0, [0.9, 0.4, 0.4, 0.6], [0.9, 0.5, 0.1, 0.0])
    (row,) = chosen(frame(run)).to_dict("records")
    assert row["step"] == 1 and row["own"] == 0.5
    assert row["probe_accuracy"] == pytest.approx(0.49) and row["davies_bouldin"] == 6.0


def test_of_two_rates_the_one_with_less_validation_error_is_read_whatever_its_test_error():
    slow = frame(
        measured("glyphs", "mona", 0, [0.9, 0.4], [0.9, 0.1]),
        measured("speech", "mona", 0, [0.9, 0.2], [0.9, 0.7]),
    )
    fast = frame(
        measured("glyphs", "mona", 0, [0.9, 0.3], [0.9, 0.5]),
        measured("speech", "mona", 0, [0.9, float("nan")], [0.9, 0.0]),
    )
    fast["key"] += "-fast"
    values = tuned(chosen(pd.concat([slow, fast])))
    assert values["target"].tolist() == ["glyphs", "speech"]
    assert values["key"].tolist() == ["glyphs-mona-0-fast", "speech-mona-0"]
    assert values["own"].tolist() == [0.5, 0.7] and values["validation"].tolist() == [0.3, 0.2]


def test_shorter_runs_stand_beside_the_others_on_their_own_targets_and_splits_only():
    shorter = frame(
        measured("speech", "fine_tuning", 1, [1.0, 0.2], [1.0, 0.25]),
        measured("speech", "fine_tuning", 2, [1.0, 0.2], [1.0, 0.35]),
    )
    values = chosen(
        frame(
            *(
                measured(target, method, split, [1.0, 0.5], [1.0, level + split / 10])
                for target in SHARES
                for method, level in (("fine_tuning", 0.5), ("scratch", 0.7))
                for split in range(3)
            )
        )
    )
    beside = beside_shorter(values, chosen(shorter))
    assert list(beside.index) == ["speech"]
    assert dict(beside.loc["speech"]) == pytest.approx(
        {"fine_tuning": 0.65, "scratch": 0.85, "shorter": 0.3}
    )
    assert beside_shorter(values, chosen(shorter.iloc[:0])).empty


def test_a_run_that_diverged_is_read_before_it_did_or_left_out():
    nan = float("nan")
    part = measured("glyphs", "mona", 0, [0.9, 0.4, nan], [0.9, 0.5, nan])
    none = measured("glyphs", "mona", 1, [nan, nan], [nan, nan])
    values = chosen(frame(part, none))
    assert list(values["step"]) == [1] and list(values["split_seed"]) == [0]


def test_pairs_are_those_of_the_corrected_test_with_holm():
    values = chosen(several())
    values["own"] += np.where(values["method"] == "mona", values["split_seed"] / 1000, 0)
    compared = compare_to(values, SHARES)
    assert list(compared["method"]) == ["mona", "mona"]
    expected = resampled_interval([0.1, 0.101, 0.102], 0.2)
    own = compared.iloc[0]
    assert (own["mean"], own["low"]) == pytest.approx((expected.mean, expected.low))
    assert set(compared["verdict"]) == {"higher"}
    twice = pd.concat([values, values[values["method"] == "mona"].assign(method="warm_up")])
    apart, together = (compare_to(twice, SHARES, one_family=one) for one in (False, True))
    for found, families in ((apart, ["mona", "warm_up"]), (together, [["mona", "warm_up"]])):
        for family in families:
            own = found[found["method"].isin([family] if isinstance(family, str) else family)]
            assert own["p"].tolist() == pytest.approx(holm(own["raw"].tolist()))
    assert together["p"].max() > apart["p"].max()
    raw = pd.DataFrame({"raw": [0.02, 0.03, 0.5]})  # a third of 0.05 is less than the least
    assert (beyond_all(raw), beyond_all(raw[:1]), beyond_all(raw[:0])) == (0, 1, 0)
    assert beyond_all(together) == (together["verdict"] != "a tie").sum()
    titles = "line glyphs; speech spectrograms"
    assert told_on(compared, "mona", "higher") == listed(["glyphs", "speech"]) == titles
    assert told_on(compared, "mona", "lower") == told_on(compared, "orca", "higher") == "none"
    (shown,) = pair_grid(compared).to_dict("records")
    assert list(shown) == ["Method", "line glyphs", "speech spectrograms"]
    assert shown["Method"] == "MoNA" and shown["line glyphs"].startswith("**+10.1")
    assert not pair_grid(compared.assign(verdict="a tie"))["line glyphs"][0].startswith("*")
    assert list(pair_grid(compared.iloc[:0]).columns) == ["Method"]


def test_mean_gaps_are_over_the_splits_that_both_have():
    values = chosen(several())
    alone = values[(values["method"] == "mona") & (values["split_seed"] == 0)].assign(
        method="warm_up", own=lambda own: own["own"] + values["split_seed"].mean()
    )
    fine = values["method"] == "fine_tuning"
    values.loc[fine, "own"] += values.loc[fine, "split_seed"]  # 0, 1, 2: mean 1
    gaps = mean_gaps(pd.concat([values, alone]))
    assert gaps["mona"].tolist() == pytest.approx([0.1 - 1, 0.11 - 1])
    assert gaps["warm_up"].tolist() == pytest.approx([0.1 + 1, 0.11 + 1])  # of split 0 alone
    assert mean_gaps(values[~fine]).empty


def test_single_splits_have_no_interval_and_no_pair():
    values = chosen(frame(measured("glyphs", "fine_tuning", 0, [0.9, 0.4], [0.9, 0.5])))
    assert compare_to(values, SHARES).empty
    table = value_table(values, SHARES, ["fine_tuning", "mona"])
    assert list(table["line glyphs"]) == ["50.0", "–"]
    assert np.isnan(interval_of([0.5], 0.2).half)


def test_tables_have_a_column_for_each_target_and_ranks_are_of_means():
    values = chosen(several())
    table = value_table(values, SHARES, ["fine_tuning", "mona"])
    assert list(table.columns) == ["Method", "line glyphs", "speech spectrograms"]
    assert list(table["Method"]) == ["fine-tuning", "MoNA"]
    assert table["line glyphs"][0].startswith("30.0")
    assert mean_ranks(values).to_dict() == {"fine_tuning": 1.0, "mona": 2.0}
    assert method_title("mona@weight=0.3") == "MoNA (weight=0.3)"


def test_rows_become_curves_by_the_names_of_their_targets(monkeypatch):
    registry.bodies.names()
    monkeypatch.setitem(registry.bodies._found, "small", Small)
    trial = make_transfer("mona")
    columns = {**trial.columns(), "step": 5, "modality": "glyph", "split": "test"}
    rows = pd.DataFrame(
        [
            {**columns, "metric": "error", "value": 0.25},
            {**columns, "modality": "art", "metric": "cka", "value": 0.5},
            {**columns, "key": "another", "metric": "error", "value": 0.0},
        ]
    )
    found = curves(rows, {trial.key: trial}, ["speech", "glyphs"])
    assert list(found["target"]) == ["glyphs", "glyphs"]
    assert dict(zip(found["metric"], found["value"], strict=True)) == {"own": 0.25, "cka": 0.5}


def test_what_was_known_before_is_that_of_step_zero():
    start = before(several())
    assert list(start["split_seed"]) == [0, 1, 2]
    assert (start["probe_accuracy"] == 0.5).all() and (start["davies_bouldin"] == 5.0).all()


def test_figures_show_every_method_and_target():
    found = several()
    values = chosen(found)
    methods, targets = {"fine_tuning": "fine-tuning", "mona": "MoNA"}, dict.fromkeys(SHARES, "T")
    panels = [axes for axes in draw_curves(found, methods, targets).axes if axes.get_visible()]
    assert len(panels) == 2
    # three splits and their mean for each of two methods
    assert all(len(axes.lines) == 8 for axes in panels)
    mean = panels[0].lines[3]
    assert list(mean.get_ydata()) == pytest.approx([100, 30])
    lined = draw_curves(found, methods, targets, {"speech": 0.42}, "filter").axes[:2]
    assert [len(axes.lines) for axes in lined] == [8, 9]
    assert list(lined[1].lines[8].get_ydata()) == [42, 42]
    intervals = {(t, m): Interval(0.5, 0.4, 0.6, 3) for t in SHARES for m in methods}
    kept = draw_kept(values, intervals, 0.6, methods, targets, "art").axes[0]
    assert [text.get_text() for text in kept.get_yticklabels()] == ["T", "T"]
    assert kept.lines[0].get_xdata()[0] == 60
    points = pd.DataFrame(
        {
            "panel": ["a"] * 4 + ["b"] * 4,
            "class": [0, 0, 1, 1] * 2,
            "class_name": ["one", "one", "two", "two"] * 2,
            "x": range(8),
            "y": range(8),
            "davies_bouldin": 1.5,
            "low": 1.0,
            "high": 2.0,
        }
    )
    spaces = draw_spaces(points)
    titled = [axes.get_title(loc="left") for axes in spaces.axes if axes.get_visible()]
    assert titled == ["a", "b"]
    assert "1.50" in spaces.axes[0].get_xlabel()
    lost = pd.DataFrame(
        {
            "target": [*SHARES],
            "discrepancy": [0.8, 0.9],
            "low": [0.7, 0.8],
            "high": [0.9, 1.0],
            "lost": [0.1, 0.2],
            "lost_low": [0.0, 0.1],
            "lost_high": [0.2, 0.3],
        }
    )
    drawn = draw_discrepancy(lost, {"glyphs": "Glyphs", "speech": "Speech"}).axes[0]
    marks = [line for line in drawn.lines if line.get_marker() not in ("", "None", None)]
    assert [list(line.get_ydata()) for line in marks] == [[10], [20]]


def test_what_is_kept_against_the_error():
    found = frame(
        measured("glyphs", "fine_tuning", 0, [0.9, 0.5], [0.9, 0.5], probe=0.50),
        measured("glyphs", "mona", 0, [0.9, 0.4], [0.9, 0.4], probe=0.56),
        measured("speech", "fine_tuning", 0, [0.9, 0.5], [0.9, 0.6], probe=0.50),
        measured("speech", "scratch", 0, [0.9, 0.5], [0.9, 0.5], probe=0.50),
    )
    points = kept_against_error(chosen(found))
    assert points[["target", "split_seed"]].to_numpy().tolist() == [["glyphs", 0]]
    assert points["kept"].tolist() == pytest.approx([0.06])
    assert points["error"].tolist() == pytest.approx([0.8])
    axes = draw_kept_against_error(points, {"glyphs": "line glyphs"}).axes[0]
    mark = axes.lines[-1]
    assert mark.get_xdata().tolist() == pytest.approx([6.0])
    assert mark.get_ydata().tolist() == pytest.approx([0.8])
    alone = kept_against_error(chosen(found[found["method"] == "scratch"]))
    assert alone.empty


def test_runs_that_end_in_no_number_are_counted():
    nan = float("nan")
    sound = measured("glyphs", "mona", 0, [0.9, 0.4], [0.9, 0.5])
    lost = measured("glyphs", "mona", 1, [0.9, nan], [0.9, nan])
    found = frame(sound, lost)
    assert diverged(found) == 1 and diverged(frame(sound)) == 0
    values = chosen(found)
    assert values["step"].tolist() == [1, 0]  # the lost one is read untrained
