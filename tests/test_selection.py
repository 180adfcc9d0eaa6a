"""Selection on hand-made records: right choice, ties, divergence, blindness to the report."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from mglib.trials.selection import training_modality_validation


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
