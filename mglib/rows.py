"""The result table: every measured value is a row, in small parquet parts never rewritten."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mglib import paths
from mglib.errors import MglibError
from mglib.provenance import digest, write_record

# The profile whose rows are committed in results/ and printed by the paper.
REFERENCE = "reference"

SCHEMA = pa.schema(
    [
        *(
            (name, pa.string())
            for name in (
                "experiment",
                "task",
                "dataset",
                "perceptor",
                "algorithm",
                "variant",
                "train",
                "train_pattern",
                "test_pattern",
            )
        ),
        ("train_rate", pa.float64()),
        ("test_rate", pa.float64()),
        ("draw", pa.int64()),
        ("seed", pa.int64()),
        ("split_seed", pa.int64()),
        ("step", pa.int64()),
        ("modality", pa.string()),
        ("split", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("status", pa.string()),
        ("precision", pa.string()),
        ("profile", pa.string()),
        ("key", pa.string()),
        ("hparams", pa.string()),
    ]
)


def part_path(experiment: str, keys: Iterable[str]) -> Path:
    """Where the rows of some trials lie that finish together; what belongs to them lies beside."""
    return paths.rows() / experiment / f"{digest(sorted(set(keys)))}.parquet"


def write_part(
    experiment: str, rows: Iterable[Mapping[str, Any]], record: Mapping[str, Any]
) -> Path:
    """Write the rows of some whole trials as one part with its record; return the part's path.

    The name hangs on the keys, so that writing the same trials twice leaves one part.
    Raises MglibError if a row has an unknown column or the folder cannot be written.
    """
    rows = list(rows)
    if extra := {name for row in rows for name in row} - set(SCHEMA.names):
        raise MglibError(f"rows have no column {sorted(extra)} (known: {', '.join(SCHEMA.names)})")
    table = pa.Table.from_pylist(
        [{name: row.get(name) for name in SCHEMA.names} for row in rows], schema=SCHEMA
    )
    part = part_path(experiment, {row["key"] for row in rows})
    fresh = part.with_name(f".{part.name}.{os.getpid()}.tmp")
    with paths.writing(part.parent, "MGLIB_ROWS"):
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, fresh, compression="zstd", write_page_checksum=True)
            write_record(part.with_suffix(".json"), record)
            fresh.replace(part)
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
    return part


def read_rows(
    experiment: str, keys: Collection[str] | None = None, profile: str = REFERENCE
) -> pa.Table:
    """All rows of an experiment, each measured value once; with `keys`, those of these trials.

    Profile "reference" reads the committed rows first, then the fresh ones; any other reads the
    fresh ones alone, so that a reader's machine computes its own. Raises MglibError naming a part
    that cannot be read.
    """
    committed = [paths.results() / f"{experiment}.parquet"]
    files = [
        *(committed if profile == REFERENCE else ()),
        *sorted((paths.rows() / experiment).glob("*.parquet")),
    ]
    tables: list[pa.Table] = []
    seen: set[str] = set()
    for file in files:
        if not file.exists() or file.name.startswith("."):
            continue
        try:
            table = pq.read_table(file, schema=SCHEMA, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise MglibError(
                f"damaged result rows {file}: {error}; delete the file and run again: "
                "only its trials are computed again"
            ) from error
        # Two writers may have finished the same trial; its rows are the same, so the first is kept.
        found = set(pc.unique(table["key"]).to_pylist())
        wanted = found - seen if keys is None else (found - seen) & set(keys)
        seen |= wanted
        if wanted != found:
            table = table.filter(pc.is_in(table["key"], pa.array(sorted(wanted), pa.string())))
        tables.append(table)
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def as_parquet(tables: Iterable[pa.Table]) -> bytes:
    """Rows as one small parquet file, each once and in one order: equal rows are equal bytes."""
    whole = pa.concat_tables([SCHEMA.empty_table(), *tables])
    once = whole.group_by(SCHEMA.names, use_threads=False).aggregate([]).select(SCHEMA.names)
    ordered = once.sort_by([(name, "ascending") for name in SCHEMA.names]).combine_chunks()
    stream = io.BytesIO()
    pq.write_table(
        ordered, stream, compression="zstd", compression_level=19, write_page_checksum=True
    )
    return stream.getvalue()


def read_records(
    experiment: str, keys: Collection[str], profile: str = REFERENCE
) -> list[dict[str, Any]]:
    """The records of the parts that hold at least one of the keys, where they are kept.

    Keys whose rows are committed are told by the committed records (profile "reference" only),
    each of which stands for several parts: it counts them as `parts`.
    """
    records = []
    keys = set(keys)
    committed = paths.results() / f"{experiment}.parquet"
    if profile == REFERENCE and committed.exists():
        found = set(pq.read_table(committed, columns=["key"])["key"].to_pylist())
        beside = committed.with_suffix(".json")
        if keys & found and beside.exists():
            records += json.loads(beside.read_text(encoding="utf-8"))["records"]
        keys -= found
    for part in sorted((paths.rows() / experiment).glob("*.parquet")):
        beside = part.with_suffix(".json")
        record = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
        if set(record.get("keys", ())) & keys:
            records.append(record)
    return records
