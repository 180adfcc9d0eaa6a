"""From hand-made rows to the result: what counts as held out, averages, differences, tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mglib.analysis.held_out import (
    SUPERVISED,
    accuracy_table,
    held_out_intervals,
    held_out_values,
    method_interval,
    method_name,
    paired_difference,
    percent,
    recall_table,
    share_of_way,
    verdict,
)
from mglib.analysis.statistics import Interval, resampled_interval
from mglib.errors import MglibError

MODALITIES = ["art", "glyph"]


def chosen():
    """Test rows of erm and concat on art+glyph, of erm alone on each, over 3 splits and 2 seeds."""
    rows = []
    for split_seed in range(3):
        for seed in range(2):
            for algorithm, train, value in [
                ("erm", "glyph+speech", 0.5),
                ("concat", "glyph+speech", 0.6),
                ("erm", "art", 0.9),
                ("majority", "glyph+speech", 0.2),
            ]:
                for modality in ("art", "glyph", "speech"):
                    for split in ("validation", "test"):
                        rows.append(
                            {
                                "dataset": "d",
                                "perceptor": "p",
                                "variant": "corrected",
                                "algorithm": algorithm,
                                "train": train,
                                "modality": modality,
                                "split": split,
                                "metric": "accuracy",
                                "seed": seed,
                                "split_seed": split_seed,
                                "value": value + 0.01 * split_seed + 0.1 * seed
                                if split == "test"
                                else 0.0,
                            }
                        )
    return pd.DataFrame(rows)


def test_only_unseen_modalities_and_the_supervised_bound_count():
    values = held_out_values(chosen(), "erm")
    assert set(values["modality"]) == {"art"}, "glyph is in every training set of two"
    assert set(values["method"]) == {"ERM", "Concat", "Majority class", SUPERVISED}
    erm = values[values["method"] == "ERM"].sort_values("split_seed")["value"].tolist()
    assert erm == pytest.approx([0.55, 0.56, 0.57]), "seeds are averaged, splits are not"


def test_intervals_and_differences_are_those_of_the_splits():
    values = held_out_values(chosen(), "erm")
    table = held_out_intervals(values, ["art"], ["ERM", SUPERVISED], 0.2)
    expected = resampled_interval([0.55, 0.56, 0.57], 0.2)
    assert table.iloc[0][["mean", "low", "high"]].tolist() == pytest.approx(
        [expected.mean, expected.low, expected.high]
    )
    gap = paired_difference(values, "art", SUPERVISED, "ERM", 0.2)
    assert (gap.mean, gap.half) == pytest.approx((0.4, 0), abs=1e-9)
    assert verdict(gap) == "higher"


@pytest.fixture
def two_methods():
    random = np.random.RandomState(0)
    return pd.DataFrame(
        [
            {"modality": m, "method": method, "split_seed": s, "value": random.rand()}
            for m in MODALITIES
            for method in ("A", "B")
            for s in range(4)
        ]
    )


def test_the_table_has_a_line_per_method_and_a_column_for_the_mean(two_methods):
    intervals = held_out_intervals(two_methods, MODALITIES, ["A", "B"], 0.2)
    table = accuracy_table(two_methods, intervals, 0.2)
    assert table.columns.tolist() == ["Method", "art", "glyph", "mean"]
    assert table["Method"].tolist() == ["A", "B"]
    overall = two_methods.groupby(["method", "split_seed"])["value"].mean()
    assert table.iloc[1]["mean"] == percent(resampled_interval(overall["B"].tolist(), 0.2))
    own = two_methods.query("method == 'A' and modality == 'glyph'")["value"].tolist()
    assert table.iloc[0]["glyph"] == percent(resampled_interval(own, 0.2))


@pytest.mark.parametrize("variant", ["corrected", "as_published"])
def test_a_variant_is_named_unless_it_is_the_first(variant):
    name = method_name("mixup", variant)
    assert name == {"corrected": "Mixup", "as_published": "Mixup (as published)"}[variant]


def test_a_diverged_seed_does_not_flatter_its_method():
    rows = chosen()
    erm = (rows["algorithm"] == "erm") & (rows["train"] == "glyph+speech")
    lost = erm & (rows["seed"] == 1) & (rows["split_seed"] == 2)
    rows.loc[lost, "value"] = None
    rows["key"] = "abc"
    with pytest.raises(MglibError, match="ERM on art diverged in split 2, seed 1"):
        held_out_values(rows, "erm")


def test_the_way_between_the_bounds():
    values = pd.DataFrame(
        [
            {"modality": "art", "method": method, "split_seed": s, "value": value + 0.1 * s}
            for s in range(3)
            for method, value in (("low", 0.2), ("A", 0.5), ("high", 0.6))
        ]
    )
    share = share_of_way(values, "A", "low", "high", 0.2)
    assert (share.mean, share.half) == pytest.approx((0.75, 0), abs=1e-9)
    assert method_interval(values, None, "A", 0.2).mean == pytest.approx(0.6)
    same = values.assign(value=0.5)
    assert percent(share_of_way(same, "A", "low", "high", 0.2)) == "undefined", "no way to measure"


def test_recall_without_a_cosine_is_a_dash():
    rows = [
        {
            "perceptor": perceptor,
            "modality": m,
            "split_seed": s,
            "value": 0.4 + 0.1 * s,
            "n": 100,
            "hparams": '{"gallery": "text", "k": 3}',
        }
        for perceptor in ("frozen", "bound")
        for m in MODALITIES
        for s in range(2)
        if (perceptor, m) != ("frozen", "art")
    ]
    table = recall_table(pd.DataFrame(rows), 0.2)
    assert table["Frozen"].tolist()[0] == "–" and table["Frozen"].tolist()[1] != "–"
    assert table["Chance"].tolist() == ["3.0", "3.0"]
    assert table["Bound"].tolist()[0] == percent(resampled_interval([0.4, 0.5], 0.2))


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (0.5, False, "50.0"),
        (-0.013, True, "−1.3"),
        (Interval(0.1, 0.05, 0.15, 3), True, "+10.0\xa0±\xa05.0"),
        (Interval(-0.1, -0.2, 0.0, 3), False, "−10.0\xa0±\xa010.0"),
    ],
)
def test_percent(value, signed, text):
    assert percent(value, signed) == text
