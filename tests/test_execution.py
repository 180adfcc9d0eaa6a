"""Notebooks run with their parameters, refuse wrong ones at once, and keep tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest

from mglib import paths
from mglib.errors import MglibError
from mglib.report.execution import (
    find_notebook,
    notebooks,
    run_cells,
    run_notebook,
    stop_if_sharded,
)
from mglib.report.parameters import parameters_of

CELLS = [
    ("markdown", "# How many?", []),
    ("code", 'profile: str = "quick"\ncount: int = 1\nshard: str = ""', ["parameters"]),
    ("code", "from mglib.report import guard, stop_if_sharded\nP = guard()", []),
    ("code", "trained = P.count\nstop_if_sharded(P.shard)", ["run"]),
    ("code", "answer = 10 // P.count\nprint('answer', answer)", []),
]


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_REPORT", str(tmp_path / "report"))
    made = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    for kind, source, tags in CELLS:
        cell = getattr(nbformat.v4, f"new_{kind}_cell")(source, metadata={"tags": tags})
        made.cells.append(cell)
    path = tmp_path / "count.ipynb"
    nbformat.write(made, path)
    return path


def printed(executed):
    cells = json.loads(executed.read_text())["cells"]
    return "".join("".join(o.get("text", "")) for c in cells for o in c.get("outputs", []))


def test_papermill_runs_with_parameters_and_keeps_the_copy(notebook, tmp_path):
    executed = run_notebook(notebook, {"profile": "laptop"})
    assert executed == tmp_path / "report" / "laptop" / "notebooks" / "count.ipynb"
    assert "answer 10" in printed(executed)
    record = json.loads(executed.with_name("count.ipynb.json").read_text())
    assert record["notebook"] == "count" and record["parameters"]["profile"] == "laptop"
    assert record["wall_seconds"] > 0 and "commit" in record
    other = run_notebook(notebook, {"count": 5})
    assert other.parent.parent.name.startswith("quick-"), "another question, another folder"
    assert "answer 2" in printed(other)


def test_a_failing_cell_is_named_and_its_traceback_kept(notebook, tmp_path):
    with pytest.raises(MglibError, match="count.ipynb: ZeroDivisionError") as caught:
        run_notebook(notebook, {"count": 0})
    (log,) = (tmp_path / "report" / "log").glob("*/count.ipynb")
    assert str(log) in str(caught.value) and "ZeroDivisionError" in log.read_text()
    assert [p.name for p in (tmp_path / "report").iterdir()] == ["log"], "no executed copy"


def test_a_kernel_that_dies_is_one_line(notebook):
    text = notebook.read_text().replace("answer = 10 // P.count", "import os; os._exit(9)")
    notebook.write_text(text)
    with pytest.raises(MglibError, match="the kernel died"):
        run_notebook(notebook, {})


def test_with_a_shard_the_rest_is_skipped(notebook):
    executed = run_notebook(notebook, {"shard": "1/2"})
    assert executed.name == "count.shard-1-of-2.ipynb" and executed.parent.parent.name == "log"
    assert "Shard 1/2 is done" in printed(executed) and "answer 10" not in printed(executed)
    space = run_cells(notebook, {"shard": "1/2"})
    assert space["trained"] == 1 and "answer" not in space


def test_a_shard_in_an_interactive_session_is_said_not_skipped(monkeypatch):
    shell = SimpleNamespace(user_ns={"In": ["", "shard: str = '1/2'"]}, input_transformers_post=[])
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    with pytest.raises(MglibError, match="set shard to ''"):
        stop_if_sharded("1/2")
    assert not shell.input_transformers_post
    shell.user_ns["In"].append("# Parameters\nshard = '1/2'")
    stop_if_sharded("1/2")
    assert shell.input_transformers_post[0](["x = 1"]) == []


def test_without_jupyter_the_cells_run_alike(notebook, capsys):
    assert run_cells(notebook, {"count": 5})["answer"] == 2
    assert "answer 2" in capsys.readouterr().out
    with pytest.raises(MglibError, match="did you mean 'count'"):
        run_cells(notebook, {"cuont": 5})


def test_wrong_parameters_are_refused_before_anything_starts(notebook, tmp_path):
    with pytest.raises(MglibError, match="did you mean 'count'"):
        run_notebook(notebook, {"cuont": 5})
    with pytest.raises(MglibError, match="must be int"):
        run_notebook(notebook, {"count": "five"})
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["-p", "stepz", "5"], "did you mean 'steps'"), (["-p", "steps", "many"], "must be int")],
)
def test_bare_papermill_refuses_them_too(arguments, message, tmp_path):
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "papermill",
            str(find_notebook("20_weak_generalization")),
            str(tmp_path / "out.ipynb"),
            *arguments,
            "--cwd",
            str(paths.ROOT),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0 and message in run.stderr


def test_every_notebook_asks_declares_guards_and_runs():
    assert notebooks()
    for name, question in notebooks().items():
        cells = json.loads(find_notebook(name).read_text())["cells"]
        assert cells[0]["cell_type"] == "markdown" and question.endswith("?"), (
            "a question comes first"
        )
        code = [c for c in cells if c["cell_type"] == "code"]
        tags = [c["metadata"].get("tags", []) for c in code]
        assert tags[0] == ["parameters"] and "guard()" in "".join(code[1]["source"])
        # What can be sharded trains in one cell; what only measures has none.
        assert tags.count(["run"]) == ("shard" in parameters_of(find_notebook(name)))
        assert tags[2] == ["run"] or ["run"] not in tags
        for cell in code:
            kept = "keep_output" in cell["metadata"].get("tags", [])
            assert bool(cell["outputs"]) == kept, "outputs are stripped except where kept"
            assert kept == ("nbval-check-output" in cell["metadata"].get("tags", []))


def test_an_unknown_notebook_names_the_nearest():
    with pytest.raises(MglibError, match="did you mean '20_weak_generalization'"):
        find_notebook("20_weak_generalisation")


CORE = """
import importlib.abc, sys
FOREIGN = {"pandas", "matplotlib", "seaborn", "scipy", "sklearn", "papermill", "IPython",
           "nbformat", "PIL", "onnxruntime", "sentencepiece", "fontTools", "yaml",
           "threadpoolctl", "traitlets", "transformers", "snakemake", "pypandoc", "typst"}
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FOREIGN:
            raise ImportError(f"not on a bare GPU image: {name}")
sys.meta_path.insert(0, Refuse())
from mglib.cli import main
sys.exit(main(["run", "20_weak_generalization", "--no-notebook", "-p", "shard", "1/1",
               "-p", "splits", "1", "-p", "steps", "2", "--device", "cpu"]))
"""


def test_training_needs_only_torch_numpy_safetensors_and_pyarrow(
    tmp_path, monkeypatch, emoji_concepts
):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "rows"))
    monkeypatch.setenv("MGLIB_PROGRESS", "off")
    run = subprocess.run([sys.executable, "-c", CORE], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Shard 1/1 is done" in run.stdout
    assert list((tmp_path / "rows" / "20_weak_generalization").glob("*.parquet"))
