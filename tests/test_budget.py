"""Every notebook has its seconds, together they fit, and an overrun is one line and status 1."""

from __future__ import annotations

import pytest

from mglib.cli import main
from mglib.errors import MglibError
from mglib.report import budget
from mglib.report.budget import budgets, overrun
from mglib.report.execution import find_notebook, notebooks

NAME = "20_weak_generalization"


def test_every_notebook_has_its_seconds_and_no_other_name_is_listed():
    assert set(budgets()) == set(notebooks())
    for own in budgets().values():
        assert set(own) == {"quick", "laptop", "reference"}


def test_the_sums_are_what_the_paper_promises():
    assert sum(own["laptop"] for own in budgets().values()) <= 15 * 60
    assert all(15 <= own["quick"] <= 45 for own in budgets().values())
    assert all(own["reference"] <= 2.5 * 3600 for own in budgets().values())


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_REPORT", str(tmp_path))
    monkeypatch.delenv("MGLIB_BUDGET", raising=False)
    monkeypatch.setattr(budget, "budgets", lambda: {NAME: {"quick": 20.0, "laptop": 0.0}})
    return find_notebook(NAME)


def test_only_a_longer_whole_run_of_a_profile_overruns(notebook, monkeypatch):
    line = overrun(notebook, {}, 20.6)
    assert line.startswith(f"{NAME} took 21 s at profile quick, more than its 20 s in notebooks/")
    assert "kept" in line and "MGLIB_BUDGET=off" in line
    assert (
        overrun(notebook, {}, 20.0) == "" and overrun(notebook, {"profile": "reference"}, 99) == ""
    )
    assert overrun(notebook, {"profile": "laptop", "device": "cpu"}, 1)
    assert overrun(notebook, {"shard": "1/2"}, 99) == overrun(notebook, {"steps": 5}, 99) == ""
    monkeypatch.setenv("MGLIB_BUDGET", "off")
    assert overrun(notebook, {}, 99) == ""


def test_the_run_ends_before_its_overrun_is_told(notebook, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(
        "mglib.report.execution.run_notebook", lambda path, given, plain: ran.append(path.stem)
    )
    assert main(["run", NAME, NAME, "--profile", "laptop"]) == 1
    error = capsys.readouterr().err
    assert ran == [NAME, NAME] and error.count("\n") == 2
    assert error.startswith(f"mglib: {NAME} took 0 s at profile laptop, more than its 0 s")
    assert main(["run", NAME]) == 0
    monkeypatch.setenv("MGLIB_BUDGET", "told")
    assert main(["run", NAME, "--profile", "laptop"]) == 0
    assert "more than its 0 s" in capsys.readouterr().err


def test_a_broken_file_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("mglib.paths.ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    for text in ("[a", "a = 3", '[a]\nquick = "x"'):
        (tmp_path / budget.FILE).write_text(text)
        with pytest.raises(MglibError, match="notebooks/budget.toml is no table of seconds"):
            budgets()
