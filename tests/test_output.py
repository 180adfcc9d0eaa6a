"""What a notebook leaves for the paper: where, what, and made by what."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from mglib.errors import MglibError
from mglib.report.output import Output
from mglib.report.paper import assemble
from mglib.report.parameters import guarded
from mglib.rows import read_rows, write_part

NOTEBOOK = "20_weak_generalization"
CELL = 'profile: str = "{profile}"\nsteps: int | None = {steps}\ndevice: str = "auto"'


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_REPORT", str(tmp_path / "report"))
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "rows"))
    return tmp_path


def output(profile="quick", steps=None, injected=""):
    cells = [CELL.format(profile=profile, steps=steps)]
    return Output(NOTEBOOK, guarded([*cells, injected] if injected else cells))


def test_each_profile_has_its_folder_and_the_device_does_not_matter(own_folders):
    assert output("laptop").folder == own_folders / "report" / "laptop"
    same = output(injected="# Parameters\nprofile = 'laptop'\ndevice = 'cpu'")
    assert same.folder == own_folders / "report" / "laptop"


def test_exploring_never_alters_the_paper(own_folders):
    given = output("laptop", injected="# Parameters\nsteps = 50").folder
    edited = output("laptop", steps=50).folder
    assert given == edited != own_folders / "report" / "laptop", "an edited cell is no default"


def test_tables_numbers_and_their_records(own_folders):
    made = output()
    table = made.table("t", pd.DataFrame({"a": ["x"], "b": [1.5]}), align="lr")
    assert table.read_text() == "| a | b |\n|:--|--:|\n| x | 1.5 |\n"
    numbers = made.numbers(weak={"k": 10})
    assert json.loads(numbers.read_text()) == {"weak": {"k": "10"}}
    record = json.loads(table.with_name("t.md.json").read_text())
    assert record["notebook"] == NOTEBOOK and record["parameters"]["profile"] == "quick"


def test_provenance_is_that_of_the_rows_not_of_this_run():
    record = {
        "keys": ["a"], "commit": "a" * 40, "dirty": False, "device": "cpu", "threads": 1,
        "platform": "Linux x86_64", "python": "3.9.0", "versions": {"torch": "1.0"},
        "lock": "b" * 64, "wall_seconds": 90,
    }  # fmt: skip
    write_part(NOTEBOOK, [{"key": "a", "value": 0.5}], record)
    write_part(
        NOTEBOOK, [{"key": "b"}], {**record, "keys": ["b"], "commit": "c" * 40, "dirty": True}
    )
    found = dict(output().provenance(read_rows(NOTEBOOK)).itertuples(index=False))
    assert set(found["Commit"].split(", ")) == {
        f"`{'a' * 12}`", f"`{'c' * 12}` with uncommitted changes"}  # fmt: skip
    assert found["Packages"] == "torch 1.0" and "Python 3.9.0" in found["System"]
    assert found["Computed"] == "in 3.0 minutes of wall time, in 2 parts"


def test_rows_are_written_once_in_one_order_with_a_record():
    write_part(NOTEBOOK, [{"experiment": NOTEBOOK, "key": "b", "value": 0.5}], {})
    write_part(NOTEBOOK, [{"experiment": NOTEBOOK, "key": "a", "value": 0.25}], {})
    a, b = (read_rows(NOTEBOOK, {key}) for key in "ab")
    path = output().rows(a, b, a)
    first = path.read_bytes()
    assert sorted(pq.read_table(path)["key"].to_pylist()) == ["a", "b"]
    assert output().rows(b, a).read_bytes() == first
    record = json.loads(path.with_name(f"{NOTEBOOK}.parquet.json").read_text())
    assert record["notebook"] == NOTEBOOK and path.parent.name == "rows"


def test_a_false_claim_fails_the_paper(own_folders):
    root = own_folders / "root"
    root.mkdir()
    for name in ("paper.qmd", "references.bib", "_quarto.yml"):
        (root / name).write_text("")
    made = output()
    made.claims(**{"ERM lies between the bounds": True})
    assemble(root, made.folder, own_folders / "one")
    made.claims(**{"ERM lies between the bounds": False})
    with pytest.raises(MglibError, match="claims 'ERM lies between the bounds'"):
        assemble(root, made.folder, own_folders / "two")
