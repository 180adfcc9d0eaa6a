"""`mglib gc`: each kind of leftover is found and nothing else, and only --delete deletes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from _asked import change_record, part_of, trials_of

from mglib import paths
from mglib.algorithms.erm import ERM
from mglib.arrays import save_arrays
from mglib.cli import main
from mglib.keys import gc as module
from mglib.keys.gc import scan
from mglib.perceptors.prepare import prepare
from mglib.rows import read_rows

DAY = 24 * 3600


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "rows"))
    monkeypatch.setenv("MGLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def folder(own_folders):
    made = own_folders / "rows" / "made_up"
    made.mkdir(parents=True)
    return made


def old(path, content=b"x", age=DAY):
    """A file that was last touched so many seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


def artifact(path, *keys):
    """A file of arrays that names keys."""
    save_arrays(path, {"x": np.zeros(1)}, dict.fromkeys(keys, {}))
    return old(path, None)


def left_over():
    return {one.path for one in scan() if one.left_over}


def kept():
    return {one.path: one.reason for one in scan() if not one.left_over}


def test_a_healthy_tree_lists_nothing_and_nothing_there_neither(tiny, folder, capsys):
    assert main(["gc"]) == 0
    assert capsys.readouterr().out == "nothing is left over\n"
    prepare(tiny, ("raw", "shifted"), split_seeds=[0, 1])
    part = part_of(trials_of())
    keys = [trial.key for trial in trials_of()]
    artifact(part.with_suffix(".predictions.safetensors"), *keys)
    artifact(part.with_suffix(".weights.safetensors"), *keys)
    artifact(folder / "artifacts" / f"{keys[0]}.safetensors")
    artifact(folder / f"{'a' * 16}.predictions.safetensors", keys[1])
    state = {"keys": [trials_of(seeds=[9])[0].key], "file": "x"}
    old(folder / f"{'b' * 16}.state.json", json.dumps(state).encode())
    old(folder / f"{'b' * 16}.step20.state.safetensors")
    for path in folder.rglob("*"):
        old(path, None)
    assert main(["gc", "--delete"]) == 0
    assert capsys.readouterr().out == "nothing is left over\n"


def test_a_part_goes_when_all_its_keys_are_stale(folder, monkeypatch, capsys):
    erm, mixed = trials_of("erm"), [*trials_of("erm", [5]), *trials_of("majority", [0])]
    stale, live, other = part_of(erm), part_of(mixed), part_of(trials_of("concat"))
    endings = ("predictions", "answers", "missing", "weights")
    beside = [artifact(stale.with_suffix(f".{own}.safetensors"), erm[0].key) for own in endings]
    assert not left_over()
    before = ERM.version
    monkeypatch.setattr(ERM, "version", 99)
    assert left_over() == {stale, stale.with_suffix(".json"), *beside} and not kept()
    main(["gc"])
    out = capsys.readouterr().out
    assert f"stale: algorithm erm: version {before} then, 99 now" in out
    assert "6 files" in out and "`mglib gc --delete` deletes them" in out
    assert stale.exists()
    main(["gc", "--delete"])
    assert "deleted 6 files" in capsys.readouterr().out
    assert not stale.exists() and live.exists() and other.exists() and not left_over()
    keys = {trial.key for trial in (*mixed, *trials_of("concat"))}
    assert set(read_rows("made_up")["key"].to_pylist()) == keys


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda part: change_record(part, questions=None), "does not hold the questions"),
        (lambda part: change_record(part, questions={"columns": 1}), "cannot be read"),
        (lambda part: part.with_suffix(".json").write_text("{"), "missing or cannot be read"),
        (lambda part: part.with_suffix(".json").unlink(), "missing or cannot be read"),
        (lambda part: part.write_bytes(b"PAR1"), "its rows cannot be read"),
    ],
)
def test_what_cannot_be_judged_is_said_and_kept(folder, damage, reason, monkeypatch, capsys):
    part = part_of(trials_of())
    damage(part)
    monkeypatch.setattr(ERM, "version", 99)
    assert not left_over()
    assert list(kept()) == [part] and reason in kept()[part]
    assert main(["gc", "--delete"]) == 0
    assert f"kept  {part}" in capsys.readouterr().out and part.exists()


