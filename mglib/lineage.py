"""The code that a declared version stands for: its files, found by following imports.

A *part* is what carries a version of its own: `engine`, `store` (features and how they are made),
`splits`, `transfer` (training of bodies), `missing` (training with missing modalities),
`sequences` (with lost frames), `virtual` (with sequences that are missing whole),
`algorithm/<name>`, `dataset/<name>`, `perceptor/<name>`, `transfer_method/<name>`, `body/<name>`,
`missing_method/<name>`, `law/<name>`, `pairing/<name>`, `measure/<module>`. Its files are its
module and what that imports of mglib, up to parts whose versions stand in the key anyway.
What decides no result (errors, paths, registry, progress, reports) belongs to none.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mglib import paths, registry
from mglib.errors import unknown
from mglib.provenance import code_digest, digest

# What decides results; what else a module imports does not count.
DECIDING = frozenset(
    "algorithms analysis data features missing perceptors transfer trials".split(" ")
)
# Parts that every key holds the version of, by the modules that they begin with, lowest first.
STANDING = {
    "splits": ("mglib.data.splits",),
    "store": ("mglib.features", "mglib.perceptors._base", "mglib.perceptors.prepare"),
    "engine": ("mglib.trials.engine", "mglib.trials.artifacts"),
    "transfer": ("mglib.transfer.training",),
    "missing": ("mglib.missing.training",),
    "sequences": ("mglib.missing.sequences.training",),
    "virtual": ("mglib.missing.sequences.virtual_training",),
}
# Asks measures and writes their rows: decides no value, and would else be a file of every measure.
ASKING = {"mglib.analysis.measured"}
KINDS = {
    "algorithm": registry.algorithms,
    "dataset": registry.datasets,
    "perceptor": registry.perceptors,
    "transfer_method": registry.transfers,
    "body": registry.bodies,
    "missing_method": registry.missing_methods,
    "law": registry.laws,
    "pairing": registry.pairings,
}
# What the parts of a kind may build on, besides splits and store: these standing parts.
STANDS_ON = {
    "algorithm": ("engine",),
    "transfer_method": ("engine", "transfer"),
    "body": ("engine", "transfer"),
    **dict.fromkeys(("missing_method", "law", "pairing"), ("engine", "missing")),
}
MEASURING = ("analysis", "transfer/results", "missing/results")
MEASURE_VERSION = "VERSION"  # a module of these folders with this constant is a measure


def _file(module: str) -> Path | None:
    """Where a module's code lies; None if it is no file (a notebook's cell)."""
    if module.split(".")[0] == "mglib":
        place = paths.ROOT.joinpath(*module.split("."))
        files = (place.with_suffix(".py"), place / "__init__.py")
        return next((file for file in files if file.is_file()), None)
    found = getattr(sys.modules.get(module), "__file__", None)
    return Path(found) if found else None


@lru_cache(maxsize=1024)
def _imports(path: Path, stamp: tuple[int, int]) -> frozenset[str]:
    """The modules of mglib that a file imports, at its top or in its functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in below if _file(name)}
            found |= modules if modules == below else {*modules, node.module}
    return frozenset(name for name in found if name.startswith("mglib.") and _file(name))


@lru_cache(maxsize=1024)
def _digest(path: Path, stamp: tuple[int, int]) -> str:
    return code_digest(path)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _follow(roots: Iterable[str], stop: Iterable[str]) -> set[str]:
    """The roots and all that they import of what decides results, short of `stop`."""
    found: set[str] = set()
    seen, pending = set(stop), [*roots]
    while pending:
        module = pending.pop()
        path = _file(module)
        if module in seen or path is None:
            continue
        seen.add(module)
        found.add(module)
        pending += [n for n in _imports(path, _stamp(path)) if n.split(".")[1] in DECIDING]
    return found


def _module(kind: str, name: str) -> str:
    return str(KINDS[kind].get(name).__module__)


def standing() -> dict[str, set[str]]:
    """The modules of splits, store and engine; no module belongs to two of them."""
    registered = {_module(kind, name) for kind in KINDS for name in KINDS[kind].names()}
    found: dict[str, set[str]] = {}
    for part, roots in STANDING.items():
        found[part] = _follow(roots, registered.union(ASKING, *found.values()))
    return found


@lru_cache(maxsize=1024)
def _version_in(path: Path, stamp: tuple[int, int]) -> int | None:
    """The whole number that a module's top gives MEASURE_VERSION; None if it does not."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = {target.id for target in targets if isinstance(target, ast.Name)}
            if MEASURE_VERSION in named and isinstance(node.value.value, int):
                return node.value.value
    return None


def measures() -> dict[str, int]:
    """The measures that declare a version, by their module's name."""
    found = {path.stem: _version_in(path, _stamp(path)) for path in _measuring_files()}
    return {name: version for name, version in found.items() if version is not None}


def measure_file(name: str) -> Path:
    """Where the measure of this name lies."""
    return next(path for path in _measuring_files() if path.stem == name)


