"""The optional pre-commit hooks: local ones only, whose commands exist and do what they say."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mglib.paths import ROOT
from mglib.report.execution import find_notebook, notebooks
from mglib.report.kept import main

REPOS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
HOOKS = {hook["id"]: hook for repo in REPOS for hook in repo["hooks"]}
BIN = Path(sys.executable).parent


def run(hook: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """What a hook does to files; .venv/bin is where this Python is."""
    command = [
        str(BIN / word.removeprefix(".venv/bin/")) if word.startswith(".venv/bin/") else word
        for word in shlex.split(HOOKS[hook]["entry"])
    ]
    return subprocess.run(
        [*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_hooks_are_local_and_download_nothing():
    assert {repo["repo"] for repo in REPOS} == {"local"}
    assert {hook["language"] for hook in HOOKS.values()} == {"system"}
    assert set(HOOKS) == {"ruff-check", "ruff-format", "mypy", "stripped", "large-files"}


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_the_command_exists(hook):
    command = shlex.split(hook["entry"])[0]
    own = command.removeprefix(".venv/bin/")
    assert (BIN / own).exists() if own != command else shutil.which(command)


def test_ruff_finds_faults(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("import os\nx = 'y'\n")
    assert run("ruff-check", bad).returncode == 1
    assert run("ruff-format", bad).returncode == 0 and bad.read_text() == 'import os\n\nx = "y"\n'


def test_large_files_are_refused(tmp_path):
    small, large = tmp_path / "small file", tmp_path / "large file"
    small.write_bytes(b"x" * 200_000)
    large.write_bytes(b"x" * 206_000)
    assert run("large-files", small, small).returncode == 0
    refused = run("large-files", small, large)
    assert refused.returncode == 1 and str(large) in refused.stdout
    assert str(small) not in refused.stdout


def test_the_notebooks_are_stripped():
    files = [find_notebook(name) for name in notebooks()]
    assert files and main(["--check", *map(str, files)]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content, cell: cell.update(outputs=[{"output_type": "stream"}]), "outputs"),
        (lambda content, cell: cell.update(execution_count=3), "execution count"),
        (lambda content, cell: cell["metadata"].update(papermill={}), "papermill"),
        (lambda content, cell: content["metadata"].update(widgets={}), "widgets"),
    ],
)
def test_what_running_leaves_in_a_notebook_is_refused(change, said, tmp_path, capsys):
    content = json.loads(find_notebook("20_weak_generalization").read_text(encoding="utf-8"))
    plain = [c for c in content["cells"] if c["cell_type"] == "code" and not c["outputs"]]
    change(content, plain[-1])
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps(content), encoding="utf-8")
    assert main(["--check", str(file)]) == 2
    error = capsys.readouterr().err
    assert said in error and "a.ipynb is not stripped" in error and error.count("\n") == 1


def test_the_citation_has_the_required_fields():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["title"]
    assert citation["authors"] and all(author.get("name") for author in citation["authors"])
    assert citation["type"] in ("software", "dataset") and citation["license"] == "Apache-2.0"
    allowed = "cff-version title message type version license authors abstract keywords references"
    allowed += " date-released repository-code url doi preferred-citation identifiers"
    assert set(citation) <= set(allowed.split())
