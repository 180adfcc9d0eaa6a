"""What rows of trials with a missing sequence say: chosen checkpoints, patterns, rates, tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from _sequences import made_virtual, virtual_training

from mglib.analysis.pairs import corrected_t_test, holm
from mglib.missing.results.stand_ins import against, at_every_rate, lacking, line_of, rate_table

pytestmark = pytest.mark.usefixtures("one_thread")
ALONE, ZEROS = line_of("alone", "none"), line_of("zeros", "none")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Rows and trials: alone at one rate, zeros at two, over three splits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MGLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        groups = [
            [made_virtual("alone", rate=1.0, split=split) for split in range(3)],
            [made_virtual("zeros", rate=r, split=split) for r in (0.5, 1.0) for split in range(3)],
        ]
        rows = []
        for trials in groups:
            training = virtual_training(trials)
            training.run()
            rows += training.rows()
    return pd.DataFrame(rows), {trial.key: trial for trials in groups for trial in trials}


def test_values_are_those_of_the_chosen_checkpoint(said):
    frame, trials = said
    found = lacking(frame, trials)
    assert len(found) == 9 * 2 and set(found["line"]) == {ALONE, ZEROS}
    assert set(found["present"]) == {"accelerometer"} and set(found["missing"]) == {"gyroscope"}
    for own in found.itertuples():
        rows = frame[frame["key"] == own.key]
        held = rows[(rows["split"] == "validation") & (rows["metric"] == "accuracy")]
        assert own.step == held.loc[held["value"].idxmax(), "step"]
        test = rows[(rows["split"] == "test") & (rows["step"] == own.step)]
        test = test[test["test_pattern"] == ("none" if own.complete else "victim")]
        values = dict(zip(test["metric"], test["value"], strict=True))
        assert (own.accuracy, own.cross_entropy) == (values["accuracy"], values["cross_entropy"])
        trial = trials[own.key]
        assert (own.rate, own.split_seed) == (trial.rate, trial.split_seed)
    alone = found[found["line"] == ALONE].pivot_table(
        index="split_seed", columns="complete", values="accuracy"
    )
    assert (alone[True] == alone[False]).all()


def test_what_no_rate_changes_stands_at_every_rate(said):
    found = lacking(*said)
    everywhere = at_every_rate(found[~found["complete"]], [ALONE], [0.5, 1.0])
    assert len(everywhere) == 3 * 4
    own = everywhere[everywhere["line"] == ALONE]
    by_rate = own.pivot_table(index="split_seed", columns="rate", values="accuracy")
    assert (by_rate[0.5] == by_rate[1.0]).all()
    table = rate_table(found[~found["complete"]], {ALONE: "alone", ZEROS: "zeros"}, [0.5, 1.0], 0.2)
    assert [*table.columns] == ["Stand-in", "50 %", "100 %"]
    assert table.iloc[0, 1] == "–" and "±" in table.iloc[0, 2] and "±" in table.iloc[1, 1]


def made_values():
    """Accuracies by line, rate and split; what is matched was not asked at rate 1."""
    random = np.random.RandomState(0)
    pairs = [("pooled", "none"), ("pooled", "pooled"), ("frames", "none"), ("frames", "frames")]
    return pd.DataFrame(
        [
            (stand_in, matching, rate, split, 0, random.rand())
            for stand_in, matching in pairs
            for rate in (0.0, 1.0)
            for split in range(4)
            if rate < 1 or matching == "none"
        ],
        columns=["stand_in", "matching", "rate", "split_seed", "seed", "accuracy"],
    )


def test_contrasts_are_over_common_rates_and_corrected_over_the_question():
    values = made_values()
    found = against(values, "matching", "none", ["stand_in"], 0.2)
    assert [*zip(found["stand_in"], found["matching"], strict=True)] == [
        ("pooled", "pooled"),
        ("frames", "frames"),
    ]
    raw = []
    for own in found.itertuples():
        here = values[(values["stand_in"] == own.stand_in) & (values["rate"] == 0)]
        table = here.pivot_table(index="split_seed", columns="matching", values="accuracy")
        gaps = table[own.matching] - table["none"]
        assert own.mean == pytest.approx(gaps.mean())
        raw.append(corrected_t_test(gaps.tolist(), 0.2).p)
    assert [*found["p"]] == pytest.approx(holm(raw))
    level = against(values, "stand_in", "pooled", ["matching"], 0.2)
    assert [*level["matching"]] == ["none"]  # by frames there is no summary to compare with
    by_split = values[values["matching"] == "none"].pivot_table(
        index="split_seed", columns="stand_in", values="accuracy"
    )
    (own,) = level.itertuples()
    assert own.mean == pytest.approx((by_split["frames"] - by_split["pooled"]).mean())
    for empty in (values[values["split_seed"] == 0], values[values["matching"] != "none"]):
        assert against(empty, "matching", "none", ["stand_in"], 0.2).empty
