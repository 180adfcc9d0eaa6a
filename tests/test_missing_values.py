"""What is made of rows with missing modalities: choices, means under laws, deficits, figures."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from mglib.analysis.statistics import resampled_interval
from mglib.errors import MglibError
from mglib.figures.differences import draw_differences
from mglib.figures.missing import draw_deficits, draw_seen, draw_sweep
from mglib.missing.ceilings.shapley import shapley
from mglib.missing.grid import missing_trials
from mglib.missing.results.deficits import deficit_table, least_entropies
from mglib.missing.results.known import (
    beyond_ceilings,
    by_rate,
    exact_accuracies,
    share_table,
)
from mglib.missing.results.values import (
    chosen,
    compare_to,
    intervals,
    method_title,
    pair_table,
    seen_table,
    tuned,
    under_law,
)
from mglib.registry import laws

MODALITIES = ("art", "text")
SUBSETS = ("art", "text", "art+text")


def test_of_runs_the_one_with_the_best_validation_is_taken_whatever_its_test():
    values = pd.DataFrame(
        {
            "method": ["trml", "zero_fill", "trml", "trml", "zero_fill"],
            "split_seed": [0, 0, 0, 1, 0],
            "seed": 0,
            "validation_accuracy": [0.5, 0.6, 0.7, 0.1, 0.6],
            "accuracy": [0.9, 0.4, 0.2, 0.3, 0.8],
        }
    )
    assert tuned(values)["accuracy"].tolist() == [0.2, 0.4, 0.3]
    two = pd.concat([values, values.assign(seed=1, validation_accuracy=float("nan"))])
    assert tuned(two.reset_index())["accuracy"].tolist() == [0.2, 0.4, 0.3]
    assert len(tuned(pd.concat([values, values.assign(seed=1)], ignore_index=True))) == 6


def asked(methods=("ume_mma", "zero_fill"), splits=3):
    return missing_trials(
        dataset="emoji_concepts",
        perceptor="frozen",
        modalities=MODALITIES,
        methods=methods,
        seeds=[0],
        split_seeds=range(splits),
        steps=4,
        every=2,
    )


def measured(trials, value):
    """Rows at steps 2 and 4; `value(trial, step, part, subset)` is the accuracy."""
    rows = []
    for trial in trials:
        for step in (2, 4):
            for part in ("validation", "test"):
                for subset in SUBSETS:
                    own = value(trial, step, part, subset)
                    for metric, number in (("accuracy", own), ("cross_entropy", 2 - own)):
                        rows.append(
                            {
                                "key": trial.key,
                                "step": step,
                                "split": part,
                                "modality": subset,
                                "metric": metric,
                                "value": number,
                                "n": 10,
                            }
                        )
    return pd.DataFrame(rows)


def plain(trial, step, part, subset):
    """Better at step 4 by validation, though not by test; UME-MMA is better with one seen."""
    good = 0.6 if subset == "art+text" else 0.4 + 0.1 * (trial.method == "ume_mma")
    shift = 0.1 * (step == 4) * (1 if part == "validation" else -1)
    return good + shift + 0.01 * trial.split_seed


def table(trials=None, value=plain):
    trials = trials or asked()
    return chosen(measured(trials, value), {t.key: t for t in trials})


def test_the_checkpoint_is_chosen_on_the_validation_part_alone():
    values = table()
    assert set(values["step"]) == {4}
    assert len(values) == 2 * 3 * 3
    one = values[(values["method"] == "ume_mma") & (values["split_seed"] == 0)]
    assert dict(zip(one["subset"], one["accuracy"], strict=True)) == pytest.approx(
        {"art": 0.4, "text": 0.4, "art+text": 0.5}
    )
    assert dict(zip(one["subset"], one["seen"], strict=True)) == {
        "art": 1,
        "text": 1,
        "art+text": 2,
    }


def test_a_subset_counts_by_its_instances():
    trials = asked(splits=1)
    rows = measured(trials, lambda trial, step, part, subset: 0.5 + 0.1 * (step == 2))
    whole = (rows["modality"] == "art+text") & (rows["split"] == "validation")
    rows.loc[whole, "value"] = np.where(rows.loc[whole, "step"] == 4, 0.9, 0.1)
    assert set(chosen(rows, {t.key: t for t in trials})["step"]) == {4}
    rows.loc[whole, "n"] = 1
    assert set(chosen(rows, {t.key: t for t in trials})["step"]) == {2}


def test_of_equal_checkpoints_the_first_and_no_diverged_one():
    trials = asked(splits=1)
    values = table(trials, lambda trial, step, part, subset: 0.5)
    assert set(values["step"]) == {2}
    lost = trials[0].key

    def diverging(trial, step, part, subset):
        sound = trial.key != lost or step == 2
        return 0.3 + 0.1 * (step == 4) if sound else float("nan")

    values = table(trials, diverging)
    assert dict(zip(values["key"], values["step"], strict=True)) == {lost: 2, trials[1].key: 4}

    def gone(trial, step, part, subset):
        return float("nan") if trial.key == lost else 0.5

    assert set(table(trials, gone)["key"]) == {trials[1].key}


def test_a_real_answer_is_chosen_by_its_error():
    trials = asked(splits=1)
    rows = measured(trials, lambda trial, step, part, subset: 0.2 if step == 2 else 0.3)
    rows["metric"] = rows["metric"].replace({"accuracy": "mae", "cross_entropy": "correlation"})
    assert set(chosen(rows, {t.key: t for t in trials})["step"]) == {2}


def test_means_with_intervals_over_splits():
    found = intervals(table(), ["method", "seen"], 0.2).set_index(["method", "seen"])
    own = resampled_interval([0.4, 0.41, 0.42], 0.2)
    assert tuple(found.loc[("ume_mma", 1)][["mean", "low", "high"]]) == pytest.approx(
        (own.mean, own.low, own.high)
    )
    single = intervals(table(asked(splits=1)), ["method"], 0.2)
    assert single["low"].isna().all()


def test_pairs_and_tables():
    compared = compare_to(table(), "ume_mma", 0.2).set_index(["method", "seen"])
    assert compared.loc[("zero_fill", 1), "mean"] == pytest.approx(-0.1)
    assert compared.loc[("zero_fill", 1), "verdict"] == "lower"
    assert compared.loc[("zero_fill", 2), "verdict"] == "a tie"
    shown = pair_table(compared.reset_index(), 2)
    assert list(shown["Seen"]) == ["one seen", "all seen"]
    cells = seen_table(table(), ["zero_fill", "oracle"], 2, 0.2)
    assert cells.iloc[0]["one seen"].startswith("31.0")
    assert list(cells.iloc[1])[1:] == ["–", "–"]
    assert method_title("ume_mma@probability=0.2") == "UME-MMA (probability 0.2)"
    assert compare_to(table(asked(splits=1)), "ume_mma", 0.2).empty


def test_the_mean_under_a_law_is_exact():
    values = table(asked(["zero_fill"], 1))
    by_hand = {"art": 0.3, "text": 0.3, "art+text": 0.5}
    shares = laws.get("independent")().shares(2, 0.3)
    found = under_law(values, shares, MODALITIES, "accuracy", 0.1)
    exact = 0.49 * by_hand["art+text"] + 0.21 * (by_hand["art"] + by_hand["text"]) + 0.09 * 0.1
    assert found.iloc[0] == pytest.approx(exact)
    told = by_rate(values, [0.0, 0.9], MODALITIES, 0.2)
    assert told["mean"].tolist() == pytest.approx([0.5, 0.01 * 0.5 + 0.99 * 0.3])


def test_exact_ceilings_and_what_passes_them():
    exact = exact_accuracies(["two_digits@sigma=0", "two_digits@sigma=2"], 2)
    cells = exact.set_index(["pairing", "seen"])["value"]
    assert cells["two_digits@sigma=0", 1] == 1 and cells["two_digits@sigma=2", 2] == 1
    assert cells["two_digits@sigma=2", 1] == pytest.approx(1 - 0.563, abs=1e-3)
    values = pd.DataFrame(
        {
            "method": ["a", "b"],
            "pairing": "two_digits@sigma=2",
            "seen": 1,
            "accuracy": [0.45, 0.70],
        }
    )
    assert beyond_ceilings(values, 380) == ["b on two_digits@sigma=2, 1 seen"]


def test_the_parts_of_a_loss_sum_to_it():
    trials = asked(splits=2)
    values = table(trials)
    values["head_cross_entropy"] = values["cross_entropy"] - 0.25
    values["validation_head_cross_entropy"] = values["validation_cross_entropy"] - 0.25
    others = values.assign(cross_entropy=values["cross_entropy"] - 0.35).drop(
        columns=["head_cross_entropy", "validation_head_cross_entropy"]
    )
    others["validation_cross_entropy"] -= 0.35
    least = least_entropies(values, others)
    means = values.groupby(["subset", "method"])["cross_entropy"].mean()
    assert least["art+text"] == pytest.approx(means["art+text"].min() - 0.35)
    parts = deficit_table(values, others, ["ume_mma", "zero_fill"], MODALITIES)
    assert np.allclose(parts[["ceiling", "encoders", "fusion"]].sum(axis=1), parts["loss"])
    assert np.allclose(parts["fusion"], 0.25)
    own = parts[(parts["method"] == "zero_fill") & (parts["seen"] == 1)].iloc[0]
    assert own["encoders"] == pytest.approx(0.1 + 0.1)
    assert math.isclose(own["loss"], 2 - 0.305)


def test_what_each_modality_contributes():
    values = table(asked(["zero_fill"], 1))
    values["accuracy"] = values["subset"].map({"art": 0.4, "text": 0.7, "art+text": 0.8})
    shown = share_table(values, {"zero_fill": "zeros"}, MODALITIES, 0.1, 0.2).iloc[0]
    assert (shown["art"], shown["text"]) == (
        "20.0",
        "50.0",
    )  # by hand: (.3 + .1) / 2, (.6 + .4) / 2
    given_up = values.assign(
        accuracy=values["subset"].map({"art": 0.1, "text": 0.7, "art+text": 0.7})
    )
    assert (
        share_table(given_up, {"zero_fill": "zeros"}, MODALITIES, 0.1, 0.2).iloc[0]["art"] == "0.0"
    )
    seeds = pd.concat([values, given_up.assign(seed=1)])  # seeds are no further splits
    both = share_table(seeds, {"zero_fill": "zeros"}, MODALITIES, 0.1, 0.2).iloc[0]
    assert (both["art"], both["text"]) == ("10.0", "55.0")
    with pytest.raises(MglibError, match="all subsets"):
        shapley({(True, False): 1.0, (False, True): 0.0})


def test_figures_draw_what_they_are_given():
    values = table()
    found = intervals(values, ["method", "seen"], 0.2)
    titles = {"ume_mma": "UME-MMA", "zero_fill": "Zero fill"}
    columns = {2: "all seen", 1: "one seen"}
    figure = draw_seen(found, titles, columns)
    assert [axes.get_title("left") for axes in figure.axes] == ["all seen", "one seen"]
    marks = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert [float(line.get_xdata()[0]) for line in marks] == pytest.approx([41.0, 31.0])
    values["head_cross_entropy"] = values["cross_entropy"] - 0.25
    values["validation_head_cross_entropy"] = values["validation_cross_entropy"] - 0.25
    parts = deficit_table(values, values, titles, MODALITIES)
    bars = draw_deficits(parts, titles, columns).axes[0].patches
    whole = parts.set_index(["method", "seen"])["loss"]["ume_mma", 2]
    assert sum(bar.get_width() for bar in bars[:3]) == pytest.approx(whole)
    lines = found.rename(columns={"method": "line"}).assign(x=found["seen"] / 2)
    exact = pd.DataFrame({"x": [0.5, 1.0], "value": [0.9, 1.0]})
    swept = draw_sweep({"panel": lines}, titles, "x", "X", exact={"panel": exact})
    assert len(swept.axes[0].lines) == 3
    assert swept.axes[0].lines[0].get_ydata().tolist() == [90, 100]


def test_differences_have_their_shades_and_what_is_no_tie_its_number():
    found = pd.DataFrame(
        [
            ("zero_fill", 0.0, 0.004, False),
            ("zero_fill", 0.9, -0.123, True),
            ("oracle", 0.9, 0.3, True),
        ],
        columns=["method", "rate", "mean", "apart"],
    )
    titles = {"zero_fill": "Zero fill", "oracle": "Alone"}
    axes, bar = draw_differences({"text missing": found}, titles, "Lacking [%]").axes
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (1, 0): "−12",
        (1, 1): "+30",
    }
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "90"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Zero fill", "Alone"]
    assert sorted(patch.get_xy() for patch in axes.patches) == [(0.5, -0.5), (0.5, 0.5)]
    shades = np.asarray(axes.images[0].get_array())
    worse, better, alike, absent = shades[0, 1], shades[1, 1], shades[0, 0], shades[1, 0]
    assert worse[0] > worse[2] and better[2] > better[0]  # orange, blue
    assert alike.min() > 0.95 and absent.tolist() == [1, 1, 1]
    assert "[points]" in bar.get_ylabel()


def test_without_anything_to_compare_all_is_white():
    nothing = pd.DataFrame(columns=["method", "rate", "mean", "apart"])
    axes, _ = draw_differences({"text missing": nothing}, {"oracle": "Alone"}, "Lacking [%]").axes
    assert not axes.texts and not axes.patches
    assert np.asarray(axes.images[0].get_array()).min() == 1
