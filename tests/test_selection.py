"""Selection on hand-made records: right choice, ties, divergence, blindness to the report."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from mglib.errors import MglibError
from mglib.trials.selection import (
    OURS,
    RULES,
    held_out,
    missing_runs,
    published_parts,
    reported,
    training_modality_validation,
)

RUN = ["seed", "train"]
COMMON = {
    "dataset": "d",
    "perceptor": "p",
    "algorithm": "erm",
    "variant": "corrected",
    "split_seed": 0,
    "metric": "accuracy",
}
IN_AND_OUT = ("in", "out")
THREE = ("train", "validation", "test")


def records(scores, test=0.0, **more):
    """Rows of one run: {(draw, step): (validation of art, validation of glyph)}."""
    rows = []
    for (draw, step), own in scores.items():
        for modality, value in zip(("art", "glyph"), own, strict=True):
            rows.append(
                {
                    "modality": modality,
                    "split": "validation",
                    "value": value,
                    "draw": draw,
                    "step": step,
                }
            )
        for split in ("validation", "test"):
            rows.append(
                {"modality": "text", "split": split, "value": test, "draw": draw, "step": step}
            )
    common = {
        "dataset": "d",
        "perceptor": "p",
        "algorithm": "erm",
        "variant": "corrected",
        "train": "art+glyph",
        "seed": 0,
        "split_seed": 0,
        "metric": "accuracy",
        **more,
    }
    return pd.DataFrame(rows).assign(**common)


def chosen(rows):
    found = training_modality_validation(rows)[["draw", "step"]].drop_duplicates()
    return [tuple(map(int, pair)) for pair in found.itertuples(index=False)]


def test_the_best_mean_over_training_modalities_is_chosen():
    assert chosen(records({(0, 100): (0.9, 0.1), (0, 200): (0.6, 0.6), (1, 100): (0.2, 0.9)})) == [
        (0, 200)
    ]


def test_a_tie_goes_to_the_earlier_draw_and_step():
    tied = {(1, 100): (0.5, 0.5), (0, 200): (0.4, 0.6), (0, 100): (0.6, 0.4)}
    for order in itertools.permutations(tied):
        assert chosen(records({k: tied[k] for k in order})) == [(0, 100)]


def test_a_diverged_checkpoint_is_never_better():
    assert chosen(records({(0, 100): (0.2, 0.2), (0, 200): (0.9, np.nan)})) == [(0, 100)]
    assert chosen(records({(0, 100): (np.nan, np.nan)})) == [(0, 100)]


def test_what_is_reported_is_never_seen():
    rows = records({(0, 100): (0.5, 0.5), (0, 200): (0.4, 0.4)})
    unseen = (rows["modality"] == "text") | (rows["split"] == "test")
    for value in (0.0, 1.0):
        changed = rows.assign(value=np.where(unseen & (rows["step"] == 200), value, rows["value"]))
        assert chosen(changed) == [(0, 100)]


def test_each_run_is_chosen_on_its_own():
    rows = pd.concat(
        [
            records({(0, 100): (0.5, 0.5), (0, 200): (0.4, 0.4)}),
            records({(0, 100): (0.1, 0.1), (0, 200): (0.4, 0.4)}, seed=1),
        ]
    )
    found = training_modality_validation(rows)
    assert found.groupby("seed")["step"].unique().map(list).to_dict() == {0: [100], 1: [200]}


def test_a_diverged_modality_is_not_outweighed_by_good_ones():
    rows = pd.DataFrame(
        [
            {"modality": m, "split": "validation", "draw": 0, "step": step, "value": value}
            for step, values in ((100, (0.1, 0.1, 0.1)), (200, (1.0, 1.0, None)))
            for m, value in zip(("a", "b", "c"), values, strict=True)
        ]
    ).assign(**COMMON, train="a+b+c", seed=0)
    assert chosen(rows) == [(0, 100)]
    assert chosen(rows[rows["value"].notna()]) == [(0, 100)], "no candidate without all its scores"


def run(train, scores, draw=0, step=1, seed=0, **more):
    """Rows of one checkpoint: {(modality, part): value}."""
    return [
        {
            **COMMON,
            "train": train,
            "seed": seed,
            "draw": draw,
            "step": step,
            "modality": modality,
            "split": split,
            "value": value,
            **more,
        }
        for (modality, split), value in scores.items()
    ]


def grid(modalities, value, parts=THREE, draws=(0, 1), steps=(1, 2), seeds=(0,), sizes=(1, 2)):
    """Rows of every run that leaves out `sizes` modalities; value(left, draw, step, m, part)."""
    rows = []
    for size, draw, step, seed in itertools.product(sizes, draws, steps, seeds):
        for left in itertools.combinations(modalities, size):
            train = "+".join(m for m in modalities if m not in left)
            scores = {
                (m, part): value(left, draw, step, m, part) for m in modalities for part in parts
            }
            rows += run(train, scores, draw, step, seed)
    return pd.DataFrame(rows)


def picks(rule, rows, **more):
    """{(seed, train): (draw, step)} of a rule; each run has one choice."""
    found = RULES[rule].choose(rows, **more)[[*RUN, "draw", "step"]].drop_duplicates()
    assert not found.duplicated(RUN).any()
    return {(s, t): (d, at) for s, t, d, at in found.itertuples(index=False, name=None)}


def random_values(random):
    """Few different values, so that ties are frequent; exact in binary."""
    return lambda *_: random.randint(4) / 4


def test_what_a_run_holds_out():
    rows = grid("abc", lambda *_: 0.5)
    left = dict(zip(rows["train"], held_out(rows), strict=True))
    assert left["a+b"] == ("c",) and left["a"] == ("b", "c")
    assert set(held_out(rows, "abcd")[rows["train"] == "a+b"]) == {("c", "d")}
    with pytest.raises(MglibError, match="trained on .'c'."):
        held_out(rows, "ab")


def test_cross_validation_averages_what_is_left_out_besides():
    """The second step is best at b (left out with a) and at c (left out with a), not elsewhere."""

    def value(left, draw, step, modality, part):
        second = len(left) == 2 and "a" in left and modality in left and modality != "a"
        return float(part == "validation" and (step == 2) == second)

    assert picks("leave-one-modality-out", grid("abc", value))[0, "b+c"] == (0, 2)
    # By hand: scores of the two steps for a are (0.5 + 0.25) / 2 and (0.25 + 0.75) / 2.
    rows = []
    for step, (b, c) in {1: (0.5, 0.25), 2: (0.25, 0.75)}.items():
        rows += run("b+c", {("a", "test"): 0.9}, step=step)
        rows += run("c", {("b", "validation"): b, ("a", "validation"): 1 / step}, step=step)
        rows += run("b", {("c", "validation"): c, ("a", "validation"): 1 / step}, step=step)
    assert picks("leave-one-modality-out", pd.DataFrame(rows)) == {(0, "b+c"): (0, 2)}


@pytest.mark.parametrize("modalities", ["abc", "abcd"])
@pytest.mark.parametrize("rule", RULES)
def test_ties_ours_take_the_earlier_draw_published_the_later_and_both_the_earlier_step(
    rule, modalities
):
    """The published code sorts draws upwards by score and reverses: equal ones swap places."""
    step = 2 if rule == "test-modality" else 1
    ours = grid(modalities, lambda *_: 0.5).sample(frac=1, random_state=0)
    assert set(picks(rule, ours).values()) == {(0, step)}
    published = grid(modalities, lambda *_: 0.5, IN_AND_OUT).sample(frac=1, random_state=1)
    found = picks(rule, published, parts=published_parts())
    assert set(found.values()) == {(1, step)} and len(found) == len(modalities)


def test_the_oracle_sees_the_last_step_only():
    rows = grid("abc", lambda left, draw, step, m, part: (3 - step + draw) / 5)
    assert set(picks("test-modality", rows).values()) == {(1, 2)}
    short = rows[(rows["draw"] == 0) | (rows["step"] == 1)]
    assert set(picks("test-modality", short).values()) == {(1, 1)}, "each draw has its own last"


@pytest.mark.parametrize("rule", RULES)
def test_a_diverged_candidate_is_chosen_only_if_there_is_no_other(rule):
    def value(left, draw, step, m, part):
        return 0.1 if draw else np.nan

    assert set(picks(rule, grid("abcd", value)).values()) <= {(1, 1), (1, 2)}
    assert len(picks(rule, grid("abcd", lambda *_: np.nan))) == 4


def test_cross_validation_passes_over_a_checkpoint_that_diverged_itself():
    def value(left, draw, step, m, part):
        return np.nan if draw == 0 and left == ("a",) else 0.5 - draw / 4

    found = picks("leave-one-modality-out", grid("abc", value))
    assert found == {(0, "b+c"): (1, 1), (0, "a+c"): (0, 1), (0, "a+b"): (0, 1)}


def test_missing_runs_make_a_dash_and_are_named():
    rows = grid("abcd", lambda *_: 0.5, seeds=(0, 1))
    rule = RULES["leave-one-modality-out"]
    assert rule.missing(rows).empty
    lost = (rows["train"] == "c+d") & (rows["seed"] == 0)
    fewer = rows[~(lost & (rows["draw"] == 0)) & ~(lost & (rows["step"] == 1))]
    assert picks("leave-one-modality-out", fewer)[0, "b+c+d"] == (1, 2), "what all runs share"
    named = rule.missing(fewer)[["seed", "train", "draw", "steps"]].values.tolist()
    assert named == [[0, "c+d", 0, (1, 2)], [0, "c+d", 1, (1,)]]
    none = rows[~lost]
    found = picks("leave-one-modality-out", none)
    assert (0, "b+c+d") not in found and (0, "a+c+d") not in found and len(found) == 6
    assert rule.missing(none)["train"].tolist() == ["c+d"] * 2
    assert RULES["test-modality"].missing(none).empty
    main = rows[(rows["train"] != "b+c+d") | (rows["seed"] == 1)]
    assert (0, "b+c+d") not in picks("leave-one-modality-out", main)
    assert missing_runs(main, (1,))["train"].tolist() == ["b+c+d"] * 2
    assert picks("leave-one-modality-out", grid("abc", lambda *_: 0.5, sizes=(1,))) == {}
    assert len(rule.missing(grid("abc", lambda *_: 0.5, sizes=(1,)))) == 3 * 2


@pytest.mark.parametrize("rule", RULES)
def test_no_rows_no_choice(rule):
    none = grid("abc", lambda *_: 0.5).iloc[:0]
    assert RULES[rule].choose(none).empty and RULES[rule].missing(none).empty


@pytest.mark.parametrize("rule", RULES)
def test_a_score_that_occurs_twice_is_refused(rule):
    rows = grid("abc", lambda *_: 0.5)
    with pytest.raises(MglibError, match="twice"):
        RULES[rule].choose(pd.concat([rows, rows]))


def test_runs_that_leave_out_more_are_not_chosen():
    rows = grid("abcd", lambda *_: 0.5, sizes=(1, 2, 3))
    for rule in RULES:
        assert len(picks(rule, rows)) == 4
    assert training_modality_validation(rows)["train"].nunique() == 14, "asked directly: every run"


def visible(rule, rows, target):
    """Where a rule may look when it chooses for the run that leaves out `target`, ours."""
    validation = rows["split"] == OURS.own
    if rule == "test-modality":
        return validation & (rows["modality"] == target) & (rows["step"] == 3)
    if rule == "leave-one-modality-out":
        return validation & (rows["modality"] != target)
    trained = [m in t.split("+") for m, t in zip(rows["modality"], rows["train"], strict=True)]
    return validation & np.array(trained)


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_blind_to_all_but_what_they_look_at(rule):
    random = np.random.RandomState(0)
    moved = 0
    for _ in range(5):
        rows = grid("abcd", random_values(random), steps=(1, 2, 3))
        before = picks(rule, rows)
        for target, run_ in (("a", (0, "b+c+d")), ("c", (0, "a+b+d"))):
            seen = visible(rule, rows, target)
            other = random.permutation([np.nan, *range(9)] * (len(rows) // 10 + 1))[: len(rows)]
            hidden_changed = rows.assign(value=rows["value"].where(seen, other))
            assert picks(rule, hidden_changed)[run_] == before[run_]
            seen_changed = rows.assign(value=rows["value"].where(~seen, other))
            moved += picks(rule, seen_changed)[run_] != before[run_]
    assert moved >= 3, "a rule that never moves would be blind to everything"


def defined(rule, records, target, modalities):
    """(draw, step) by the published definition, or None; records[left, draw, step][m, part]."""
    others = [m for m in modalities if m != target]
    best = None
    for draw in sorted({draw for _, draw, _ in records}):
        own = sorted(s for left, d, s in records if (left, d) == (frozenset(target), draw))
        of_draw = None
        for step in own[-1:] if rule == "test-modality" else own:
            at = records[frozenset(target), draw, step]
            if rule == "training-modality":
                scores = [at[m, "out"] for m in others]
            elif rule == "test-modality":
                scores = [at[target, "out"]]
            else:
                pairs = [(m, (frozenset(target + m), draw, step)) for m in others]
                if any(pair not in records for _, pair in pairs):
                    continue
                scores = [records[pair][m, "in"] for m, pair in pairs]
            score = sum(scores) / len(scores)
            if of_draw is None or score > of_draw[0]:  # among steps the first of the best
                of_draw = (score, draw, step)
        if of_draw and (best is None or of_draw[0] >= best[0]):  # among draws the last
            best = of_draw
    return best and best[1:]


@pytest.mark.parametrize("modalities", ["abc", "abcd"])
def test_the_published_rules_against_their_definition_on_random_records(modalities):
    random = np.random.RandomState(len(modalities))
    dashes = 0
    for world in range(12):
        rows, trials = [], {0: {}, 1: {}}
        for seed, size, draw in itertools.product(trials, (1, 2, 3), range(3)):
            for left in itertools.combinations(modalities, size):
                if size == len(modalities) or random.rand() < 0.15:
                    continue  # a missing run
                for step in range(1, 1 + random.choice([1, 2, 3], p=[0.1, 0.2, 0.7])):
                    train = "+".join(m for m in modalities if m not in left)
                    scores = {
                        (m, part): random.randint(4) / 4 for m in modalities for part in IN_AND_OUT
                    }
                    trials[seed][frozenset(left), draw, step] = scores
                    rows += run(train, scores, draw, step, seed)
        frame = pd.DataFrame(rows).sample(frac=1, random_state=world)
        for rule in RULES:
            choice = RULES[rule].choose(frame, parts=published_parts())
            shown = reported(choice, published_parts())
            found = {
                (r.seed, r.modality): ((r.draw, r.step), r.value)
                for r in shown.itertuples(index=False)
            }
            for seed, target in itertools.product(trials, modalities):
                at = defined(rule, trials[seed], target, modalities)
                dashes += at is None
                wanted = at and (at, trials[seed][frozenset(target), *at][target, "in"])
                assert found.get((seed, target)) == wanted
    assert dashes, "no incomplete set was met"


def test_what_is_reported_is_of_the_modality_left_out():
    rows = grid("abc", lambda left, draw, step, m, part: 0.25 * THREE.index(part))
    shown = reported(RULES["training-modality"].choose(rows))
    assert len(shown) == 3 and set(shown["value"]) == {0.5}
    assert all(m not in t for m, t in zip(shown["modality"], shown["train"], strict=True))


def test_every_rule_says_what_it_is():
    assert [rule.title for rule in RULES.values()] == [
        "training-modality validation",
        "leave-one-modality-out cross-validation",
        "test-modality validation (oracle)",
    ]
    assert all(rule.looks_at for rule in RULES.values())