def test_a_record_of_other_keys_is_kept(folder, monkeypatch):
    part, other = part_of(trials_of()), part_of(trials_of("majority"))
    told = json.loads(other.with_suffix(".json").read_text())["questions"]
    keys = [trial.key for trial in trials_of()]
    change_record(
        part, questions={**told, "keys": dict(zip(keys, told["keys"].values(), strict=True))}
    )
    assert "does not belong" in kept()[part] and not left_over()


def test_what_has_lost_its_rows(folder):
    name = "0" * 16
    lost = {
        old(folder / f"{name}.json", b"{}"),
        artifact(folder / f"{name}.predictions.safetensors", "gone"),
        old(folder / f"{name}.weights.safetensors", b"no head"),
        old(folder / "artifacts" / f"{name}.safetensors"),
        old(folder / f"{name}.step5.state.safetensors"),
    }
    old(folder / f"{'1' * 16}.json", b"{}", age=60)  # a run may be about to write its part
    old(folder / f"{'1' * 16}.step5.state.safetensors", age=60)
    for name in ("notes.txt", "0123.json", f"{'0' * 16}.csv", "results.json", "x.parquet"):
        old(folder / name)
    assert left_over() == lost and not kept()


def test_saved_states_of_what_is_done_or_stale(folder, monkeypatch):
    done, going = trials_of(), trials_of(seeds=[7])
    part_of(done)

    def state(name, trials, **more):
        told = {"keys": [trial.key for trial in trials], **more}
        return {
            old(folder / f"{name * 16}.state.json", json.dumps(told).encode()),
            old(folder / f"{name * 16}.step3.state.safetensors"),
        }

    finished = state("a", done)
    state("b", going)
    with_questions = state("c", going, questions={going[0].key: going[0].identity})
    old(folder / f"{'d' * 16}.state.json", b"{")
    assert left_over() == finished
    assert [path.name for path in kept()] == [f"{'d' * 16}.state.json"]
    monkeypatch.setattr(ERM, "version", 99)
    found = {path for path in left_over() if ".state." in path.name}
    assert with_questions <= found and not found & {folder / f"{'b' * 16}.state.json"}


def test_half_written_files_of_dead_processes_or_of_yesterday(folder, own_folders):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own, features = os.getpid(), own_folders / "cache" / "features" / "d" / "p"
    found = {
        old(folder / f".x.parquet.{ended.pid}.tmp", age=120),
        old(folder / f".y.json.{own}.tmp"),
        old(features / f".art.safetensors.{ended.pid}.tmp", age=120),
    }
    old(folder / f".x.parquet.{ended.pid + 0}.new.tmp", age=5)
    old(folder / f".z.json.{own}.tmp", age=120)
    old(folder / "z.tmp")
    old(folder / ".z.tmp")
    assert left_over() == found


def test_features_that_no_recipe_makes(tiny, own_folders, monkeypatch):
    prepare(tiny, ("raw", "shifted"), split_seeds=[0])
    store = own_folders / "cache" / "features" / tiny
    unknown = {
        old(store / "raw" / "colour.safetensors"),
        old(store / "shiftd" / "word.split0.safetensors"),
        old(store.parent / "tinny" / "raw" / "word.json"),
        old(store / "raw" / "word.split0.safetensors"),
        old(store / "shifted" / "word.split7.safetensors"),
    }
    old(store / "shifted" / "word.split8.safetensors", age=60)
    old(store / "raw" / "notes.txt")
    old(store / ".lock")
    assert left_over() == unknown
    damaged = store / "shifted" / "picture.split0.safetensors"
    damaged.write_bytes(b"x")
    assert left_over() == unknown | {damaged, damaged.with_suffix(".json")}
    monkeypatch.setattr("_tiny.Shifted.version", "9")
    word = store / "shifted" / "word.split0.safetensors"
    assert left_over() - unknown == {
        *(damaged, damaged.with_suffix(".json")),
        *(word, word.with_suffix(".json")),
    }
    assert module.gc(delete=True)[-1].startswith("deleted 9 files")
    assert {path.name for path in store.rglob("*.safetensors")} == {
        "picture.safetensors",
        "word.safetensors",
        "word.split8.safetensors",
    }


def test_committed_results_are_never_touched(own_folders, monkeypatch):
    monkeypatch.setenv("MGLIB_RESULTS", str(own_folders / "rows" / "results"))
    part = part_of(trials_of(), "results")
    lost = old(paths.results() / f"{'0' * 16}.json")
    monkeypatch.setattr(ERM, "version", 99)
    assert scan() == [] and part.exists() and lost.exists()
