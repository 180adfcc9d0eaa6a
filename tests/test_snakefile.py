"""The order of work: what would run for each way to ask for the paper (a dry run of Snakemake)."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from mglib.paths import ROOT
from mglib.report.execution import notebooks

NAME = "20_weak_generalization"


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """The commands that a dry run prints; one notebook has committed rows."""
    for name in ("report", "rows", "results", "cache"):
        monkeypatch.setenv(f"MGLIB_{name.upper()}", str(tmp_path / name))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / f"{NAME}.parquet").write_bytes(b"")

    def plan(**config):
        command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local"]
        command += ["--dry-run", "--printshellcmds", "--config"]
        command += [f"{name}={value}" for name, value in config.items()]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said = done.stdout + done.stderr
        lines = re.findall(r"^Shell command: (.*)$", said, re.MULTILINE)
        return sorted({line.replace(str(tmp_path), "TMP").strip() for line in lines} - {"None"})

    return plan


def runs(notebook, profile, how=""):
    return f"{how}mglib run notebooks/{notebook}.ipynb --profile {profile}"


def test_the_paper_computes_here_and_trains_no_reference(planned):
    found = planned(profile="laptop", to="html", road="built-in")
    assert [line for line in found if " run " in line] == sorted(
        command
        for name in notebooks()
        for command in (
            runs(name, "laptop"),
            runs(name, "reference", "MGLIB_TRAIN=never "),
        )
    )
    assert "mglib prepare emoji_concepts --splits 5" in found
    assert "mglib compare --paper --profile laptop" in found
    assert "python -m mglib.report.paper --to html --road built-in" in found


def test_rendering_runs_only_what_has_committed_rows(planned):
    found = planned(profile="laptop", to="pdf", road="quarto", render="yes")
    assert found == [
        runs(NAME, "reference", "MGLIB_TRAIN=never "),
        "mglib compare --paper --profile laptop",
        "python -m mglib.report.paper --to pdf --road quarto",
    ]


def test_the_reference_itself_is_computed_anew(planned):
    found = planned(profile="reference", to="html")
    assert [line for line in found if " run " in line] == [
        runs(name, "reference", "MGLIB_RESULTS=TMP/report/none ") for name in notebooks()
    ]
    prepared = [line for line in found if line.startswith("mglib prepare ")]
    asked = {"emoji_concepts", "emoji_sentiment", "numerals", "smartwatch", "multiple_features"}
    assert {line.split()[2] for line in prepared} == asked
    assert all("--splits 10" in line for line in prepared)
