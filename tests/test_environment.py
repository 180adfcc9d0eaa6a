"""Package metadata, lock, conda door and set-up say the same."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import mglib
from mglib import bootstrap
from mglib.paths import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
LOCK_TEXT = (ROOT / "requirements.lock").read_text()
LOCK = {
    line.split("==")[0]: line.split("==")[1].split()[0]
    for line in LOCK_TEXT.splitlines()
    if re.match(r"[a-z0-9]", line)
}
CONDA: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text())
NEWCOMER = [
    Requirement(text)
    for part in (PYPROJECT["project"]["dependencies"], *EXTRAS.values())
    for text in part
]

# What a package is called in an import or on a command line, where that is not its own name.
CALLED = {
    "fonttools": "fontTools",
    "ipykernel": '"name": "python3"',  # the kernel of a notebook
    "jupyterlab": "jupyter lab",
    "nbval": "--nbval-lax",
    "pillow": "PIL",
    "pot": "ot",
    "pypandoc-binary": "pypandoc",
    "pytest-xdist": "-n logical",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "umap-learn": "umap",
}


def conda_spec(name: str) -> SpecifierSet:
    """The version bounds of a package in environment.yml."""
    found = [
        entry.partition(" ")[2] for entry in CONDA["dependencies"] if entry.split(" ")[0] == name
    ]
    assert len(found) == 1
    return SpecifierSet(found[0])


def test_python_bounds_agree() -> None:
    low, high = (".".join(map(str, bound)) for bound in bootstrap.PYTHONS)
    bounds = SpecifierSet(f">={low},<{high}")
    assert SpecifierSet(PYPROJECT["project"]["requires-python"]) == bounds
    assert conda_spec("python") == bounds


def test_torch_agrees() -> None:
    declared = next(item for item in NEWCOMER if item.name == "torch")
    least = SpecifierSet(f">={'.'.join(map(str, bootstrap.TORCH_LEAST))}")
    installed = Requirement(bootstrap.TORCH)
    assert declared.specifier == least == conda_spec("pytorch")
    assert next(iter(installed.specifier)).version in least
    locking = PYPROJECT["tool"]["uv"]
    assert locking["constraint-dependencies"] == [bootstrap.TORCH]
    described = {item["name"]: item["version"] for item in locking["dependency-metadata"]}
    assert f"torch=={described['torch']}" == bootstrap.TORCH


def test_conda_door_leads_to_quarto_and_make() -> None:
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]
    assert {entry.split(" ")[0] for entry in CONDA["dependencies"]} == {
        "python",
        "pytorch",
        "quarto",
        "git",
        "make",
    }
    group = Requirement(PYPROJECT["dependency-groups"]["quarto"][0])
    assert group.specifier == conda_spec("quarto")
    assert "quarto-cli" not in LOCK


@pytest.mark.parametrize("declared", [item for item in NEWCOMER if item.name != "torch"], ids=str)
def test_lock_satisfies(declared: Requirement) -> None:
    assert Version(LOCK[canonicalize_name(declared.name)]) in declared.specifier


def test_lock_leaves_torch_to_set_up() -> None:
    assert "torch" not in LOCK
    assert [name for name in LOCK if name.startswith(bootstrap.CUDA_PREFIXES)] == []


def test_every_locked_package_has_hashes_and_no_address() -> None:
    entries = re.split(r"\n(?=[a-z0-9])", LOCK_TEXT)[1:]
    assert len(entries) == len(LOCK)
    assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in LOCK_TEXT


def test_the_environment_is_the_lock() -> None:
    """Everything that mglib's requirements lead to is installed in its locked version."""
    todo, seen, wrong = list(NEWCOMER), set(), []
    while todo:
        needed = todo.pop()
        name = canonicalize_name(needed.name)
        if (name, frozenset(needed.extras)) in seen or name == "torch":
            continue
        seen.add((name, frozenset(needed.extras)))
        found = importlib.metadata.distribution(name)
        if LOCK.get(name) != found.version:
            wrong.append(f"{name} {found.version}, locked: {LOCK.get(name)}")
        for text in found.requires or []:
            inner = Requirement(text)
            if inner.marker is None or any(
                inner.marker.evaluate({"extra": extra}) for extra in needed.extras or {""}
            ):
                todo.append(inner)
    assert len(seen) > len(NEWCOMER)
    assert wrong == []


def used_names() -> set[str]:
    """Modules that our code imports, and the words of our commands and notebooks."""
    found: set[str] = set()
    for folder in ("mglib", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.partition(".")[0])
    return found


def test_nothing_is_declared_that_is_not_used() -> None:
    texts = [(ROOT / name).read_text() for name in ("Makefile", "mglib/cli.py")]
    texts.append(str(PYPROJECT["tool"]["pytest"]["ini_options"]["addopts"]))
    texts += [path.read_text() for path in (ROOT / "notebooks").glob("*.ipynb")]
    commands, imports = "\n".join(texts), used_names()
    declared = [
        item.name
        for part, items in EXTRAS.items()
        if part != "setup"
        for item in map(Requirement, items)
    ]
    idle = [
        name
        for name in declared
        if (called := CALLED.get(name, name)) not in imports and called not in commands
    ]
    assert idle == []


def test_everything_imported_is_declared() -> None:
    ours = {
        "mglib",
        "benchmarks",
        "IPython",
        *(path.stem for path in (ROOT / "tests").glob("*.py")),
    }  # ipykernel
    declared = {CALLED.get(item.name, item.name) for item in NEWCOMER}
    assert used_names() - declared - ours - sys.stdlib_module_names == set()


def test_version_is_one() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PYPROJECT["project"]["version"] == mglib.__version__ == str(citation["version"])
    assert mglib.__version__ in (ROOT / "CHANGELOG.md").read_text()
