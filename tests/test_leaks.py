"""Leak checks find planted leaks and nothing else; sizes are counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mglib.analysis import sizes as part_sizes
from mglib.analysis.leaks import SEEN, fault_rows, faults, leak_table, nearest
from mglib.analysis.sizes import count_numbers, count_rows, size_rows, size_table
from mglib.data.splits import FRACTIONS, split_indices
from mglib.perceptors.prepare import prepare


def test_every_kind_of_fault_is_counted():
    groups = np.array([0, 0, 1, 1, 2, 2])
    clean = {"train": np.array([0, 1, 4, 5]), "test": np.array([2, 3])}
    assert set(faults(clean, groups).values()) == {0}
    wrong = {"train": np.array([0, 1, 2]), "test": np.array([2, 3, 4])}
    assert faults(wrong, groups) == {
        "straddling_groups": 1,
        "shared_instances": 1,
        "lost_instances": 1,
    }


def test_nearest_is_the_largest_centred_cosine():
    random = np.random.RandomState(0)
    queries, gallery = random.randn(7, 5) + 20, random.randn(30, 5) + 20
    centre = gallery.mean(axis=0)
    slow = [
        max(
            (q - centre) @ (g - centre) / np.linalg.norm(q - centre) / np.linalg.norm(g - centre)
            for g in gallery
        )
        for q in queries
    ]
    assert nearest(queries, gallery) == pytest.approx(slow, abs=1e-4)
    assert nearest(gallery[3:4], gallery)[0] == pytest.approx(1, abs=1e-5)
    assert nearest(centre[None], np.vstack([gallery, 2 * centre - gallery]))[0] < 0.99


@pytest.fixture
def prepared(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "rows"))
    prepare(tiny, ("raw",))
    return tiny


def test_the_splits_are_without_fault_and_cover_all(prepared):
    found = fault_rows("x", prepared, range(4), profile="quick")
    assert found.num_rows == 12 and set(found["value"].to_pylist()) == {0.0}


def test_sizes_and_counts_are_those_of_the_splits_and_need_no_features_again(
    prepared, tmp_path, monkeypatch
):
    sizes = size_rows("x", prepared, range(3), profile="quick")
    counts = count_rows("x", prepared, profile="quick")
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "nothing prepared"))
    assert size_rows("x", prepared, range(3), profile="quick") == sizes
    assert count_rows("x", prepared, profile="quick") == counts
    groups = np.arange(12) // 2
    tested = [len(split_indices(groups, seed)["test"]) for seed in range(3)]
    assert part_sizes.tested_share(sizes) == pytest.approx(np.mean(tested) / 12)
    table = size_table(sizes)
    assert table["part"].tolist() == [*FRACTIONS] and {*SEEN, "test"} == set(FRACTIONS)
    assert table["instances"].sum() == 12 and table["groups"].sum() == 6
    assert table["share of instances"].sum() == pytest.approx(1)
    numbers = count_numbers(counts)
    assert {name: numbers[name] for name in ("concepts", "groups", "classes", "languages")} == {
        "concepts": "12",
        "groups": "6",
        "classes": "3",
        "languages": "1",
    }


def test_the_table_puts_both_ways_of_splitting_side_by_side():
    values = pd.DataFrame(
        [
            ("art", "raw", by, metric, split, share)
            for by, share in (("group", 0.0), ("instance", 0.1))
            for metric in ("equal", "near")
            for split in range(2)
        ]
        + [
            ("speech", "raw", by, "equal", s, 0.0) for by in ("group", "instance") for s in range(2)
        ],
        columns=["modality", "perceptor", "by", "metric", "split_seed", "value"],
    )
    table = leak_table(values, 0.2).set_index("Modality")
    assert table.loc["art", "Near, by group"].startswith("0.0")
    assert table.loc["art", "Near, by instance"].startswith("10.0")
    assert table.loc["speech", "Near, by group"] == "–"
