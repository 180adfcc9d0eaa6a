"""Worlds of the benchmark: their trials, and tables over hand-made rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import MODALITIES, make_bank, make_trial

from mglib.analysis.worlds import (
    IMPORTED_SPACES,
    WORLDS,
    by_slot,
    family,
    mean_intervals,
    reading_table,
    together,
    together_table,
    world_table,
    world_trials,
    world_values,
    worlds_of,
)
from mglib.errors import MglibError
from mglib.figures.worlds import draw_worlds
from mglib.registry import algorithms, datasets
from mglib.trials.engine import train

SCALE = {"splits": 2, "seeds": 1, "steps": 500, "checkpoints": 2, "lr": 1e-3}


pytestmark = pytest.mark.usefixtures("one_thread")


# Those of imported features stand in test_import_features.
@pytest.mark.parametrize(
    "name", [name for name, world in WORLDS.items() if world.perceptor not in IMPORTED_SPACES]
)
def test_a_world_holds_out_each_of_its_modalities_between_two_bounds(name):
    world = WORLDS[name]
    assert set(world.seen) <= set(datasets.get(world.dataset).kinds)
    trials = world_trials(world, [("erm", "corrected"), ("concat", "corrected")], **SCALE)
    m = len(world.seen)
    # per split: two methods and the majority class for each held out, and ERM on each alone
    assert len(trials) == 2 * (2 * m + m + m)
    majority = [t for t in trials if t.algorithm == "majority"]
    assert {t.train for t in majority} == {tuple(sorted(set(world.seen) - {x})) for x in world.seen}
    alone = {t.train for t in trials if t.algorithm == "erm" and len(t.train) == 1}
    assert alone == {(x,) for x in world.seen}
    assert {(t.perceptor, t.target) for t in trials} == {(world.perceptor, world.target)}


def test_rates_and_beginnings_keep_their_published_share():
    world = WORLDS["text_centred"]
    methods = [(name, "corrected") for name in ("erm", "irm", "eqrm", "concat", "ogm", "cdann")]
    found = {t.algorithm: t.values for t in world_trials(world, methods, bounds=False, **SCALE)}
    assert found["erm"]["lr"] == pytest.approx(1e-3)
    assert found["irm"]["irm_penalty_anneal_iters"] == 50 and found["irm"]["irm_lambda"] == 100
    assert found["eqrm"]["eqrm_burnin_iters"] == 250
    assert found["eqrm"]["eqrm_lr"] == pytest.approx(2e-5)
    assert found["cdann"]["lr_d"] == pytest.approx(1e-3)
    assert found["concat"]["lr"] == 1e-3, "published faster than the others, and not made faster"
    assert found["ogm"]["lr"] == pytest.approx(2e-2)


def test_families_are_told_by_slots():
    assert family(("erm", "corrected")) == family(("cdann", "corrected")) == "generalization"
    for name in ("concat", "ogm", "ogm_ge", "dlmg", "late_average", "umt"):
        assert family((name, "corrected")) == "multimodal", name
    assert {"erm", "irm", "mixup", "sagnet", "urm"} <= set(algorithms.names())


@pytest.fixture(scope="module")
def rows():
    bank = make_bank(noise=1.0)
    trials = [
        replace(
            make_trial(name, steps=60, every=30, split_seed=s, train=left, lr=1e-2),
            patterns=("by_slot", "seen", "all") if name == "concat" else ("seen", "all"),
        )
        for name in ("erm", "concat")
        for s in (0, 1)
        for left in [tuple(m for m in MODALITIES if m != x) for x in MODALITIES]
    ]
    alone = [
        make_trial("erm", steps=60, every=30, split_seed=s, train=(m,))
        for s in (0, 1)
        for m in MODALITIES
    ]
    found = []
    for trial in [*trials, *alone]:
        found += train([trial], bank)
    return pd.DataFrame(found)


def test_values_are_of_modalities_alone(rows):
    values = world_values(rows)
    assert set(values["method"]) == {"ERM", "Concat", "Supervised on it"}
    assert len(values) == 3 * 4 * 2
    intervals = mean_intervals(values, 0.2).set_index("method")
    own = values[values["method"] == "Concat"]
    assert intervals.loc["Concat", "mean"] == pytest.approx(own["value"].mean())
    table = world_table({"one": intervals.reset_index()}, ["ERM", "Concat"])
    assert table["one"][1].startswith(f"{100 * own['value'].mean():.1f}")


def test_readings_and_patterns_are_those_of_the_chosen_checkpoint(rows):
    values = world_values(rows)
    other = by_slot(rows)
    assert set(other["variant"]) == {"by_slot"} and set(other["algorithm"]) == {"concat"}
    table = reading_table(rows, values, 0.2)
    assert table["Method"].tolist() == ["Concat"]
    unseen = other[(other["split"] == "test") & (other["metric"] == "accuracy")]
    unseen = unseen[
        [m not in t.split("+") for m, t in zip(unseen["modality"], unseen["train"], strict=True)]
    ]
    assert table["Mean over slots"][0].startswith(f"{100 * unseen['value'].mean():.1f}")
    equal = rows[rows["test_pattern"].isna() | (rows["test_pattern"] == "by_slot")].copy()
    equal["value"] = 0.25
    alike = reading_table(equal, world_values(equal), 0.2)
    assert alike["Verdict"].tolist() == ["the same"], "no difference in any split is no tie"
    joint = together(rows)
    assert set(joint["pattern"]) == {"seen", "all"} and len(joint) == 2 * 2 * 2
    fewer = rows[rows["train"].str.contains("+", regex=False)]
    fewer = fewer.assign(train=fewer["train"].str.split("+").str[:-1].str.join("+"))
    crossed = pd.concat([rows, fewer.assign(value=0.0, seed=fewer["seed"] + 9)])
    pd.testing.assert_frame_equal(together(crossed), joint)
    joined = together_table(joint, values, ["ERM", "Concat"], 0.2)
    gain = joint.pivot_table(index="method", columns="pattern", values="value")
    expected = 100 * (gain.loc["ERM", "all"] - gain.loc["ERM", "seen"])
    assert joined["What the unseen adds"][0].replace("−", "-").startswith(f"{expected:+.1f}")


def test_the_figure_has_a_panel_per_world_and_shows_every_mean(rows):
    table = mean_intervals(world_values(rows), 0.2)
    bounds = pd.DataFrame([{"method": "Majority class", "mean": 0.1, "low": 0.1, "high": 0.1}])
    table = pd.concat([table, bounds])
    figure = draw_worlds(
        {"one": table, "two": table},
        [("ERM", "generalization"), ("Concat", "multimodal")],
        "Majority class",
        "Supervised on it",
    )
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in shown] == ["one", "two"]
    drawn = np.concatenate([np.atleast_1d(line.get_xdata()) for line in shown[0].lines])
    for value in table["mean"]:
        assert np.isclose(drawn.astype(float), 100 * value).any()
    assert "[%]" in figure.get_supxlabel()


@pytest.mark.parametrize("names", [[], ["numerals", "numerals"], ["numeral"]])
def test_worlds_that_are_not_there(names):
    with pytest.raises(MglibError, match="world"):
        worlds_of(names)
    assert list(worlds_of(["numerals"])) == ["numerals"]


def test_a_rate_below_zero_is_refused():
    with pytest.raises(MglibError, match="'lr' must be at least 0, not -1"):
        world_trials(WORLDS["numerals"], [("erm", "corrected")], **{**SCALE, "lr": -1.0})
