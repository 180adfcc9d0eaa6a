"""The result table: typed columns, parts that are whole, each trial counted once."""

from __future__ import annotations

import json

import pytest

from mglib.errors import MglibError
from mglib.rows import SCHEMA, read_rows, write_part


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    return tmp_path / "made_up"


def row(key, value=0.5, **more):
    return {
        "experiment": "made_up",
        "key": key,
        "metric": "accuracy",
        "value": value,
        "n": 7,
        **more,
    }


def test_what_is_written_is_read_with_its_record(own_folder):
    part = write_part("made_up", [row("a"), row("a", None, status="diverged")], {"commit": "x"})
    table = read_rows("made_up")
    assert table.schema == SCHEMA
    assert table["value"].to_pylist() == [0.5, None]
    assert json.loads(part.with_suffix(".json").read_text()) == {"commit": "x"}
    assert not list(own_folder.glob(".*"))


def test_trials_in_two_parts_count_once(own_folder):
    write_part("made_up", [row("a"), row("b")], {})
    write_part("made_up", [row("b"), row("c")], {})
    assert sorted(read_rows("made_up")["key"].to_pylist()) == ["a", "b", "c"]
    assert read_rows("made_up", {"b", "z"})["key"].to_pylist() == ["b"]


def test_an_unknown_column_is_refused_and_nothing_is_written(own_folder):
    with pytest.raises(MglibError, match="accuracy_"):
        write_part("made_up", [row("a", accuracy_=1)], {})
    assert not own_folder.exists()


def test_a_damaged_part_is_named(own_folder):
    part = write_part("made_up", [row("a")], {})
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(MglibError, match=f"damaged result rows .*{part.name}"):
        read_rows("made_up")


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "file"))
    with pytest.raises(MglibError, match="cannot write .*MGLIB_ROWS"):
        write_part("made_up", [row("a")], {})
