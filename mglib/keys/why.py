"""`mglib why KEY`: what a key stands for, what made its rows, and whether it still holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mglib import paths
from mglib.errors import MglibError, unknown_key
from mglib.keys.now import verdict
from mglib.lineage import code_of, parts_of
from mglib.questions import read_record, unpack

_TOLD = (
    *("commit", "dirty", "command", "device", "threads", "python", "platform", "versions", "lock"),
    *("started", "wall_seconds", "peak_memory_mib", "resumed_at", "seconds_before", "parts"),
)


def tables() -> Iterator[tuple[str, Path]]:
    """Every readable-looking file of rows with its experiment: committed ones, then fresh parts."""
    for path in sorted(paths.results().glob("*.parquet")):
        yield path.stem, path
    for path in sorted(paths.rows().glob("*/*.parquet")):
        if not path.name.startswith("."):
            yield path.parent.name, path


def keys_in(path: Path) -> set[str]:
    """The keys of a file of rows; none if it cannot be read."""
    try:
        return {key for key in pc.unique(pq.read_table(path, columns=["key"])["key"]).to_pylist()}
    except (pa.ArrowException, OSError):
        return set()


def find(key: str) -> tuple[str, list[tuple[str, Path]]]:
    """The whole key that begins with `key` and the files with rows of it, with their experiments.

    Raises MglibError if no key does, naming the nearest, or if several do.
    """
    known: dict[str, list[tuple[str, Path]]] = {}
    for experiment, path in tables():
        for name in keys_in(path):
            known.setdefault(name, []).append((experiment, path))
    fitting = sorted(name for name in known if key and name.startswith(key))
    if key in known:
        fitting = [key]
    if not fitting:
        raise unknown_key("key", key, known)
    if len(fitting) > 1:
        more = f" and {len(fitting) - 5} more" if len(fitting) > 5 else ""
        raise MglibError(f"{len(fitting)} keys begin with '{key}': {', '.join(fitting[:5])}{more}")
    return fitting[0], known[fitting[0]]


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def seen(column: str) -> list[Any]:
        return sorted({row[column] for row in rows if row[column] is not None})

    values = [row["value"] for row in rows if row["value"] is not None]
    return {
        "rows": len(rows),
        "profile": seen("profile"),
        "metrics": seen("metric"),
        "modalities": seen("modality"),
        "splits": seen("split"),
        "steps": seen("step"),
        "status": seen("status"),
        "range": [min(values), max(values)] if values else None,
    }


def _code(parts: list[str], records: list[dict[str, Any]]) -> dict[str, Any]:
    """Of every part behind the key: the digests of its code then, and the one now."""
    found = {}
    for part in parts:
        then: set[str] = set()
        for record in records:
            told = record.get("code", {}).get(part, [])
            then |= {told} if isinstance(told, str) else set(told)
        try:
            now = code_of(part)
        except MglibError:  # it is registered no more
            now = None
        if then:
            found[part] = {"then": sorted(then), "now": now}
    return found


def why(key: str) -> dict[str, Any]:
    """All that is known of a key (or of the only one that begins so), as JSON.

    Raises MglibError for an unknown or ambiguous key.
    """
    whole, files = find(key)
    identity: dict[str, Any] = {}
    places, records = [], []
    for experiment, path in files:
        record = read_record(path) or {}
        try:
            identity = identity or unpack(record.get("questions")).get(whole, {})
        except ValueError:
            pass
        rows = pq.read_table(path, filters=[("key", "=", whole)]).to_pylist()
        own = isinstance(record.get("keys"), list)  # else committed rows, which count them
        told = record.get("records", [record])
        records.append(record)
        places.append(
            {
                "experiment": experiment,
                "file": str(path),
                "summary": _summary(rows),
                "made": [{n: one[n] for n in _TOLD if one.get(n) is not None} for one in told],
                "other_keys": len(record["keys"]) - 1 if own else None,
            }
        )
    columns = {n: v for n, v in rows[0].items() if v is not None and all(r[n] == v for r in rows)}
    standing, reasons = verdict(whole, identity) if identity else ("unclear", [])
    if not identity:
        reasons = ["its record does not hold the question"]
    return {
        "key": whole,
        "question": identity.get("question") or None,
        "identity": identity or None,
        "columns": columns,
        "code": _code(parts_of(identity), records),
        "now": standing,
        "differences": reasons,
        "places": places,
    }


def _relative(path: str) -> str:
    return str(Path(path).relative_to(paths.ROOT)) if path.startswith(f"{paths.ROOT}/") else path


def _question(found: Mapping[str, Any]) -> Iterator[str]:
    asked = dict(found["question"] or found["columns"])
    head = [f"{asked[n]}" for n in ("task",) if n in asked]
    timed = "timed" in (found["identity"] or {})
    if timed:
        head.append(f"benchmark {asked['algorithm']}")
    elif asked.get("algorithm"):
        head.append(f"algorithm {asked['algorithm']} ({asked.get('variant')})")
    if asked.get("method"):
        kind = f" on body {asked['body']}" if "body" in asked else f", law {asked.get('law')}"
        head.append(f"method {asked['method']}{kind}")
    if asked.get("stand_in"):
        at = f", {100 * asked['rate']:g} % incomplete" if "rate" in asked else ""
        head.append(f"stand-in {asked['stand_in']}, matching {asked.get('matching')}{at}")
    if asked.get("way"):
        head.append(f"lost frames {asked['way']}, law {asked.get('law')}")
    on = f" on {asked.get('dataset')}, perceptor {asked.get('perceptor')}"
    yield ", ".join(head) + ("" if timed else on)
    if "train" in asked:
        train = asked["train"]
        train = "+".join(train) if isinstance(train, list) else train
        at = f", {asked['steps']} steps" if "steps" in asked else ""
        yield f"trained on {train}{at}, {asked.get('precision', '')}".rstrip(", ")
    if "evaluate" in asked:
        every = f" every {asked['every']} steps" if "every" in asked else ""
        yield f"evaluated on {', '.join(asked['evaluate'])}{every}"
    numbers = [
        f"{name.replace('_', ' ')} {asked[name]}"
        for name in ("draw", "seed", "split_seed", "modality", "split", "metric", "target")
        if asked.get(name) is not None
    ]
    yield ", ".join(numbers)
    if asked.get("hparams"):
        values = json.loads(asked["hparams"])
        yield ", ".join(f"{n} {v}" for n, v in values.items()) or "no hyper-parameters"


def _versions(identity: Mapping[str, Any]) -> Iterator[str]:
    data, question = identity.get("data", {}), identity.get("question", {})
    one = [f"engine {identity['engine']}"] if "engine" in identity else []
    if "algorithm" in identity:
        one.append(f"algorithm {question.get('algorithm')} {identity['algorithm']}")
    if "transfer" in identity:
        one.append(f"training of bodies {identity['transfer']}")
        one.append(f"transfer method {question.get('method')} {identity['method']}")
    if "missing" in identity:
        one.append(f"training with missing modalities {identity['missing']}")
    if "sequences" in identity:
        one.append(f"training with lost frames {identity['sequences']}")
        if "virtual" in identity:
            one.append(f"training with missing sequences {identity['virtual']}")
            one.append(f"law victim {identity['law']}")
    elif "missing" in identity:
        one += [f"{n} {question.get(n)} {identity[n]}" for n in ("method", "law", "pairing")]
    one += [f"measure {name} {version}" for name, version in identity.get("measure", {}).items()]
    one += [f"{part} {version}" for part, version in identity.get("timed", {}).items()]
    yield ", ".join(one)
    if not data:
        return
    versions = data.get("versions", {})
    yield (
        f"dataset {data.get('dataset')} {versions.get('dataset')}, features {data.get('format')}, "
        f"splits {(data.get('splitting') or {}).get('version')}"
    )
    names = [f"{name} {version}" for name, version in versions.get("perceptors", {}).items()]
    yield f"perceptors {', '.join(names)}"


def _made(made: Mapping[str, Any], others: int | None) -> Iterator[str]:
    dirty = " with uncommitted changes" if made.get("dirty") else ""
    commit = str(made.get("commit") or "no commit")[:12] + dirty
    yield f"{made.get('started', 'unknown time')}, {commit}"
    command = made.get("command")
    if command:
        yield f"`{' '.join(command) if isinstance(command, list) else command}`"
    company = f" with {others} other keys" if others else ""
    company += f" in {made['parts']} parts" if "parts" in made else ""
    yield (
        f"{made.get('device', 'device unknown')}, threads {made.get('threads', 'unknown')}, "
        f"{made.get('wall_seconds')} s{company}, {made.get('peak_memory_mib')} MiB"
    )
    packages = [f"{name} {version}" for name, version in made.get("versions", {}).items()]
    yield ", ".join([f"python {made.get('python')}", made.get("platform", ""), *packages])


def _rows(summary: Mapping[str, Any]) -> str:
    values = summary["range"]
    between = f", values {values[0]:.4g} to {values[1]:.4g}" if values else ""
    names = [", ".join(map(str, summary[n])) for n in ("metrics", "modalities", "splits") if n]
    steps = f", step {', '.join(map(str, summary['steps']))}" if summary["steps"] else ""
    return f"{summary['rows']} ({', '.join(summary['status'])}): {'; '.join(names)}{steps}{between}"


def lines(found: Mapping[str, Any]) -> list[str]:
    """What `why` found, for a reader."""
    told: list[tuple[str, str]] = [("key", found["key"])]
    for place in found["places"]:
        profile = ", ".join(place["summary"]["profile"]) or "none"
        told.append(("experiment", f"{place['experiment']}, profile {profile}"))
        told.append(("file", _relative(place["file"])))
        told.append(("rows", _rows(place["summary"])))
    told += [("question", line) for line in _question(found)]
    if found["identity"]:
        told += [("versions", line) for line in _versions(found["identity"])]
        sources = found["identity"].get("data", {}).get("sources", {})
        told += [("sources", f"{name} sha256 {value[:16]}") for name, value in sources.items()]
    for part, code in found["code"].items():
        if code["then"] != [code["now"]]:
            text = f"{part} {', '.join(code['then'])} then, {code['now'] or 'gone'} now"
            told.append(("code", text))
    if found["code"] and all(code["then"] == [code["now"]] for code in found["code"].values()):
        told.append(("code", "of all these as it was then"))
    if found["now"] == "current":
        told.append(("now", "the present code gives the same key"))
    word = {"outdated": "another key", "unclear": "unknown"}.get(found["now"])
    told += [("now", f"{word}: {line}") for line in found["differences"]]
    for place in found["places"]:
        for made in place["made"]:
            told += [("made", line) for line in _made(made, place["other_keys"])]
    return [
        f"{'' if number and told[number - 1][0] == word else word:<11} {text}".rstrip()
        for number, (word, text) in enumerate(told)
    ]
