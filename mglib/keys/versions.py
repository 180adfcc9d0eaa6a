"""The record of what code each declared version stands for: mglib/versions.json.

Keys hang on declared versions, not on code, so a changed method must raise its version to be run
again. A test compares this record with the code; `make versions` renews it, and refuses what
changed under its version unless told by name that its results did not (`make versions SAME=erm`).
What a file just dropped in brings is asked for only once git knows the file.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from mglib import features, paths
from mglib.data import splits
from mglib.errors import MglibError, unknown
from mglib.lineage import (
    KINDS,
    STANDING,
    files_of,
    measure_file,
    measures,
    part_names,
    record_path,
    recorded,
)
from mglib.missing import trial as missing_trial
from mglib.missing.sequences import trial as sequence_trial
from mglib.missing.sequences import virtual_trial
from mglib.provenance import tracked_files
from mglib.transfer import trial as transfer_trial
from mglib.trials import trial

Entry = dict[str, Any]  # {"version": its declared version, "code": {file: digest}}
_WHERE = {
    "engine": "ENGINE_VERSION in mglib/trials/trial.py",
    "splits": "SPLIT_VERSION in mglib/data/splits.py",
    "store": "FORMAT in mglib/features.py",
    "transfer": "TRANSFER_VERSION in mglib/transfer/trial.py",
    "missing": "MISSING_VERSION in mglib/missing/trial.py",
    "sequences": "SEQUENCES_VERSION in mglib/missing/sequences/trial.py",
    "virtual": "VIRTUAL_VERSION in mglib/missing/sequences/virtual_trial.py",
}


def declared(part: str) -> str:
    """The version that a part declares now."""
    kind, _, name = part.partition("/")
    if kind in KINDS:
        return str(KINDS[kind].get(name).version)
    if kind == "measure":
        return str(measures()[name])
    shared = {
        "engine": trial.ENGINE_VERSION,
        "splits": splits.SPLIT_VERSION,
        "store": features.FORMAT,
        "transfer": transfer_trial.TRANSFER_VERSION,
        "missing": missing_trial.MISSING_VERSION,
        "sequences": sequence_trial.SEQUENCES_VERSION,
        "virtual": virtual_trial.VIRTUAL_VERSION,
    }
    return str(shared[part])


def present() -> dict[str, Entry]:
    """Every versioned part of mglib as it is now; what tests register themselves does not count."""
    found = {}
    for part in part_names():
        kind, _, name = part.partition("/")
        own = part in STANDING or kind == "measure"
        if own or KINDS[kind].get(name).__module__.split(".")[0] == "mglib":
            found[part] = {"version": declared(part), "code": files_of(part)}
    return found


def _own_file(part: str) -> str:
    """The file that declares a part's version."""
    kind, _, name = part.partition("/")
    if kind in KINDS:
        return KINDS[kind].get(name).__module__.replace(".", "/") + ".py"
    if part in _WHERE:
        return _WHERE[part].split(" in ")[1]
    return str(measure_file(name).relative_to(paths.ROOT))


def _where(part: str) -> str:
    """Where the version of a part is declared."""
    name = "`version`" if part.partition("/")[0] in KINDS else "VERSION"
    return _WHERE.get(part, f"{name} in {_own_file(part)}")


def _changed_files(old: Entry, new: Entry) -> list[str]:
    """The files whose code differs, each with what became of it where it is no mere change."""
    lines = []
    for name in sorted(old["code"].keys() | new["code"].keys()):
        before, after = old["code"].get(name), new["code"].get(name)
        if before != after:
            lines.append(name if before and after else f"{name} {'gone' if before else 'new'}")
    return lines


def _higher(old: str, new: str) -> bool:
    """Whether a version was raised: its numbers compare higher, or it has none and differs."""
    numbers = [[int(n) for n in re.findall(r"\d+", version)] for version in (old, new)]
    return numbers[1] > numbers[0] if all(numbers) else new != old


@dataclass(frozen=True)
class Problem:
    """Where the record and the code do not agree; `kind` is changed, raised, lowered, new, gone."""

    part: str
    kind: str
    text: str


def problems(all_files: bool = False) -> list[Problem]:
    """All disagreements; a part without a record counts once git tracks its files (or always)."""
    old, new = recorded(), present()
    known = None if all_files else tracked_files()
    found = []
    for part in sorted(old.keys() | new.keys()):
        if part not in new:
            text = f"{part} is recorded but gone: run `make versions`"
            found.append(Problem(part, "gone", text))
        elif part not in old:
            own = _own_file(part)
            if all_files or own in (known or ()):
                text = f"{part} ({own}) has no record: run `make versions`"
                found.append(Problem(part, "new", text))
        else:
            found += _compared(part, old[part], new[part])
    return found


def _compared(part: str, old: Entry, new: Entry) -> list[Problem]:
    before, after = str(old["version"]), new["version"]
    if before != after:
        kind = "raised" if _higher(before, after) else "lowered"
        text = f"{part}: version {before} is recorded, {after} declared: "
        text += "run `make versions`" if kind == "raised" else f"raise {_where(part)} above it"
        return [Problem(part, kind, text)]
    if old["code"] == new["code"]:
        return []
    text = (
        f"{part} is not what version {before} was ({', '.join(_changed_files(old, new))}): raise "
        f"{_where(part)} and run `make versions`, or, if no result changes, "
        f"`make versions SAME={part}`"
    )
    return [Problem(part, "changed", text)]


def _parts_named(names: Sequence[str], allowed: Collection[str]) -> set[str]:
    """Parts by whole name or by what follows the slash, where that is one only."""
    found = set()
    for name in names:
        fits = [part for part in allowed if name in (part, part.partition("/")[2])]
        if len(fits) != 1:
            raise unknown("changed part", name, fits or allowed)
        found.add(fits[0])
    return found


def renew(same: Sequence[str] = ()) -> list[str]:
    """Write the record anew and say what is different in it, a line each.

    `same` names changed parts whose results are the same. Raises MglibError, and writes nothing, if
    another part changed under its version or a version was lowered.
    """
    found = problems(all_files=True)
    changed = {problem.part: problem for problem in found if problem.kind == "changed"}
    acknowledged = _parts_named(same, changed)
    refused = [p for p in found if p.kind == "lowered"]
    refused += [problem for part, problem in changed.items() if part not in acknowledged]
    if refused:
        raise MglibError("; ".join(problem.text for problem in refused))
    old, new = recorded(), present()
    # A line per part, so that two branches seldom touch the same one.
    lines = [f" {json.dumps(part)}: {json.dumps(entry)}" for part, entry in new.items()]
    paths.replace(record_path(), "{\n" + ",\n".join(lines) + "\n}\n")
    said = {
        "changed": "{part}: code changed, version {new} kept as told",
        "raised": "{part}: version {old} -> {new}",
        "new": "{part}: version {new}, new",
        "gone": "{part}: gone",
    }
    return [
        said[p.kind].format(
            part=p.part,
            old=old.get(p.part, {}).get("version"),
            new=new.get(p.part, {}).get("version"),
        )
        for p in found
    ]


def main(arguments: Sequence[str]) -> int:
    """`python -m mglib.keys.versions [PART]…`: the parts named changed without other results."""
    names = [name for argument in arguments for name in re.split(r"[\s,]+", argument) if name]
    try:
        said = renew(names)
    except MglibError as error:
        print(f"mglib: {error}", file=sys.stderr)
        return 2
    print("\n".join(said) if said else "the record is as the code is")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
