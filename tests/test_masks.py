"""Stored mask tables: one question, one table, on every machine and after every accident."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mglib import paths
from mglib.errors import MglibError
from mglib.missing.drawing import drawn, question
from mglib.missing.masks import mask_table, path_of
from mglib.missing.subsets import realised
from mglib.registry import laws

ASKED: dict[str, Any] = dict(modalities=3, rows=200, seed=0, split_seed=1, part="train")

KNOWN = "110 001 101 100 001 101 110 100".split()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path))
    return tmp_path


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "masks").iterdir())


def test_a_second_reading_is_the_same_file(cache: Path) -> None:
    first = mask_table("entries", 0.4, **ASKED)
    path = path_of(question("entries", 0.4, **ASKED))
    content, card = path.read_bytes(), path.with_suffix(".json").read_bytes()
    again = mask_table("entries", 0.4, **ASKED)
    assert np.array_equal(first, again) and again.flags.writeable and again.dtype == np.bool_
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == (content, card)
    assert files(cache) == [path.with_suffix(".json").name, path.name]
    told, found = json.loads(card), realised(first)
    assert told["missing"] == found.missing and told["incomplete"] == found.incomplete
    assert told["law"] == "entries" and told["version"] == 1 and told["rate"] == 0.4
    assert sum(told["counts"].values()) == 200 and told["missing_by_modality"][0] > 0.2


def test_a_table_is_the_same_on_every_machine() -> None:
    table = mask_table("independent", 0.5, **{**ASKED, "rows": 8})
    # by hand: SHA-256 of the question's text seeds PCG64, whose first bits are these
    assert ["".join("01"[int(seen)] for seen in row) for row in table] == KNOWN


def test_another_question_is_another_file(cache: Path) -> None:
    first = mask_table("independent", 0.5, **ASKED)
    others = [
        mask_table("independent", 0.5, **{**ASKED, **other})
        for other in ({"seed": 1}, {"split_seed": 0}, {"part": "test"}, {"modalities": 2})
    ]
    assert all(not np.array_equal(first[:, :2], other[:, :2]) for other in others)
    mask_table("independent@empty=one", 0.5, **ASKED)
    assert len(files(cache)) == 2 * 6
    same = mask_table("independent", np.float64(0.1) * 3 + 0.2, labels=np.ones(3), **ASKED)
    assert np.array_equal(first, same) and len(files(cache)) == 2 * 6
    shorter = mask_table("independent", 0.3, **{**ASKED, "rows": 50})
    assert not (~shorter & first[:50]).any(), "what is lost at 0.3 is lost at 0.5"


def test_labels_are_part_of_the_question_where_they_matter(cache: Path) -> None:
    labels = np.arange(200) % 4
    first = mask_table("by_label", 0.5, labels=labels, **ASKED)
    assert np.array_equal(first, mask_table("by_label", 0.5, labels=labels.astype("i2"), **ASKED))
    assert len(files(cache)) == 2
    mask_table("by_label", 0.5, labels=labels + 1, **ASKED)
    assert len(files(cache)) == 4
    with pytest.raises(MglibError, match="give the labels"):
        mask_table("by_label", 0.5, **ASKED)


def test_another_version_of_a_law_is_another_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask_table("one_of", 0.5, **ASKED)
    monkeypatch.setattr(laws.get("one_of"), "version", 2)
    mask_table("one_of", 0.5, **ASKED)
    assert len(files(cache)) == 4


@pytest.mark.parametrize("harm", ["cut", "flipped", "another", "gone", "card cut", "card gone"])
def test_what_is_damaged_is_drawn_again(harm: str) -> None:
    first = mask_table("entries", 0.4, **ASKED)
    path = path_of(question("entries", 0.4, **ASKED))
    card = path.with_suffix(".json")
    content, told = path.read_bytes(), card.read_bytes()
    if harm == "cut":
        path.write_bytes(content[:-7])
    elif harm == "flipped":
        path.write_bytes(content[:-1] + bytes([1 - content[-1]]))
    elif harm == "another":
        save_file({"observed": ~first}, path)
    elif harm == "gone":
        path.unlink()
    elif harm == "card cut":
        card.write_bytes(told[:-20])
    else:
        card.unlink()
    assert np.array_equal(mask_table("entries", 0.4, **ASKED), first)
    assert (path.read_bytes(), card.read_bytes()) == (content, told)


def test_a_law_that_draws_otherwise_without_a_new_version_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask_table("one_of", 0.5, **ASKED)
    path = path_of(question("one_of", 0.5, **ASKED))
    path.unlink()
    monkeypatch.setattr(laws.get("one_of"), "draw", laws.get("independent").draw)
    monkeypatch.setattr(laws.get("one_of"), "values", laws.get("independent").values)
    with pytest.raises(MglibError, match="cannot be drawn again.*delete the card, or raise"):
        mask_table("one_of", 0.5, **ASKED)


WRITER = """
from mglib.missing.masks import mask_table
for seed in range(12):
    table = mask_table("entries", 0.4, modalities=3, rows=200, seed=seed, split_seed=1, part="test")
print(hash(table.tobytes()) and table.sum())
"""


def test_two_writers_write_the_same(cache: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER],
            cwd=paths.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], told
    assert told[0] == told[1]
    assert len(files(cache)) == 24 and not any("tmp" in name for name in files(cache))
    for seed in range(12):
        asked = question("entries", 0.4, **{**ASKED, "seed": seed, "part": "test"})
        assert np.array_equal(load_file(path_of(asked))["observed"], drawn(asked))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"rows": 0}, "rows of a mask table must be a whole number from 1, not 0"),
        ({"seed": -1}, "seed of a mask table must be a whole number from 0, not -1"),
        ({"split_seed": 0.5}, "split_seed of a mask table"),
        ({"part": ""}, "part of a mask table must be the name of a part, not ''"),
        ({"modalities": 1}, "is for 2 to 12 modalities"),
    ],
)
def test_a_bad_question_is_one_clear_error_and_no_file(
    cache: Path, other: dict[str, Any], words: str
) -> None:
    with pytest.raises(MglibError, match=words):
        mask_table("entries", 0.4, **{**ASKED, **other})
    with pytest.raises(MglibError, match="did you mean 'entries'"):
        mask_table("entry", 0.4, **ASKED)
    with pytest.raises(MglibError, match="from 0 to 0.6667, not 0.9"):
        mask_table("entries", 0.9, **ASKED)
    assert not (cache / "masks").exists()


def test_a_place_that_cannot_be_written_is_one_clear_error(cache: Path) -> None:
    (cache / "masks").write_text("no folder")
    with pytest.raises(MglibError, match="cannot write .*MGLIB_CACHE"):
        mask_table("entries", 0.4, **ASKED)
