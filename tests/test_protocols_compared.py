"""The published protocol beside ours: what is scored, whom it is paired with, what a "±" is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from mglib.analysis.protocols import (
    AS_PUBLISHED,
    KNOWN,
    NEW,
    PUBLISHED_SHARE,
    diverged_runs,
    gap_interval,
    half_to_error,
    protocol_trials,
    scored_values,
    sharing_table,
    spread_table,
    spreads,
)
from mglib.analysis.statistics import resampled_interval, standard_error
from mglib.analysis.worlds import WORLDS

CHOSEN = {"validation": 0.5, "test": 0.1, "train": 0.9, "out": 0.5, "in": 0.7}
OTHER = {name: 0.3 for name in CHOSEN}  # the worse checkpoint: nothing of it may be reported


def rows_of(algorithm="erm", variant="corrected", lost=False, splits=(0, 1)):
    """Two checkpoints of one run per split that leaves `text` out; the second has better scores."""
    return pd.DataFrame(
        [
            {
                "dataset": "d",
                "perceptor": "p",
                "algorithm": algorithm,
                "variant": variant,
                "train": "art+glyph",
                "seed": 0,
                "split_seed": split_seed,
                "draw": 0,
                "step": step,
                "modality": modality,
                "split": part,
                "metric": "accuracy",
                "value": np.nan if lost else value + 0.01 * split_seed,
                "status": "diverged" if lost else "ok",
                "key": f"{algorithm}/{variant}/{split_seed}",
                "test_pattern": None,
            }
            for split_seed in splits
            for step, found in ((1, OTHER), (2, CHOSEN))
            for modality in ("art", "glyph", "text")
            for part, value in found.items()
        ]
    )


@pytest.mark.parametrize(("scored", "value"), [(NEW, 0.1), (KNOWN, 0.9), (AS_PUBLISHED, 0.7)])
def test_the_part_that_is_scored_of_the_checkpoint_that_was_chosen(scored, value):
    found = scored_values(rows_of(), scored)
    assert set(found["modality"]) == {"text"}, "the modality that was held out, and no other"
    assert found["value"].tolist() == pytest.approx([value, value + 0.01])


def test_under_the_published_protocol_the_out_part_chooses():
    rows = rows_of()
    rows.loc[(rows["step"] == 1) & (rows["split"] == "out"), "value"] = 0.6
    assert scored_values(rows, AS_PUBLISHED)["value"].tolist() == pytest.approx([0.3, 0.31])
    assert scored_values(rows, NEW)["value"].tolist() == pytest.approx([0.1, 0.11])


def test_a_method_that_diverged_is_left_out_and_counted():
    rows = pd.concat([rows_of(), rows_of("eqrm", "as_published", lost=True)])
    half = rows_of("irm")
    half.loc[half["step"] == 2, ["value", "status"]] = [np.nan, "diverged"]
    rows = pd.concat([rows, half])
    assert set(scored_values(rows, NEW)["method"]) == {"ERM", "IRM"}
    counts = diverged_runs(rows).set_index("algorithm")
    assert counts["runs"].to_dict() == {"erm": 2, "eqrm": 2, "irm": 2}
    assert counts["diverged"].to_dict() == {"erm": 0, "eqrm": 2, "irm": 2}


def values_of(values, method="ERM", modality="art"):
    return pd.DataFrame(
        {
            "modality": modality,
            "method": method,
            "split_seed": range(len(values)),
            "value": values,
        }
    )


def test_gaps_between_tables_are_paired_by_split():
    first, second = values_of([0.5, 0.7, 0.6]), values_of([0.4, 0.5, 0.3]).iloc[::-1]
    gap = gap_interval(first, second, "ERM", 0.2)
    assert gap.mean == pytest.approx(0.2)
    # Differences 0.1, 0.2, 0.3: deviation 0.1; a fifth tested: 1/3 + 1/4.
    assert gap.half == pytest.approx(t.ppf(0.975, 2) * 0.1 * (1 / 3 + 1 / 4) ** 0.5)


def test_what_shared_instances_give():
    new, known = values_of([0.40, 0.42, 0.38]), values_of([0.50, 0.52, 0.48])
    published = pd.concat([values_of([0.5, 0.3, 0.4]), values_of([0.1, 0.1, 0.1], "IRM")])
    table = sharing_table(new, known, published, ["ERM", "IRM"], 0.2)
    assert table["Learner"].tolist() == ["ERM"], "IRM has no values on disjoint splits"
    line = table.iloc[0]
    assert line["Known minus new"] == "+10.0\u00a0±\u00a00.0 (higher)"
    assert line["Published minus known"].startswith("−10.0") and "tie" in line.iloc[-1]


def test_three_readings_of_one_spread():
    values = pd.concat([values_of([0.1, 0.2, 0.3]), values_of([0.4, 0.6, 0.8], modality="text")])
    found = spreads(values, ["ERM"], PUBLISHED_SHARE).iloc[0]
    assert found["mean"] == pytest.approx(0.4)
    assert found["deviation"] == pytest.approx(0.15)  # of 0.1 and 0.2
    assert found["error"] == pytest.approx(0.15 * (2 / 3) ** 0.5 / 3**0.5)
    # As many scored as trained on: the variance of the mean is s^2 (1/3 + 1).
    assert found["half"] == pytest.approx(t.ppf(0.975, 2) * 0.15 * (4 / 3) ** 0.5)
    line = spread_table(pd.DataFrame([found])).iloc[0]
    assert line["Standard deviation"] == "40.0\u00a0±\u00a015.0"


def test_sgd_learners_go_at_the_pace_of_the_others_unless_they_are_not_hurried():
    methods = [("erm", "corrected"), ("concat", "corrected"), ("dlmg", "corrected")]
    common = {"split_seeds": range(2), "steps": 500, "checkpoints": 2, "lr": 1e-3}
    world = WORLDS["text_centred"]
    trials = protocol_trials(world, methods, splits="as_published", **common)
    assert len(trials) == 3 * 4 * 2 and {trial.splits for trial in trials} == {"as_published"}
    rates = {trial.algorithm: trial.values["lr"] for trial in trials}
    assert rates == pytest.approx({"erm": 1e-3, "concat": 1e-3, "dlmg": 2e-2})
    slow = protocol_trials(world, methods[2:], hurried=False, **common)
    assert {trial.values["lr"] for trial in slow} == {1e-3}
    single = protocol_trials(world, methods[:1], train=[["art"]], **common)
    assert {trial.train for trial in single} == {("art",)} and len(single) == 2
    assert single[0].checkpoints == (250, 500)


def test_half_an_interval_over_the_printed_error_hangs_on_no_value():
    for splits, share in ((3, 0.5), (5, 0.5), (4, 0.2)):
        values = np.random.RandomState(splits).randn(splits).tolist()
        ratio = resampled_interval(values, share).half / standard_error(values)
        assert half_to_error(splits, share) == pytest.approx(ratio)
    expected = t.ppf(0.975, 4) * np.sqrt(1 / 5 + 1) / np.sqrt(4 / 5 / 5)
    assert half_to_error(5, 0.5) == pytest.approx(expected)
