"""Strong generalization: which perceptors are asked, what its two forms choose, see and lose."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_up import MODALITIES, make_bank, make_trial
from scipy import stats

from mglib.analysis.held_out import SUPERVISED
from mglib.analysis.strong import (
    APART,
    FORMS,
    PUBLISHED,
    STRONG,
    WEAK,
    adapted_modalities,
    adapted_sights,
    own_rows,
    rungs,
    sight_trials,
    sight_values,
)
from mglib.analysis.strong_forms import (
    adapter_table,
    chosen_validation,
    contrast_table,
    contrasts,
    form_drift,
    form_table,
    listed,
    lost_by_choice,
    selection_regret,
    selection_table,
)
from mglib.analysis.worlds import WORLDS
from mglib.errors import MglibError
from mglib.registry import perceptors
from mglib.trials.engine import Training

COMMON = {"splits": 2, "seeds": 1, "steps": 6, "checkpoints": 3, "lr": 1e-3}


def test_every_rung_is_a_perceptor_that_there_is():
    ladder = rungs([1, 5, 256], [5])
    for rung in ladder:
        for name in filter(None, (rung.sight.perceptor, rung.sight.unseen)):
            assert perceptors.get(name).name == name
    asked = {(rung.method, rung.pairs): rung.sight for rung in ladder}
    assert asked["Transport", 0].unseen == "anchored", "defaults are not written"
    assert asked["Transport", 5].unseen == "anchored@pairs=5"
    assert asked["Ridge", 1].unseen == "anchored@method=ridge,pairs=1"
    assert asked["Moments", 0].unseen == "anchored@method=moments"
    assert (asked["Relative", 256].perceptor, asked["Relative", 5].perceptor) == (
        *("relative", "relative@pairs=5"),
    )
    assert not asked["Relative", 5].unseen, "relative vectors are trained on, too"
    assert ("Relative", 1) not in asked, "one instance has no direction"
    assert ("Transport", 256) not in asked and ("Procrustes", 256) in asked
    assert len({rung.sight.title for rung in ladder}) == len(ladder)


@pytest.mark.parametrize("pairs", [[], [5, 5], [0, 5]])
def test_numbers_of_pairs_are_checked(pairs):
    with pytest.raises(MglibError, match="different numbers from 1"):
        rungs(pairs)


def test_transport_is_asked_with_numbers_that_are_asked():
    with pytest.raises(MglibError, match=r"\[7\].*not among"):
        rungs([5], [5, 7])


def test_forms_ask_for_the_same_training_and_other_tests():
    found = sight_trials(WORLDS["text_centred"], [("erm", "corrected")], FORMS, **COMMON)
    assert [len(own) for own in found.values()] == [8] * 4
    weak, strong, published, apart = (found[sight.title][0] for sight in FORMS)
    assert replace(strong, unseen="") == weak
    assert replace(published, unseen_for_all=False) == strong
    assert apart == replace(weak, perceptor="self_supervised")
    perceptions = [t.perception for t in (weak, strong, published, apart)]
    assert len(set(perceptions)) == 4
    bounds = sight_trials(WORLDS["text_centred"], [], (APART,), bounds=True, **COMMON)
    assert {(t.algorithm, len(t.train)) for t in bounds[APART.title]} == {
        ("majority", 3),
        ("erm", 1),
    }


def test_a_world_of_another_space_is_refused():
    with pytest.raises(MglibError, match="bound@centre=art"):
        sight_trials(WORLDS["art_centred"], [("erm", "corrected")], FORMS, **COMMON)


def test_both_forms_train_the_same_learners():
    bank = make_bank(noise=1.5)
    tested = {place: (block + 1) % 4 for place, block in bank.block.items()}
    bank = replace(bank, tested=tested)
    found = []
    for for_all in (False, True):
        trial = replace(
            make_trial(steps=60, every=20, lr=1e-2),
            unseen="self_supervised",
            unseen_for_all=for_all,
        )
        training = Training([trial], bank)
        training.run(lambda *_: None, lambda: None)
        found.append(training.found[0].values)
    unseen = MODALITIES.index("text")
    np.testing.assert_array_equal(found[0][:, unseen], found[1][:, unseen])
    assert not np.array_equal(found[0][:, :unseen], found[1][:, :unseen])


def made(value, perceptor="p", splits=(0, 1, 2)):
    """Rows of ERM without art and without text; value(train, split_seed, step, modality, part)."""
    return pd.DataFrame(
        [
            {
                "dataset": "d",
                "perceptor": perceptor,
                "algorithm": "erm",
                "variant": "corrected",
                "train": train,
                "seed": 0,
                "split_seed": split_seed,
                "draw": 0,
                "step": step,
                "modality": modality,
                "split": part,
                "metric": "accuracy",
                "value": value(train, split_seed, step, modality, part),
                "key": f"{perceptor}/{train}/{split_seed}",
            }
            for train, split_seed, step in itertools.product(
                ("glyph+text", "art+glyph"), splits, (1, 2)
            )
            for modality in ("art", "glyph", "text")
            for part in ("validation", "test")
        ]
    )


def rising(train, split_seed, step, modality, part):
    """Where it was trained a learner gains by the step, elsewhere it loses."""
    seen = modality in train.split("+")
    return 0.5 + (0.1 if seen else -0.1) * step + 0.01 * split_seed + 0.02 * (part == "test")


def blind(train, split_seed, step, modality, part):
    """The same on what is unseen; the training modalities as chance has it, best at the start."""
    if modality in train.split("+"):
        return 0.2 - 0.01 * step
    return rising(train, split_seed, step, modality, part)


def test_selection_sees_the_validation_of_its_own_choice():
    ours, published = made(rising), made(blind, "p>>q")
    assert chosen_validation(ours)["ERM"].tolist() == pytest.approx([0.7, 0.71, 0.72])
    assert chosen_validation(published)["ERM"].tolist() == pytest.approx([0.19] * 3)


def test_regret_is_against_the_best_checkpoint_of_the_run():
    assert selection_regret(made(rising))["ERM"].tolist() == pytest.approx([0.1] * 3)
    assert selection_regret(made(blind))["ERM"].tolist() == pytest.approx([0.0] * 3, abs=1e-12)


def test_what_the_other_choice_loses_is_measured_as_one_sees_it():
    lost = lost_by_choice(made(rising), made(blind, "p>>q"))
    assert lost["ERM"].tolist() == pytest.approx([0.1] * 3)
    assert lost_by_choice(made(rising), made(rising))["ERM"].tolist() == [0.0] * 3


def test_drift_looks_at_the_unseen_modality_alone():
    ours = made(rising)
    assert form_drift(ours, made(blind, "p>>q")) == pytest.approx(0, abs=1e-12)
    other = made(blind, "p>>q")
    moved = (other["modality"] == "art") & (other["train"] == "glyph+text") & (other["step"] == 2)
    other.loc[moved, "value"] += 0.2
    assert form_drift(ours, other) == pytest.approx(0.05), "one cell of four"
    assert form_drift(ours, other[~moved]) == pytest.approx(0.25), "a lacking cell is no match"


def test_values_stand_under_the_sight_of_their_trials():
    rows = pd.concat([made(rising), made(blind, "p>>q")])
    trials = {
        title: [SimpleNamespace(key=key) for key in rows["key"].unique() if key.startswith(start)]
        for title, start in (("ours", "p/"), ("published", "p>>q/"))
    }
    assert set(own_rows(rows, trials["ours"])["perceptor"]) == {"p"}
    found = sight_values(rows, trials).groupby("sight")["value"].mean()
    assert found["ours"] == pytest.approx(0.52 + 0.01 - 0.2), "chosen late"
    assert found["published"] == pytest.approx(0.52 + 0.01 - 0.1), "chosen at once"


def test_contrasts_are_corrected_tests_of_one_family():
    random, share, n = np.random.RandomState(0), 0.2, 5
    first = pd.DataFrame(random.randn(n, 2) * 0.01 + [0.03, 0.0], columns=["A", "B"])
    second = pd.DataFrame(np.zeros((n, 2)), columns=["A", "B"])
    found = contrasts(first, second, ["A", "B"], share)
    spread = first.std(ddof=1) * np.sqrt(1 / n + share / (1 - share))
    p = 2 * stats.t.sf(abs(first.mean() / spread), n - 1)
    assert found["A"][0].mean == pytest.approx(first["A"].mean())
    assert found["A"][0].half == pytest.approx(stats.t.ppf(0.975, n - 1) * spread["A"])
    words = {name: found[name][1] for name in ("A", "B")}
    assert words == {"A": "higher" if 2 * p[0] < 0.05 else "a tie", "B": "a tie"}
    alone = contrasts(first, second, ["A"], share)["A"][1]
    assert alone == ("higher" if p[0] < 0.05 else "a tie")


def test_holm_can_turn_a_difference_into_a_tie():
    values = np.array([0.0, 1.0, 2.0, 1.0, 1.0]) * 0.01 + 0.008
    first = pd.DataFrame({"A": values, "B": values, "C": values, "D": [1, -1, 1, -1, 0.5]})
    zero = first * 0
    assert contrasts(first, zero, ["A"], 0.2)["A"][1] == "higher"
    family = contrasts(first, zero, ["A", "B", "C", "D"], 0.2)
    assert listed(family, "higher") == "none" and listed(family, "a tie") == "A, B, C, D"


def test_tables_have_a_dash_where_a_form_lacks_the_method():
    split = pd.Index([0, 1, 2], name="split_seed")
    weak = pd.DataFrame({"ERM": [0.5, 0.5, 0.5], SUPERVISED: [0.75] * 3}, index=split)
    strong = pd.DataFrame({"ERM": [0.25, 0.25, 0.25]}, index=split)
    table = form_table({WEAK.title: weak, STRONG.title: strong}, ["ERM", SUPERVISED], 0.2)
    assert table.columns.tolist() == ["Method", "One space", "Strong"]
    cells = [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in table.values]
    assert cells == [["ERM", "50.0 ± 0.0", "25.0 ± 0.0"], [SUPERVISED, "75.0 ± 0.0", "–"]]
    found = contrasts(strong, weak, ["ERM"], 0.2)
    lines = contrast_table({"Strong minus weak": found}, ["ERM"])
    assert lines["Strong minus weak"].iloc[0].endswith("(lower)")
    seen = selection_table({"ours": weak, "published": strong}, {"Lost": found}, ["ERM"], 0.2)
    assert seen.columns.tolist() == [
        *("Method", "Validation, ours", "Validation, published", "Lost"),
    ]
    assert PUBLISHED.for_all and not STRONG.for_all


def test_only_trunks_of_images_are_adapted():
    sights = adapted_sights(8)
    assert [(own.perceptor, own.unseen) for own in sights] == [
        ("bound", "self_supervised@adapters=8"),
        ("self_supervised@adapters=8", ""),
    ]
    assert adapted_modalities(WORLDS["text_centred"], sights) == ["art", "glyph"]
    assert adapted_modalities(WORLDS["smartwatch"], sights) == [
        *("accelerometer_spectrogram", "gyroscope_spectrogram"),
    ]
    assert adapted_modalities(WORLDS["text_centred"], FORMS) == []


def test_adapters_are_compared_by_form_and_modality():
    accuracy = {"head": 0.25, "tuned": 0.5, "own": 0.75, "own tuned": 0.75}
    values = pd.DataFrame(
        [
            {"sight": sight, "method": method, "modality": m, "split_seed": split, "value": value}
            for (sight, value), method in itertools.product(accuracy.items(), ("ERM", SUPERVISED))
            for m, split in itertools.product(("art", "text"), range(3))
        ]
    )
    values.loc[values["modality"] == "text", "value"] = 0.1
    asked = {"strong": ("head", "tuned", "ERM"), "alone": ("own", "own tuned", SUPERVISED)}
    table, changed = adapter_table(values, asked, ["art"], 0.2)
    assert table["Form"].tolist() == list(changed) == ["strong: art", "alone: art"]
    cells = table[["Head alone", "Adapted"]].map(lambda cell: cell.replace("\xa0", " "))
    assert cells.to_numpy().tolist() == [
        ["25.0 ± 0.0", "50.0 ± 0.0"],
        ["75.0 ± 0.0", "75.0 ± 0.0"],
    ]
    assert listed(changed, "higher") == "strong: art" and listed(changed, "a tie") == "alone: art"
