"""What the reference run left becomes the committed rows, figures and files, or a clear refusal."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from mglib.errors import MglibError
from mglib.report.output import Output
from mglib.report.parameters import guarded
from mglib.report.publish import gathered, main, publish
from mglib.rows import read_records, read_rows, write_part

NOTEBOOK = "20_weak_generalization"
RECORD = {
    "commit": "a" * 40, "dirty": False, "device": "cpu", "threads": 1, "platform": "Linux x86_64",
    "python": "3.11.2", "versions": {"torch": "2.13.0"}, "lock": "b" * 64, "wall_seconds": 30.0,
    "peak_memory_mib": 500.0, "started": "2026-11-22T01:00:00Z",
}  # fmt: skip


def row(key, value=0.5, **more):
    return {"experiment": NOTEBOOK, "algorithm": "erm", "key": key, "value": value, **more}


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name in ("report", "rows", "results"):
        monkeypatch.setenv(f"MGLIB_{name.upper()}", str(tmp_path / name))
    return tmp_path


@pytest.fixture
def run(folders):
    """A notebook's run at profile reference, as if from a clean commit: rows, figure, table."""

    def start(*tables, dirty=False, figures=("f",)):
        cell = 'profile: str = "reference"\ndevice: str = "auto"'
        output = Output(NOTEBOOK, guarded([cell]))
        output._record.finish = lambda **more: {**RECORD, "dirty": dirty, **more}
        for name in figures:
            output._write(output.folder / "figures" / f"{name}.svg", f"<svg>{name}</svg>")
        output.numbers(data={"k": 10})
        if tables:
            output.rows(*tables)
        executed = output.folder / "notebooks" / f"{NOTEBOOK}.ipynb"
        output._write(executed, "{}")
        return output.folder

    return start


def committed(folders, material, **options):
    (folders / "figures").mkdir(exist_ok=True)
    made = publish(NOTEBOOK, material, folders / "figures", **options)
    return {path.relative_to(folders).as_posix() for path in made}


def test_rows_are_published_once_with_what_made_them_and_read_back(folders, run):
    write_part(NOTEBOOK, [row("b", 0.1), row("b", 0.2, step=3)], {**RECORD, "keys": ["b"]})
    write_part(NOTEBOOK, [row("a"), row("unused")], {**RECORD, "keys": ["a", "unused"]})
    used = read_rows(NOTEBOOK, {"a", "b"})
    made = committed(folders, run(used, used))
    assert made == {f"results/{NOTEBOOK}.parquet", "figures/f.svg"}
    table = pq.read_table(folders / "results" / f"{NOTEBOOK}.parquet")
    assert sorted(table["key"].to_pylist()) == ["a", "b", "b"]
    told = json.loads((folders / "results" / f"{NOTEBOOK}.json").read_text())
    assert (told["runs"], told["rows"]) == (2, 3)
    (group,) = told["records"]
    assert group["parts"] == 2 and group["wall_seconds"] == 60.0 and group["commit"] == "a" * 40
    assert group["trained"] is True and "keys" not in group
    # On another machine there are no fresh rows: this profile alone reads the committed ones.
    for part in (folders / "rows" / NOTEBOOK).glob("*"):
        part.unlink()
    assert read_rows(NOTEBOOK, {"a", "b"}, "reference").num_rows == 3
    assert read_rows(NOTEBOOK, {"a", "b"}, "laptop").num_rows == 0
    assert read_records(NOTEBOOK, {"a"}, "reference") == [group]
    assert read_records(NOTEBOOK, {"a"}, "laptop") == []


def test_the_same_rows_give_the_same_bytes_in_whatever_order_they_came(folders, run):
    keys = ["c", "a", "b"]
    for key in keys:
        write_part(NOTEBOOK, [row(key), row(key, None, step=2)], {**RECORD, "keys": [key]})
    committed(folders, run(*(read_rows(NOTEBOOK, {key}) for key in keys)))
    files = sorted(p for p in (folders / "results").rglob("*") if p.is_file())
    before = [path.read_bytes() for path in files]
    figure = (folders / "figures" / "f.svg.json").read_bytes()
    committed(folders, run(read_rows(NOTEBOOK)))
    assert [path.read_bytes() for path in files] == before
    assert (folders / "figures" / "f.svg.json").read_bytes() == figure


