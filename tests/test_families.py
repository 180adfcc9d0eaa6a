"""Two families of learners compared: by hand-made values, and without a winner's curse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mglib.analysis.families import best_of_others, family_rows, family_table

FAMILIES = {"a": "generalization", "b": "generalization", "c": "multimodal"}


def values_of(table):
    return pd.DataFrame(
        [
            {"modality": m, "method": method, "split_seed": s, "value": value + shift}
            for method, row in table.items()
            for s, value in enumerate(row)
            for m, shift in (("art", -0.1), ("text", 0.1))
        ]
    )


def test_a_split_is_scored_by_what_is_best_on_the_others():
    table = np.array([[0.9, 0.1, 0.1], [0.2, 0.3, 0.4]])
    # without split 0 the second is better; without split 1 the first (0.5 against 0.3), ...
    assert best_of_others(table).tolist() == [0.2, 0.1, 0.1]


def test_picking_the_best_of_equals_does_not_flatter():
    random = np.random.RandomState(0)
    means = [best_of_others(random.randn(20, 4)).mean() for _ in range(400)]
    assert abs(np.mean(means)) < 3 * np.std(means) / 20
    assert random.randn(400, 20, 4).mean(2).max(1).mean() > 0.5, "the naive choice does"


def test_both_contests_by_hand():
    values = values_of({"a": [0.5, 0.6, 0.7], "b": [0.1, 0.2, 0.1], "c": [0.4, 0.3, 0.5]})
    contest = family_rows(values, FAMILIES, 0.2)
    assert contest.mean.mean == pytest.approx(np.mean([0.3 - 0.4, 0.4 - 0.3, 0.4 - 0.5]))
    assert contest.best.mean == pytest.approx(np.mean([0.1, 0.3, 0.2]))
    table = family_table({"one": contest, "two": None})
    assert table["Verdict"].tolist() == ["a tie", "–"]
    assert table["Best of each"].tolist()[0].startswith("+20.0")


def test_a_family_without_methods_has_no_contest():
    assert family_rows(values_of({"a": [0.1, 0.2]}), FAMILIES, 0.2) is None
