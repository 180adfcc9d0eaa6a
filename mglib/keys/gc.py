"""`mglib gc`: what nothing asks for any more, in the folders of fresh rows and of features.

Committed results are never looked at, and a file that is not understood is never touched. What a
run may be writing right now (all that is younger than `GRACE`) is left alone.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mglib import paths
from mglib.arrays import about_arrays
from mglib.errors import Absent, MglibError
from mglib.features import path_of, recipe, state
from mglib.keys.now import verdict
from mglib.keys.why import keys_in
from mglib.questions import read_record, unpack

GRACE = 3600.0  # seconds that a file must have lain untouched to be called left over
SOON = 60.0  # the same for a temporary file whose process has ended
NAME = r"[0-9a-f]{16}"
TEMPORARY = re.compile(r"^\..*\.(\d+)(\..*)?\.tmp$")
BESIDE = re.compile(rf"^({NAME})(\.json|\.(predictions|answers|missing|weights)\.safetensors)$")
ARTIFACT = re.compile(rf"^({NAME})\.safetensors$")  # in a folder of this name, beside the parts
STATE = re.compile(rf"^({NAME})(\.step\d+)?\.state\.(json|safetensors)$")
FEATURES = re.compile(r"^([^.]+)(?:\.split(\d+))?\.(safetensors|json)$")


@dataclass(frozen=True)
class Found:
    """One file, why it is listed, and whether nothing asks for it (else it is kept)."""

    path: Path
    reason: str
    left_over: bool = True

    @property
    def size(self) -> int:
        """Bytes; 0 if it is gone meanwhile."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _stale(part: Path) -> tuple[str, str]:
    """What a part of rows is, 'stale', 'live' or 'unclear', and why."""
    keys, record = keys_in(part), read_record(part)
    if not keys:
        return "unclear", "its rows cannot be read"
    if record is None:
        return "unclear", "its record is missing or cannot be read"
    try:
        questions = unpack(record.get("questions"))
    except ValueError as error:
        return "unclear", f"its record cannot be read: {error}"
    if keys - questions.keys():
        return "unclear", "its record does not hold the questions of its keys"
    found = [verdict(key, questions[key]) for key in sorted(keys)]
    for word, name in (("current", "live"), ("unclear", "unclear")):
        for judged, reasons in found:
            if judged == word:
                return name, "; ".join(reasons)
    return "stale", found[0][1][0]


def _keys_of_artifact(path: Path) -> set[str]:
    """The keys that an artifact says it belongs to; none if it cannot be read."""
    try:
        return set(about_arrays(path))
    except MglibError:
        return set()


def _parts(folder: Path) -> Iterator[Found]:
    """Stale parts of one experiment with what lies beside them, and what has lost its rows."""
    parts = {path.stem: path for path in folder.glob("*.parquet") if re.fullmatch(NAME, path.stem)}
    judged = {name: _stale(path) for name, path in parts.items()}
    keys = {name: keys_in(path) for name, path in parts.items()}
    fresh = set[str]().union(*(keys[name] for name in parts if judged[name][0] != "stale"))
    held = fresh | keys_in(paths.results() / f"{folder.name}.parquet")
    for name, (standing, reason) in sorted(judged.items()):
        if standing == "stale":
            yield Found(parts[name], f"stale: {reason}")
        elif standing == "unclear":
            yield Found(parts[name], reason, left_over=False)
    beside = [(path, BESIDE.match(path.name)) for path in sorted(folder.iterdir())]
    beside += [(path, ARTIFACT.match(path.name)) for path in sorted(folder.glob("artifacts/*"))]
    for path, match in beside:
        if not match or not path.is_file():
            continue
        owner = judged.get(match[1])
        if owner and owner[0] == "stale":
            yield Found(path, "belongs to a stale part")
        elif not owner and _age(path) > GRACE and not held & {match[1], *_keys_of_artifact(path)}:
            yield Found(path, "its rows are gone or stale")
    # A run at another profile than the reference goes on from a state whatever is committed.
    yield from _states(folder, fresh)