def test_rows_computed_anew_are_told_by_what_computed_them_anew(folders, run):
    write_part(NOTEBOOK, [row("a"), row("b")], {**RECORD, "keys": ["a", "b"]})
    committed(folders, run(read_rows(NOTEBOOK)))
    shutil.rmtree(folders / "rows")
    other = {**RECORD, "commit": "c" * 40, "keys": ["b"]}
    write_part(NOTEBOOK, [row("b", 0.75)], other)
    committed(folders, run(read_rows(NOTEBOOK, {"a"}), read_rows(NOTEBOOK, {"b"}, "fresh")))
    told = json.loads((folders / "results" / f"{NOTEBOOK}.json").read_text())
    assert {group["commit"][0] for group in told["records"]} == {"a", "c"}
    assert read_rows(NOTEBOOK, {"b"})["value"].to_pylist() == [0.75]


def test_arrays_beside_rows_are_published_and_old_ones_leave(folders, run):
    write_part(NOTEBOOK, [row("a"), row("b")], {**RECORD, "keys": ["a", "b"]})
    arrays = folders / "rows" / NOTEBOOK / "artifacts"
    arrays.mkdir()
    for key in "ab":
        (arrays / f"{key}.safetensors").write_text(key)
    committed(folders, run(read_rows(NOTEBOOK)))
    own = folders / "results" / NOTEBOOK
    assert sorted(path.name for path in own.iterdir()) == ["a.safetensors", "b.safetensors"]
    committed(folders, run(read_rows(NOTEBOOK, {"b"})))
    assert [path.read_text() for path in own.iterdir()] == ["b"]


def test_figures_that_the_run_no_longer_makes_leave(folders, run):
    committed(folders, run(figures=("f", "g")))
    other = folders / "figures" / "other.svg"
    other.write_text("<svg/>")
    other.with_name("other.svg.json").write_text('{"notebook": "00_tour"}')
    material = run(figures=("f",))
    (material / "figures" / "g.svg").unlink()
    committed(folders, material)
    assert {path.name for path in other.parent.glob("*.svg")} == {"f.svg", "other.svg"}
    assert not (other.parent / "g.svg.json").exists()


def test_a_notebook_without_rows_leaves_its_tables_and_numbers(folders, run):
    made = committed(folders, run())
    assert made == {f"results/{NOTEBOOK}/numbers/{NOTEBOOK}.json", "figures/f.svg"}


def test_what_came_from_no_commit_is_refused_unless_told(folders, run):
    write_part(NOTEBOOK, [row("a")], {**RECORD, "keys": ["a"], "dirty": True})
    used = read_rows(NOTEBOOK)
    with pytest.raises(MglibError, match="some rows of .* uncommitted changes.*or say --dirty"):
        committed(folders, run(used))
    with pytest.raises(MglibError, match="files of .* uncommitted changes"):
        committed(folders, run(dirty=True))
    assert not list((folders / "results").glob("*"))
    committed(folders, run(used), dirty=True)
    told = json.loads((folders / "results" / f"{NOTEBOOK}.json").read_text())
    assert told["records"][0]["dirty"] is True


def test_rows_that_no_record_tells_of_are_refused(folders, run):
    write_part(NOTEBOOK, [row("a"), row("b")], {**RECORD, "keys": ["a"]})
    with pytest.raises(MglibError, match="1 of 2 keys .* no record .* the first b"):
        committed(folders, run(read_rows(NOTEBOOK)))


def test_rows_of_another_experiment_are_refused(run):
    write_part("other", [{**row("a"), "experiment": "other"}], {})
    with pytest.raises(MglibError, match="rows of 'other' cannot be kept"):
        run(read_rows("other"))


def test_the_command_says_what_is_missing_in_one_line(folders, capsys):
    assert main([NOTEBOOK]) == 2
    error = capsys.readouterr().err
    assert f"`mglib run {NOTEBOOK} --profile reference` makes it" in error
    assert error.startswith("mglib: no finished reference run") and error.count("\n") == 1
    assert main(["20_weak_generalisation"]) == 2
    assert "did you mean '20_weak_generalization'" in capsys.readouterr().err


def test_alike_records_become_one_and_different_ones_stay_apart():
    later = {**RECORD, "started": "2026-11-22T03:00:00Z", "wall_seconds": 5, "peak_memory_mib": 9}
    other = {**RECORD, "python": "3.12.0"}
    groups = gathered([later, RECORD, other])
    assert [g["parts"] for g in groups] == [2, 1]
    assert groups[0]["started"] == RECORD["started"] and groups[0]["peak_memory_mib"] == 500.0
    assert groups[0]["last_started"] == later["started"] and groups[0]["wall_seconds"] == 35.0
    assert gathered(groups) == groups, "what was gathered can be gathered again"
