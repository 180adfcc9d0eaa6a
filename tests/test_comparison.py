"""Two machines' rows of the same questions: cell by cell, beyond tolerance or within."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mglib.analysis.comparison import TOLERANCE, compare_cells, last_values
from mglib.rows import SCHEMA


def row(key, value, **more):
    return {
        "experiment": "made_up", "task": "t", "dataset": "d", "algorithm": "erm",
        "variant": "corrected", "train": "a+b", "modality": "c", "split": "test",
        "metric": "accuracy", "step": 10, "key": key, "value": value, **more,
    }  # fmt: skip


def table(*rows):
    return pa.Table.from_pylist(
        [{name: r.get(name) for name in SCHEMA.names} for r in rows], schema=SCHEMA
    )


def test_only_the_last_step_of_the_test_part_counts():
    rows = [
        row("a", 0.1, step=5), row("a", 0.3), row("a", 0.9, split="validation"),
        row("b", 0.2, step=5),
        row("m", 0.7, step=None, split=None, algorithm=None, hparams='{"k": 1}'),
    ]  # fmt: skip
    found = last_values(table(*rows))
    assert dict(zip(found["key"], found["value"], strict=True)) == {"a": 0.3, "b": 0.2, "m": 0.7}
    assert set(found["asked"]) == {"", '{"k": 1}'}


def test_a_cell_is_the_mean_over_the_keys_that_both_have():
    here = table(row("a", 0.2), row("b", 0.4), row("only here", 0.0))
    there = table(row("a", 0.2), row("b", 0.5), row("only there", 1.0))
    (cell,) = compare_cells(here, there).to_dict("records")
    assert cell["n"] == 2 and not cell["same"]
    assert cell["here"] == pytest.approx(0.3) and cell["reference"] == pytest.approx(0.35)
    assert cell["difference"] == pytest.approx(-0.05)


def test_cells_differ_in_what_is_asked_and_not_in_seed_split_or_draw():
    rows = [
        row("a", 0.1, seed=0), row("b", 0.2, seed=1, split_seed=3, draw=2),
        row("c", 0.3, modality="b"), row("d", 0.4, variant="as_published"),
        row("e", 0.5, algorithm=None, hparams="x"), row("f", 0.6, algorithm=None, hparams="y"),
        row("g", 0.7, test_rate=0.5),
    ]  # fmt: skip
    cells = compare_cells(table(*rows), table(*rows))
    assert sorted(cells["n"]) == [1, 1, 1, 1, 1, 2]
    assert cells["same"].all() and not cells["beyond"].any() and (cells["difference"] == 0).all()


def test_the_tolerance_shrinks_with_the_root_of_the_keys_and_the_worst_cell_is_first():
    def rows(shift):
        near = [row(f"n{i}", 0.5 + shift * 0.9) for i in range(16)]
        far = [row(f"f{i}", 0.5 + shift * 1.1, modality="far") for i in range(16)]
        alone = [row("s", 0.5 + shift * 1.1, modality="alone")]
        return table(*alone, *near, *far)

    cells = compare_cells(rows(TOLERANCE / 4), rows(0.0))
    assert cells["modality"].tolist() == ["far", "c", "alone"]
    assert cells["beyond"].tolist() == [True, False, False]
    assert cells["tolerance"].tolist() == pytest.approx([TOLERANCE / 4, TOLERANCE / 4, TOLERANCE])


def test_a_measure_larger_than_one_is_compared_by_its_size():
    cells = compare_cells(table(row("a", 200 + 100 * TOLERANCE)), table(row("a", 200.0)))
    assert cells["tolerance"].tolist() == [200 * TOLERANCE] and not cells["beyond"].any()


def test_diverging_on_one_side_alone_is_beyond_any_tolerance():
    both = row("a", None, modality="both")
    cells = compare_cells(table(row("b", None), both), table(row("b", 0.5), both))
    assert cells["beyond"].tolist() == [True, False] and cells["modality"].tolist() == ["c", "both"]


def test_nothing_in_common_is_no_cell():
    cells = compare_cells(table(row("a", 0.1)), table(row("b", 0.1)))
    assert len(cells) == 0 and int(cells["beyond"].sum()) == 0