def _measuring_files() -> list[Path]:
    folders = (paths.ROOT / "mglib" / folder for folder in MEASURING)
    return [path for folder in folders for path in sorted(folder.glob("*.py"))]


def record_path() -> Path:
    """Where the record of versions lies: what code each declared version stands for."""
    return paths.ROOT / "mglib" / "versions.json"


def recorded() -> dict[str, dict[str, Any]]:
    """By part, {"version": as declared, "code": {file: digest}}; empty if there is no record."""
    path = record_path()
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def part_names() -> list[str]:
    """Everything that carries a version."""
    found = [f"{kind}/{name}" for kind in KINDS for name in KINDS[kind].names()]
    return sorted([*STANDING, *found, *(f"measure/{name}" for name in measures())])


def files_of(part: str) -> dict[str, str]:
    """The files that a part is made of, each with the digest of its code, by path in the checkout.

    Empty for what is defined in no file. Raises MglibError for an unknown part.
    """
    shared = standing()
    everywhere = shared["splits"] | shared["store"]
    kind, _, name = part.partition("/")
    if part in STANDING:
        modules = shared[part]
    elif kind in KINDS:
        stop = set(everywhere)
        for below in STANDS_ON.get(kind, ()):
            stop |= shared[below]
        root = _module(kind, name)
        if kind == "perceptor":  # a key names all perceptors that another is computed from
            stop |= {_module(kind, other) for other in _computed_from(name)} - {root}
        if kind == "dataset" and (other := KINDS[kind].get(name).features_of):
            stop.add(_module(kind, other))  # named by the key of the features
        modules = _follow([root], stop)
    elif kind == "measure" and name in measures():
        # What is measured of trained learners asks for their keys, which hold the engine's version.
        own = measure_file(name).relative_to(paths.ROOT).with_suffix("").parts
        modules = _follow([".".join(own)], ASKING | everywhere | shared["engine"])
    else:
        raise unknown("versioned part", part, part_names())
    files = sorted({path for module in modules if (path := _file(module))})
    return {_shown(path): _digest(path, _stamp(path)) for path in files}


def _shown(path: Path) -> str:
    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else path.name


def _computed_from(perceptor: str) -> set[str]:
    """The perceptors that this one names as its parts, at any depth, on data of any kind.

    Asked with a stand-in that has one modality of each kind, so that no dataset decides; and by
    its base name, so that no setting does.
    """
    perceptor = registry.base_name(perceptor)
    kinds = sorted(registry.perceptors.get(perceptor).kinds)
    found: set[str] = set()
    for anchor in kinds:
        data = SimpleNamespace(
            name="any", kinds={kind: kind for kind in kinds}, core=tuple(kinds), anchor=anchor
        )
        pending = [(perceptor, kind) for kind in kinds]
        seen: set[tuple[str, str]] = set()
        while pending:
            step = pending.pop()
            if step not in seen:
                seen.add(step)
                found.add(step[0])
                pending += registry.perceptors.get(step[0])().parts(data, step[1])
    return found


def parts_of(identity: Mapping[str, Any]) -> list[str]:
    """The parts whose versions went into a key, from its identity."""
    question = identity.get("question", {})
    found = ["engine"] if "engine" in identity else []
    if "algorithm" in identity:
        found.append(f"algorithm/{question.get('algorithm')}")
    if "transfer" in identity:
        found += ["transfer", f"transfer_method/{registry.base_name(question['method'])}"]
        # A body from a folder is no part of this project: its hashes stand in the key.
        found += [f"body/{name}" for name in [question["body"]] if name in registry.bodies.names()]
    if "sequences" in identity:
        found += ["missing", "sequences"]
        found += ["virtual", "law/victim"] if "virtual" in identity else []
    elif "missing" in identity:
        found += ["missing", f"missing_method/{registry.base_name(question['method'])}"]
        found += [f"{kind}/{registry.base_name(question[kind])}" for kind in ("law", "pairing")]
        found += ["transfer"] if "probe" in identity else []
    if "answers" in identity:
        found.append(f"dataset/{identity['answers']['dataset']}")
    found += [f"measure/{name}" for name in identity.get("measure", {})]
    found += identity.get("timed", {})
    for data in filter(None, (identity.get(name) for name in ("data", "unseen", "source"))):
        found += ["splits", "store", f"dataset/{data['dataset']}"]
        names = map(registry.base_name, data["versions"]["perceptors"])
        found += [f"perceptor/{name}" for name in names]
    return list(dict.fromkeys(found))


def code_of(part: str) -> str | None:
    """16 hexadecimal digits of a part's code as it is now; None if no file holds it."""
    files = files_of(part)
    return digest(files) if files else None


def identity_code(identities: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The digest of the code of each part behind some keys: stands beside them in a record."""
    names = sorted({part for identity in identities for part in parts_of(identity)})
    return {name: code for name in names if (code := code_of(name))}
