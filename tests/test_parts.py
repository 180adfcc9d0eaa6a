"""Parts of methods: what switches them off, differences paired by split, and Holm's correction."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from made_up import make_bank, make_trial

from mglib.analysis.pairs import corrected_t_test, holm
from mglib.analysis.parts import (
    NEVER,
    PARTS,
    Part,
    Side,
    compare_parts,
    differences,
    part_table,
    part_trials,
    parts_of,
    side_values,
    sides_of,
)
from mglib.analysis.worlds import WORLDS
from mglib.errors import MglibError
from mglib.figures.parts import draw_parts
from mglib.figures.style import as_svg
from mglib.registry import algorithms
from mglib.trials.engine import Training

WORLD = WORLDS["text_centred"]
COMMON = {"splits": 2, "seeds": 1, "checkpoints": 2}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.algorithm}: {part.part}")
def test_a_part_changes_hyper_parameters_that_there_are(part):
    having, without = part.sides
    assert having != without
    for side in part.sides:
        assert set(dict(side.values)) <= set(algorithms.get(side.algorithm).search)
    trials = part_trials(WORLD, [part], steps=600, lr=1e-3, **COMMON)
    with_it, without_it = (trials[side] for side in part.sides)
    assert {t.key for t in with_it}.isdisjoint(t.key for t in without_it)
    pairs = zip(with_it, without_it, strict=True)
    for a, b in pairs:
        assert (a.train, a.seed, a.split_seed) == (b.train, b.seed, b.split_seed)
        if not part.instead:
            changed = {name for name in a.values if a.values[name] != b.values[name]}
            assert changed == {
                name
                for name in {*part.having, *part.without}
                if part.having.get(name) != part.without.get(name)
            }
    names = [(p.algorithm, p.part) for p in PARTS]
    assert len(set(names)) == len(names)


def test_values_go_at_the_pace_of_the_run():
    def value(algorithm, name, **values):
        part = Part(algorithm, "made up", values)
        trials = part_trials(WORLD, [part], steps=500, lr=1e-3, **COMMON)
        return trials[part.sides[1]][0].values[name]

    assert value("eqrm", "eqrm_lr", eqrm_lr=5e-5) == pytest.approx(1e-3)
    assert value("irm", "irm_penalty_anneal_iters", irm_penalty_anneal_iters=1000) == 100
    assert value("erm_plus_plus", "averaging_from", averaging_from=NEVER) > 500
    assert value("coral", "mmd_gamma", mmd_gamma=3) == 3.0


def test_unknown_names_are_said():
    with pytest.raises(MglibError, match="mmd_gamma"):
        part_trials(WORLD, [Part("coral", "typo", {"mmd_gama": 0})], steps=4, lr=1e-3, **COMMON)
    with pytest.raises(MglibError, match="coral"):
        parts_of(["corall"])
    for names in ([], ["irm", "irm"]):
        with pytest.raises(MglibError, match="different ones"):
            parts_of(names)
    assert parts_of(None) == PARTS
    assert {part.algorithm for part in parts_of(["irm", "ogm"])} == {"irm", "ogm"}


def test_a_side_that_several_parts_need_is_trained_once():
    parts = parts_of(["irm"])
    assert sides_of(parts)[0] == Side("irm") and len(sides_of(parts)) == 1 + len(parts)
    titles = [side.title for side in sides_of(PARTS)]
    assert len(set(titles)) == len(titles)
    assert Side("eqrm", (("eqrm_burnin_iters", NEVER),)).title == "EQRM (eqrm_burnin_iters never)"


@pytest.mark.parametrize(
    ("algorithm", "part"),
    [
        ("irm", "penalty"),
        ("ib_erm", "restart of the optimiser alone"),
        ("vrex", "penalty"),
        ("coral", "penalty"),
        ("fishr", "penalty"),
        ("condcad", "bottleneck"),
        ("groupdro", "weights that follow the risks"),
        ("eqrm", "quantile, smaller rate and restart after the burn-in"),
    ],
)
def test_what_is_left_without_it_is_erm(algorithm, part):
    (own,) = [p for p in PARTS if (p.algorithm, p.part) == (algorithm, part)]
    bank = make_bank(noise=1.5)
    begins = [name for name in algorithms.get(algorithm).search if name.endswith("_iters")]
    at_once = dict.fromkeys(begins, 0)
    logits = {}
    for name, method, values in (
        ("erm", "erm", {}),
        ("without", algorithm, {**at_once, **own.without}),
        ("full", algorithm, {**at_once, **({"groupdro_eta": 1.0} if begins == [] else {})}),
    ):
        training = Training([make_trial(method, steps=30, **values)], bank)
        training.run()
        logits[name] = training.model.predict(bank.values[:1, :50]).detach().numpy()
    np.testing.assert_allclose(logits["without"], logits["erm"], rtol=1e-3, atol=1e-4)
    assert np.abs(logits["full"] - logits["erm"]).max() > 1e-3


def rows_of(trials, score):
    """Rows of trials as the engine writes them: score(side, held out, split, step), NaN is lost."""
    lines = []
    for side, own in trials.items():
        for trial in own:
            (left,) = set(trial.evaluate) - set(trial.train)
            for step in trial.checkpoints:
                for m in trial.evaluate:
                    for part in ("validation", "test"):
                        value = score(side, left, trial.split_seed, step)
                        lines.append(
                            {**trial.columns(), "step": step, "modality": m, "split": part,
                             "metric": "accuracy", "test_pattern": None, "value": value}
                        )  # fmt: skip
    return pd.DataFrame(lines)


PART = Part("coral", "penalty", {"mmd_gamma": 0})
OTHER = Part("irm", "late start", {"irm_penalty_anneal_iters": 0})


@pytest.fixture
def trials():
    return part_trials(WORLD, [PART, OTHER], steps=100, lr=1e-3, splits=3, seeds=1, checkpoints=2)


def of_side(side, left, split, step):
    """Better by 10, 11 and 12 points with CORAL's penalty, on every modality; IRM's is a tie."""
    base = 0.4 + 0.1 * ("art", "glyph", "speech", "text").index(left)
    gain = 0.1 + 0.01 * split if side == PART.sides[0] else 0.0
    return base + gain + (0.02 * (split - 1) if side == OTHER.sides[0] else 0)


def test_differences_are_paired_by_split_and_averaged_over_modalities(trials):
    values, diverged = side_values(rows_of(trials, of_side), trials)
    assert not diverged and len(values) == 4 * 4 * 3
    gaps = differences(values, [PART, OTHER])
    own = gaps[gaps["method"] == "CORAL"]
    np.testing.assert_allclose(own["value"], [0.10, 0.11, 0.12])
    compared = compare_parts(gaps, 0.2).set_index("method")
    tests = [corrected_t_test(x, 0.2) for x in ([0.10, 0.11, 0.12], [-0.02, 0.0, 0.02])]
    np.testing.assert_allclose(compared["t"], [test.t for test in tests], atol=1e-9)
    np.testing.assert_allclose(compared["p_holm"], holm([test.p for test in tests]))
    assert compared["verdict"].to_dict() == {"CORAL": "higher", "IRM": "a tie"}
    table = part_table(values, compared.reset_index(), [PART, OTHER], 0.2)
    assert table["Verdict"].tolist() == ["higher", "a tie"]
    assert table["With it"].iloc[0].startswith("66.0") and table["Without"].iloc[0][:4] == "55.0"
    assert table["Difference [points]"].iloc[0].startswith("+11.0")


def test_holm_counts_all_parts(trials):
    values, _ = side_values(rows_of(trials, of_side), trials)
    gaps = differences(values, [PART])
    many = pd.concat([gaps, *(gaps.assign(part=f"{n}", value=[-1, 0, 1]) for n in range(50))])
    assert compare_parts(gaps, 0.2)["verdict"].item() == "higher"
    assert compare_parts(many, 0.2)["verdict"].iloc[0] == "a tie"


def test_the_checkpoint_is_chosen_by_the_training_modalities(trials):
    frame = rows_of(trials, of_side)
    seen = np.array(
        [m in t.split("+") for m, t in zip(frame["modality"], frame["train"], strict=True)]
    )
    first = frame["step"] == frame["step"].min()
    frame.loc[seen & first & (frame["split"] == "validation"), "value"] = 1.0
    frame.loc[~seen & ~first, "value"] = 0.99
    values, _ = side_values(frame, trials)
    assert values["value"].max() < 0.99


def test_a_side_that_diverged_is_said_and_not_averaged(trials):
    def lost(side, left, split, step):
        gone = side == OTHER.sides[1] and left == "art" and split == 1
        return np.nan if gone else of_side(side, left, split, step)

    values, diverged = side_values(rows_of(trials, lost), trials)
    assert diverged == [OTHER.sides[1]]
    gaps = differences(values, [PART, OTHER])
    assert set(gaps["method"]) == {"CORAL"}
    table = part_table(values, compare_parts(gaps, 0.2), [PART, OTHER], 0.2)
    assert table["Without"].iloc[1] == "diverged" and table["Verdict"].iloc[1] == "–"
    with pytest.raises(MglibError, match="did not diverge"):
        differences(values, [OTHER])


def test_the_figure_shows_every_part_with_its_interval_and_splits(trials):
    values, _ = side_values(rows_of(trials, of_side), trials)
    gaps = differences(values, [PART, OTHER])
    compared = compare_parts(gaps, 0.2)
    figure = draw_parts(gaps, compared)
    (axes,) = figure.axes
    assert "[points]" in axes.get_xlabel()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["CORAL: penalty", "IRM: late start"]
    drawn = defaultdict(list)
    for line in axes.lines:
        for x, y in np.broadcast(line.get_xdata(), line.get_ydata()):
            drawn[float(y)].append(float(x))
    for row, own in enumerate(compared.itertuples()):
        splits = gaps[gaps["method"] == own.method]["value"]
        for value in (own.mean, own.low, own.high, *splits):
            assert np.isclose(drawn[row], 100 * value).any()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["pays", "a tie"]
    assert as_svg(figure) == as_svg(draw_parts(gaps, compared))
