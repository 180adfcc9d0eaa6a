"""Commit-to-be: the reference run's rows, figures and files, copied into `results/` and `figures/`.

`python -m mglib.report.publish [--dirty] [NOTEBOOK...]`, after `mglib run … --profile reference`:
rows with their provenance, what figures are redrawn from, and the figures. Of a notebook without
rows, whose page `make render` cannot make again, its tables, numbers and verdicts as well.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mglib import paths
from mglib.analysis.measured import find_artifact
from mglib.errors import MglibError
from mglib.provenance import write_record
from mglib.questions import gather
from mglib.report.execution import find_notebook, notebooks
from mglib.report.output import DIRTY
from mglib.rows import REFERENCE, as_parquet, read_records

# Parts whose records agree in these are told together.
_ALIKE = "trained commit dirty device threads platform python versions lock".split()
# What a notebook without rows leaves for the paper beside its figures.
STATIC = {"tables": "*.md", "numbers": "*.json", "claims": "*.json"}


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def gathered(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of many parts as few: alike ones together, with their number, times and peak."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        name = json.dumps([record.get(field) for field in _ALIKE], sort_keys=True)
        groups.setdefault(name, []).append(record)
    return [
        {
            **{field: group[0].get(field) for field in _ALIKE},
            "parts": sum(r.get("parts", 1) for r in group),
            "wall_seconds": round(sum(r["wall_seconds"] for r in group), 1),
            "peak_memory_mib": max(r["peak_memory_mib"] for r in group),
            "started": min(r["started"] for r in group),
            "last_started": max(r.get("last_started", r["started"]) for r in group),
        }
        for _, group in sorted(groups.items())
    ]


def owned(folder: Path, pattern: str, notebook: str) -> list[Path]:
    """The files of a folder that a notebook made, as the records beside them say."""
    found = []
    for path in sorted(folder.glob(pattern)):
        beside = path.with_name(f"{path.name}.json")
        if beside.is_file() and _json(beside).get("notebook") == notebook:
            found.append(path)
    return found


def _refuse(what: str, records: Iterable[dict[str, Any]]) -> None:
    if any(record.get("dirty") is not False for record in records):
        raise MglibError(
            f"{what} were made{DIRTY}, so that nobody can make them again from a commit: commit, "
            "run again at profile reference, publish; or say --dirty"
        )


def _copy(path: Path, target: Path) -> Path:
    """Copy a file and its record; a file of the same bytes keeps the record that it has."""
    beside = path.with_name(f"{path.name}.json")
    record = target.with_name(f"{target.name}.json")
    if not (target.is_file() and record.is_file() and target.read_bytes() == path.read_bytes()):
        paths.replace(target, path.read_bytes())
        paths.replace(record, beside.read_bytes())
    return target


def _unchanged(rows: pa.Table, committed: Path) -> set[str]:
    """The keys whose rows are committed as they are: their records stay, too."""
    if not committed.exists():
        return set()
    now, before = (
        table.group_by("key", use_threads=False).aggregate([("value", "list"), ("step", "list")])
        for table in (rows, pq.read_table(committed).select(rows.column_names))
    )
    known = {line["key"]: line for line in before.to_pylist()}
    return {line["key"] for line in now.to_pylist() if known.get(line["key"]) == line}


def _publish_rows(file: Path, dirty: bool) -> list[Path]:
    notebook = file.stem
    data = as_parquet([pq.read_table(file)])
    rows = pq.read_table(io.BytesIO(data))
    keys = set(pc.unique(rows["key"]).to_pylist())
    target = paths.results() / file.name
    kept = _unchanged(rows, target)
    records = read_records(notebook, kept) + read_records(notebook, keys - kept, "fresh")
    held = {key for record in records for key in record.get("keys", ())}
    if lost := keys - kept - held:
        raise MglibError(
            f"{len(lost)} of {len(keys)} keys of {notebook} have no record of what computed them, "
            f"the first {min(lost)}; run it again at profile reference where its rows are"
        )
    if not dirty:
        _refuse(f"some rows of {notebook}", records)
    learned = rows.filter(pc.is_valid(rows["algorithm"]))
    trained = set(learned["key"].to_pylist())
    groups = gathered(
        {"trained": not trained.isdisjoint(record.get("keys", ())), **record} for record in records
    )
    told = {
        "notebook": notebook,
        "runs": len(keys),
        "rows": rows.num_rows,
        "sha256": hashlib.sha256(data).hexdigest(),
        "records": groups,
        **gather(notebook, keys),
    }
    paths.replace(target, data)
    write_record(target.with_suffix(".json"), told)
    return [target, *_publish_arrays(notebook, keys)]


def _publish_arrays(notebook: str, keys: set[str]) -> list[Path]:
    """What figures are redrawn from, beside the rows of some keys: new ones in, old ones out."""
    folder, kept = paths.results() / notebook, []
    for key in sorted(keys):
        target = folder / f"{key}.safetensors"
        fresh = find_artifact(notebook, key, "fresh")
        if fresh and not target.exists():
            paths.replace(target, fresh.read_bytes())
        if target.exists():
            kept.append(target)
    for path in folder.rglob("*.*"):
        if path not in kept:
            path.unlink()
    return kept


def publish(notebook: str, material: Path, figures: Path, dirty: bool = False) -> list[Path]:
    """Copy what a notebook's reference run left in `material`; return the files.

    Earlier files of the notebook that this run did not make are removed. Raises MglibError if it
    was not run, if it ran with uncommitted changes (unless `dirty`), or for keys without a record.
    """
    executed = material / "notebooks" / f"{notebook}.ipynb"
    beside = executed.with_name(f"{executed.name}.json")
    if not (executed.is_file() and beside.is_file()):
        raise MglibError(
            f"no finished reference run of {notebook} in {material}; "
            f"`mglib run {notebook} --profile reference` makes it (hours for some notebooks)"
        )
    drawn = owned(material / "figures", "*.svg", notebook)
    if not dirty:
        made = [beside, *(path.with_name(f"{path.name}.json") for path in drawn)]
        _refuse(f"files of {notebook}", map(_json, made))
    rows = material / "rows" / f"{notebook}.parquet"
    if rows.is_file():
        written = _publish_rows(rows, dirty)
    else:
        own, written = paths.results() / notebook, []
        shutil.rmtree(own, ignore_errors=True)
        for name, pattern in STATIC.items():
            for path in owned(material / name, pattern, notebook):
                written.append(_copy(path, own / name / path.name))
    for path in owned(figures, "*.svg", notebook):
        if path.name not in {new.name for new in drawn}:
            path.unlink()
            path.with_name(f"{path.name}.json").unlink()
    return [*written, *(_copy(path, figures / path.name) for path in drawn)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish the named notebooks, or all of them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mglib.report.publish", description=__doc__)
    parser.add_argument("notebook", nargs="*", help="names (default: every notebook)")
    parser.add_argument("--dirty", action="store_true", help="even if made from no commit")
    chosen = parser.parse_args(arguments)
    try:
        for name in [find_notebook(n).stem for n in chosen.notebook] or notebooks():
            material = paths.report() / REFERENCE
            figures = paths.ROOT / "figures"
            for path in publish(name, material, figures, chosen.dirty):
                print(f"{path} ({path.stat().st_size / 1000:.1f} kB)")
    except MglibError as error:
        print(f"mglib: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
