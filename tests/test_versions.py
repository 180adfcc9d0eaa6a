"""No code that decides results changes under the same version: mglib/versions.json knows it."""

from __future__ import annotations

import json
import shutil

import pytest

from mglib import paths, registry
from mglib.algorithms.majority import Majority
from mglib.errors import MglibError
from mglib.keys import versions
from mglib.keys.versions import main, present, problems, renew
from mglib.lineage import record_path, recorded


def test_no_version_was_forgotten():
    """Says what changed, where, and what to do; new files are asked for once git knows them."""
    assert [problem.text for problem in problems()] == []


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the package's code to edit, recorded as it is, with all its files known to git."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(paths.ROOT / "mglib", tmp_path / "mglib", ignore=skip)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.py")}
    monkeypatch.setattr(versions, "tracked_files", lambda: files)
    renew()
    assert problems() == []
    return tmp_path / "mglib"


def edit(file, text="\nEDITED = 1\n"):
    file.write_text(file.read_text() + text)


def said():
    return [(problem.part, problem.kind) for problem in problems()]


def test_a_comment_is_no_change(checkout):
    edit(checkout / "algorithms" / "majority.py", "\n# a word\n")
    assert said() == []


def test_a_forgotten_version_names_thing_file_and_remedy(checkout):
    edit(checkout / "algorithms" / "majority.py")
    edit(checkout / "data" / "_glyphs.py")
    assert said() == [("algorithm/majority", "changed"), ("dataset/emoji_concepts", "changed")]
    file = "mglib/algorithms/majority.py"
    assert problems()[0].text == (
        f"algorithm/majority is not what version {Majority.version} was ({file}): raise `version` "
        f"in {file} and run `make versions`, or, if no result changes, "
        "`make versions SAME=algorithm/majority`"
    )
    assert "(mglib/data/_glyphs.py)" in problems()[1].text


def test_versions_are_renewed_only_when_raised_or_acknowledged(checkout, monkeypatch, capsys):
    before = recorded()
    edit(checkout / "algorithms" / "majority.py")
    edit(checkout / "trials" / "networks.py")
    assert main([]) == 2
    refused = capsys.readouterr().err
    assert "algorithm/majority is not what" in refused and "engine is not what" in refused
    assert main(["majority"]) == 2 and "engine is not" in capsys.readouterr().err
    assert recorded() == before
    monkeypatch.setattr(Majority, "version", Majority.version + 1)
    assert said() == [("algorithm/majority", "raised"), ("engine", "changed")]
    assert main(["engine"]) == 0
    out = capsys.readouterr().out
    assert f"algorithm/majority: version {Majority.version - 1} -> {Majority.version}" in out
    assert "engine: code changed" in out and "kept as told" in out
    assert said() == [] and recorded() != before
    assert main([]) == 0 and "as the code is" in capsys.readouterr().out


def test_a_move_is_acknowledged_by_name(checkout):
    moved = checkout / "algorithms" / "_losses.py"
    moved.write_text("WEIGHT = 1\n")
    edit(checkout / "algorithms" / "majority.py", "\nfrom mglib.algorithms._losses import WEIGHT\n")
    edit(checkout / "algorithms" / "irm.py", "\nfrom mglib.algorithms._losses import WEIGHT\n")
    assert "mglib/algorithms/_losses.py new" in problems()[0].text
    assert len(renew(["majority", "algorithm/irm"])) == 2 and said() == []
    moved.rename(checkout / "algorithms" / "_sums.py")
    for name in ("majority.py", "irm.py"):
        file = checkout / "algorithms" / name
        file.write_text(file.read_text().replace("_losses", "_sums"))
    assert "mglib/algorithms/_losses.py gone" in problems()[0].text
    assert len(renew(["majority", "irm"])) == 2 and said() == []


@pytest.mark.parametrize("same", [["irm"], ["majority", "nothing"], ["er"]])
def test_what_did_not_change_cannot_be_acknowledged(checkout, same):
    edit(checkout / "algorithms" / "majority.py")
    with pytest.raises(MglibError, match="no changed part"):
        renew(same)
    assert said() == [("algorithm/majority", "changed")]


def test_a_lowered_version_is_refused(checkout, monkeypatch):
    monkeypatch.setattr(Majority, "version", 0)
    assert said() == [("algorithm/majority", "lowered")]
    with pytest.raises(
        MglibError, match="raise `version` in mglib/algorithms/majority.py above it"
    ):
        renew()


def test_a_dropped_in_file_is_asked_for_once_git_knows_it(checkout, monkeypatch):
    class Dropped(Majority):
        """Made up."""

    Dropped.__module__ = "mglib.algorithms.dropped"
    text = "from mglib.algorithms.majority import Majority\n"
    (checkout / "algorithms" / "dropped.py").write_text(text)
    monkeypatch.setitem(registry.algorithms._found, "dropped", Dropped)
    assert said() == []
    known = versions.tracked_files() | {"mglib/algorithms/dropped.py"}
    monkeypatch.setattr(versions, "tracked_files", lambda: known)
    assert said() == [("algorithm/dropped", "new")]
    assert "make versions" in problems()[0].text
    assert renew() == ["algorithm/dropped: version " + str(Majority.version) + ", new"]
    assert said() == []
    edit(checkout / "algorithms" / "majority.py")
    assert said() == [("algorithm/dropped", "changed"), ("algorithm/majority", "changed")]
    monkeypatch.delitem(registry.algorithms._found, "dropped")
    assert ("algorithm/dropped", "gone") in said()


def test_without_git_only_what_is_recorded_counts(checkout, monkeypatch):
    monkeypatch.setattr(versions, "tracked_files", lambda: None)
    record = recorded()
    del record["algorithm/majority"]
    record_path().write_text(json.dumps(record))
    assert said() == []


def test_what_tests_register_is_no_part_of_the_record(tiny):
    assert not {"dataset/tiny", "perceptor/shifted"} & present().keys()
    assert {
        "engine",
        "store",
        "splits",
        "algorithm/majority",
        "measure/retrieval",
    } <= present().keys()
