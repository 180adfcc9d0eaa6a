"""What keys stand for, kept compactly beside the rows: every value once, a line per key."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mglib import paths
from mglib.errors import MglibError
from mglib.lineage import files_of, recorded
from mglib.provenance import digest

Identity = Mapping[str, Any]


def _flat(identity: Identity) -> dict[str, Any]:
    """An identity with the columns of its question as names of their own, 'question.seed'."""
    rest = {name: value for name, value in identity.items() if name != "question"}
    asked = {f"question.{name}": value for name, value in identity.get("question", {}).items()}
    return {**rest, **asked}


def pack(identities: Mapping[str, Identity]) -> dict[str, Any]:
    """What many keys stand for, as JSON for a record's field `questions`.

    `values` holds the different values of every column; a key's text has one place per `column`
    (which value it is, or '-'), so that thousands of keys take some ten bytes per column.
    """
    flat = {key: _flat(identity) for key, identity in sorted(identities.items())}
    columns = sorted({name for one in flat.values() for name in one})
    values: dict[str, list[Any]] = {name: [] for name in columns}
    places: dict[str, dict[str, int]] = {name: {} for name in columns}
    keys = {}
    for key, one in flat.items():
        row = []
        for name in columns:
            if name not in one:
                row.append("-")
                continue
            text = json.dumps(one[name], sort_keys=True)
            if text not in places[name]:
                places[name][text] = len(values[name])
                values[name].append(json.loads(text))
            row.append(str(places[name][text]))
        keys[key] = " ".join(row)
    return {"columns": columns, "values": values, "keys": keys}


def unpack(packed: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """What `pack` was given, by key; nothing for a record of before, which has no questions.

    What was not packed is given back. Raises ValueError if it is of no such form.
    """
    if not packed:
        return {}
    if "columns" not in packed:
        return {key: dict(identity) for key, identity in packed.items()}
    found: dict[str, dict[str, Any]] = {}
    try:
        for key, text in packed["keys"].items():
            one: dict[str, Any] = {}
            for name, place in zip(packed["columns"], text.split(" "), strict=True):
                if place != "-":
                    own = one.setdefault("question", {}) if name.startswith("question.") else one
                    own[name.removeprefix("question.")] = packed["values"][name][int(place)]
            found[key] = one
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"no table of questions ({error!r})") from error
    return found


def read_record(path: Path) -> dict[str, Any] | None:
    """The record beside a part or beside committed rows; None if it is missing or unreadable."""
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return record if isinstance(record, dict) else None


def _records(experiment: str) -> Iterator[dict[str, Any]]:
    committed = paths.results() / f"{experiment}.parquet"
    for part in [committed, *sorted((paths.rows() / experiment).glob("*.parquet"))]:
        if record := read_record(part):
            yield record


def _codes(records: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The digests of code that records tell, by part; one each unless something changed."""
    found: dict[str, set[str]] = {}
    for record in records:
        for part, code in record.get("code", {}).items():
            found.setdefault(part, set()).update([code] if isinstance(code, str) else code)
    return {part: sorted(codes) for part, codes in sorted(found.items())}


def gather(experiment: str, keys: Collection[str]) -> dict[str, Any]:
    """The fields `questions` and `code` of a record that stands for all of these keys' records."""
    wanted, found, told = set(keys), {}, []
    for record in _records(experiment):
        own = unpack(record.get("questions"))
        if wanted & own.keys():
            told.append(record)
            found.update({key: own[key] for key in wanted & own.keys()})
    return {"questions": pack(found), "code": _codes(told)}


def other_code(experiment: str, keys: Collection[str]) -> list[str]:
    """Parts under whose unraised version rows of these keys were made by other code than is now.

    What the record of versions holds as it is now has been looked at (its results are the same, or
    it was committed so) and is not named: this tells of edits that nobody has recorded yet.
    """
    wanted, known = set(keys), recorded()
    told = [r for r in _records(experiment) if wanted & unpack(r.get("questions")).keys()]
    found = []
    for part, codes in _codes(told).items():
        try:
            files = files_of(part)
        except MglibError:  # it is registered no more
            continue
        if codes != [digest(files)] and known.get(part, {}).get("code") != files:
            found.append(part)
    return found
