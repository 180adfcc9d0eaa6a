"""The house keeps its shape: short files, imports in one direction, nothing of one machine."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mglib.paths import ROOT

# Each member of mglib by its floor; a module may import from its own floor and from those below.
FLOORS = [
    {
        "errors",
        "registry",
        "paths",
        "progress",
        "provenance",
        "lineage",
        "questions",
        "arrays",
        "shard",
    },
    {"features", "rows", "data"},
    {"perceptors", "trials"},
    {"algorithms", "transfer", "missing", "analysis"},
    {"figures", "keys"},
    {"report"},
    {"cli", "__init__"},
    {"__main__"},
]
FLOOR = {member: floor for floor, members in enumerate(FLOORS) for member in members}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "mglib").rglob("*.py")
}
# In pieces, so that this file does not find itself.
FORBIDDEN = [
    r"/(?:wo" r"rk|ro" r"ot|op" r"t)/\w",
    r"/ho" r"me/\w",
    r"/Us" r"ers/\w",
    r"py" r"pi\.org",
    r"python" r"hosted",
    r"download\.py" r"torch\.org",
    r"registry\.npm" r"js",
    r"deb\.deb" r"ian\.org",
    r"anaconda\.or" r"g",
    r"\bfac" r"ts/\w+\.md",
    r"\bdesi" r"gn\.md",
]


def member(module: str) -> str:
    """The member of mglib that a module belongs to: 'mglib.data.splits' is of 'data'."""
    return [*module.split("."), "__init__"][1]


def imports(module: str) -> set[str]:
    """The modules of mglib that a module imports, at its top or in its functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("mglib")}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            if node.module and node.module.split(".")[0] == "mglib":
                below = {f"{node.module}.{alias.name}" for alias in node.names}
                submodules = below & MODULES.keys()
                found |= submodules
                if len(submodules) < len(below):
                    found.add(node.module)
    return found & MODULES.keys()


def test_the_modules_are_seen() -> None:
    assert "mglib.registry" in imports("mglib.features")
    assert "mglib.errors" in imports("mglib.registry")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_are_short(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"mglib.bootstrap"}))
def test_imports_go_down(module: str) -> None:
    wrong = {found for found in imports(module) if FLOOR[member(found)] > FLOOR[member(module)]}
    assert wrong == set()


def test_bootstrap_stands_alone() -> None:
    assert imports("mglib.bootstrap") == set()
    assert [module for module in MODULES if "mglib.bootstrap" in imports(module)] == []


def test_no_circles() -> None:
    graphlib.TopologicalSorter({module: imports(module) for module in MODULES}).prepare()
    members: dict[str, set[str]] = {}
    for module in MODULES:
        others = {member(found) for found in imports(module)} - {member(module)}
        members.setdefault(member(module), set()).update(others)
    graphlib.TopologicalSorter(members).prepare()


@pytest.mark.parametrize(
    "code",
    [
        "import mglib",
        "import runpy; sys.argv = ['mglib', '--help']; runpy.run_module('mglib', None, '__main__')",
    ],
)
def test_help_needs_no_torch(code: str) -> None:
    ask = (
        "import atexit, sys; atexit.register(lambda: print('heavy:', *({'torch', 'numpy', "
        f"'pyarrow', 'pandas', 'matplotlib'}} & sys.modules.keys()))); {code}"
    )
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, cwd=ROOT)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1].strip() == "heavy:"


def tracked() -> list[Path]:
    """The text files of the repository, the lock aside."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    binary = {".png", ".parquet", ".safetensors", ".npz", ".pdf", ".woff2", ".ttf"}
    return [
        ROOT / name
        for name in names
        if name and name != "requirements.lock" and Path(name).suffix not in binary
    ]


def test_nothing_of_a_machine_or_a_registry() -> None:
    files = tracked()
    assert ROOT / "pyproject.toml" in files
    wrong = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in files
        if path.is_file()
        for pattern in FORBIDDEN
        for found in re.finditer(pattern, path.read_text(encoding="utf-8"))
    ]
    assert wrong == []
