"""The recipes of CONTRIBUTING.md do what they say: each file is dropped into a copy and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pyarrow.parquet as pq
import pytest

from mglib import paths

TEXT = (paths.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = {
    place: (paths.ROOT / file).read_text(encoding="utf-8")
    for place, file in re.findall(r"^\| an? \w+ \| `(\S+)` \| \[\w+\]\((\S+)\) \|", TEXT, re.M)
}


def notebook_of(text):
    """The notebook of a recipe: cells between lines that begin with `# %%`."""
    cells = []
    for head, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n)+)", text, re.M):
        if "[markdown]" in head:
            cell = nbformat.v4.new_markdown_cell(re.sub("^# ", "", body, flags=re.M).strip())
        else:
            cell = nbformat.v4.new_code_cell(body.strip())
            if tags := re.search(r"tags=(.+)", head):
                cell.metadata["tags"] = json.loads(tags[1])
        cells.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


class Copy:
    """A copy of the checkout with a cache of its own and no notebooks, and commands in it."""

    def __init__(self, folder: Path):
        self.root = folder / "checkout"
        skip = shutil.ignore_patterns("__pycache__", "cache", ".ipynb_checkpoints")
        for name in ("mglib", "tests"):
            shutil.copytree(paths.ROOT / name, self.root / name, ignore=skip)
        (self.root / "notebooks").mkdir()
        for name in ("pyproject.toml", "requirements.lock", "notebooks/budget.toml"):
            shutil.copy(paths.ROOT / name, self.root / name)
        # What is prepared of the real dataset is only read.
        (folder / "cache" / "features").mkdir(parents=True)
        for name in ("wheels", "features/emoji_concepts"):
            (folder / "cache" / name).symlink_to(paths.cache() / name)
        self.rows = folder / "rows"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MGLIB_CACHE": str(folder / "cache"),
            "MGLIB_ROWS": str(self.rows),
            "MGLIB_REPORT": str(folder / "report"),
            "MGLIB_PROGRESS": "off",
            "MGLIB_BUDGET": "off",
        }

    def run(self, *words: str) -> str:
        """The output of `python -m ...` in the copy, which must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def copy(emoji_concepts, tmp_path_factory) -> Copy:
    """A copy of the checkout with every recipe dropped in, and nothing else changed."""
    made = Copy(tmp_path_factory.mktemp("contributing"))
    for name, text in RECIPES.items():
        assert not (made.root / name).exists()
        if name.endswith(".ipynb"):
            nbformat.write(notebook_of(text), made.root / name)
        else:
            (made.root / name).write_text(text, encoding="utf-8")
    return made


def test_there_is_a_recipe_for_each_kind():
    assert [name.rsplit("/", 1)[0] for name in RECIPES] == [
        "mglib/algorithms",
        "mglib/data",
        "mglib/perceptors",
        "mglib/missing/methods",
        "notebooks",
    ]
    assert len(TEXT.splitlines()) < 60


def test_the_algorithm_shown_is_the_one_that_is_tested():
    (shown,) = re.findall(r"^```python\n(.+?)^```$", TEXT, re.M | re.S)
    assert shown in RECIPES["mglib/algorithms/worst.py"]


def test_the_files_are_listed(copy):
    found = json.loads(copy.run("mglib", "list", "--json"))
    for name in RECIPES:
        kind, name = name.removeprefix("mglib/").rsplit("/", 1)
        assert (
            Path(name).stem
            in found[{"data": "datasets", "missing/methods": "missing_methods"}.get(kind, kind)]
        )


def test_they_keep_the_contracts(copy):
    """Those of all algorithms, datasets, perceptors and notebooks, for the new ones."""
    files = (
        *("algorithms_contract", "datasets_contract", "perceptors", "execution"),
        "missing_contract",
    )
    said = copy.run(
        "pytest",
        "-q",
        *("-p", "no:cacheprovider", "--confcutdir", str(copy.root)),
        *("-k", "worst or boldest or spelling or contract and letters or every_notebook"),
        *(f"tests/test_{name}.py" for name in files),
    )
    passed = re.search(r"(\d+) passed", said)
    assert passed and int(passed[1]) >= 19 and "skipped" not in said, said


def test_the_dataset_and_the_perceptor_are_prepared_and_the_notebook_trains(copy):
    said = copy.run("mglib", "prepare", "spelling", "--perceptor", "letters")
    assert "made" in said and "letters/lower to letters/title" in said
    copy.run("mglib", "run", "30_spelling", "--profile", "quick")
    tables = [pq.read_table(p).to_pylist() for p in copy.rows.glob("30_spelling/*.parquet")]
    rows = [row for table in tables for row in table]
    assert {row["algorithm"] for row in rows} == {"worst"}
    assert {row["modality"] for row in rows} == {"lower", "upper", "title"}
    assert {row["status"] for row in rows} == {"ok"} and {row["step"] for row in rows} == {20, 40}