def _states(folder: Path, done: set[str]) -> Iterator[Found]:
    """Saved states of stacks that have finished, or that nothing resumes any more."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if match := STATE.match(path.name):
            groups.setdefault(match[1], []).append(path)
    for stem, files in groups.items():
        if min(map(_age, files)) < GRACE:
            continue
        head = folder / f"{stem}.state.json"
        try:
            told = json.loads(head.read_text(encoding="utf-8")) if head in files else {}
            keys, questions = set(told.get("keys", ())), unpack(told.get("questions"))
        except (ValueError, AttributeError):
            yield from (Found(p, "a saved state that cannot be read", False) for p in files)
            continue
        if head in files and keys - done and not questions:
            continue  # its trials go on from it
        if not keys:
            reason = "tensors of a saved state that is gone"
        elif not keys - done:
            reason = "saved state of trials that have their rows"
        elif all(verdict(key, questions.get(key, {}))[0] == "outdated" for key in keys):
            reason = "stale: saved state of trials that nothing asks for"
        else:
            continue
        yield from (Found(path, reason) for path in files)


def _temporary(folder: Path) -> Iterator[Found]:
    """Half-written files of processes that have ended, or untouched for an hour."""
    for path in sorted(folder.rglob(".*.tmp")):
        match = TEMPORARY.match(path.name)
        if match and path.is_file():
            ended = not Path("/proc", match[1]).exists()
            if _age(path) > (SOON if ended else GRACE):
                yield Found(
                    path, "half-written, its process has ended" if ended else "half-written"
                )


def _features(folder: Path) -> Iterator[Found]:
    """Files of the feature store that no recipe makes any more, or that are damaged."""
    for path in sorted(folder.glob("*/*/*")):
        match = FEATURES.match(path.name)
        if not match or not path.is_file() or path.name.startswith("."):
            continue
        perceptor, dataset = path.parent.name, path.parent.parent.name
        seed = None if match[2] is None else int(match[2])
        try:
            wanted = recipe(dataset, perceptor, match[1], seed)
        except Absent as error:
            yield Found(path, str(error), left_over=False)
            continue
        except MglibError as error:
            yield Found(path, f"unknown: {error}")
            continue
        file = path_of(wanted)
        if path.with_suffix(".safetensors") != file:
            yield Found(path, "no perceptor makes a file of this name")
            continue
        is_card, both = path.suffix == ".json", file.with_suffix(".json").is_file()
        if is_card and file.is_file():
            continue  # listed with its file
        found = state(wanted)
        if found == "missing" and _age(path) > GRACE:
            yield Found(path, "half of a pair, made again anyway")
        elif found in ("stale", "damaged"):
            told = {"stale": "made by other versions", "damaged": "damaged"}[found]
            yield Found(path, told)
            if both:
                yield Found(file.with_suffix(".json"), "its card")


def scan() -> list[Found]:
    """All that is left over, and what cannot be judged and is therefore kept."""
    found: list[Found] = []
    rows, store = paths.rows(), paths.cache() / "features"
    if rows.is_dir():
        for folder in sorted(path for path in rows.iterdir() if path.is_dir()):
            found += _parts(folder)
        found += _temporary(rows)
    if store.is_dir():
        found += _features(store)
    if paths.cache().is_dir():
        found += _temporary(paths.cache())
    kept = paths.results()
    return [one for one in found if not one.path.is_relative_to(kept)]


def size_text(size: int) -> str:
    """Bytes for a reader."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1000:.1f} kB"


def gc(delete: bool = False) -> list[str]:
    """List what is left over, and delete it if told so; lines for a reader.

    Raises MglibError if a file cannot be deleted.
    """
    found = scan()
    left = [one for one in found if one.left_over]
    lines = [f"{size_text(one.size):>9}  {_relative(one.path)}  {one.reason}" for one in left]
    kept: dict[str, list[Path]] = {}
    for one in found:
        if not one.left_over:
            kept.setdefault(one.reason, []).append(_relative(one.path))
    for reason, files in kept.items():
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        lines.append(f"{'kept':>9}  {files[0]}{more}  {reason}")
    total = f"{len(left)} files, {size_text(sum(one.size for one in left))}"
    if not left:
        return [*lines, "nothing is left over"]
    if not delete:
        return [*lines, f"{total} that nothing asks for; `mglib gc --delete` deletes them"]
    for one in left:
        variable = "MGLIB_ROWS" if paths.rows() in one.path.parents else "MGLIB_CACHE"
        with paths.writing(one.path, variable):
            one.path.unlink(missing_ok=True)
    return [*lines, f"deleted {total}"]


def _relative(path: Path) -> Path:
    return path.relative_to(paths.ROOT) if path.is_relative_to(paths.ROOT) else path
