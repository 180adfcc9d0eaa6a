"""Measured values as rows: what has a row is read, what has none is computed once and written."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mglib import paths
from mglib.arrays import load_arrays, save_arrays
from mglib.errors import MglibError
from mglib.features import data_identity
from mglib.lineage import identity_code
from mglib.progress import Progress
from mglib.provenance import Record, digest
from mglib.questions import pack
from mglib.rows import REFERENCE, read_rows, write_part
from mglib.trials.estimate import Estimated, asked_only

Question = Mapping[str, Any]  # columns of a row that decide its values; `hparams` as a mapping
Answer = Sequence[Mapping[str, Any]]  # one row each: metric, value, n and what else differs
FLUSH = 20.0  # seconds after which finished answers go to disk


def asked(
    questions: Iterable[Question], measure: Mapping[str, int]
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Key -> question, as the columns of its rows, and identity.

    The key is the digest of the identity: the question, the declared version of the measure by the
    name of its module, and what decides the data; nothing needs to be prepared. A question without
    data says in `timed` which versioned parts it times, with their versions, which is no column.
    """
    data_of = cache(data_identity)
    found = {}
    for question in questions:
        columns = {**question, "hparams": json.dumps(question.get("hparams", {}), sort_keys=True)}
        if "timed" in columns:
            about = {"timed": {**columns.pop("timed")}}
        else:
            about = {"data": data_of(question["dataset"], question["perceptor"])}
        identity = {"question": columns, **about, "measure": {**measure}}
        key = digest(identity)
        found[key] = ({**columns, "key": key}, identity)
    return found


def measured(
    experiment: str,
    questions: Iterable[Question],
    answer: Callable[[dict[str, Any]], Answer],
    *,
    version: int,
    profile: str,
    label: str = "measuring",
    artifact: bool = False,
) -> pa.Table:
    """The rows of all questions, in their order; those without any are answered first.

    `answer` gets a question with its `key` and returns rows; a value that is None or not finite
    becomes a null with the status "undefined", so that it is not asked again. Raise `version` when
    an answer changes. With `artifact` a question is also answered if its artifact is missing. One
    thread computes.
    """
    from threadpoolctl import threadpool_limits

    wanted = asked(questions, {answer.__module__.rpartition(".")[2]: version})
    present = set(pc.unique(read_rows(experiment, wanted, profile)["key"]).to_pylist())
    pending = [
        (question, identity)
        for key, (question, identity) in wanted.items()
        if key not in present or (artifact and find_artifact(experiment, key, profile) is None)
    ]
    if pending and asked_only():
        with threadpool_limits(limits=1):
            started = time.monotonic()
            answer(pending[0][0])
            hours = (time.monotonic() - started) * len(pending) / 3600
        raise Estimated(
            f"{experiment}: {len(pending):,} of {len(wanted):,} values to compute ({label}), about "
            f"{hours:.2f} hours on one core; what follows in the notebook is not counted"
        )
    if pending and os.environ.get("MGLIB_TRAIN") == "never":
        raise MglibError(
            f"{experiment}: {len(pending)} of {len(wanted)} values ({label}) have no rows at "
            f"profile '{profile}' and computing is off (MGLIB_TRAIN=never); "
            f"`mglib run {experiment} --profile {profile}` computes them"
        )
    if pending:
        import sklearn  # noqa: F401  # thread limits reach only libraries that are loaded by now

        with (
            Progress(f"{experiment}: {label}", len(pending), "values") as progress,
            threadpool_limits(limits=1),  # sums must not hang on the number of cores
        ):
            _answer_all(experiment, pending, answer, profile, progress)
    rows = read_rows(experiment, wanted, profile)  # in whatever order the parts are named
    places = {key: place for place, key in enumerate(wanted)}
    return rows.take(np.argsort([places[key] for key in rows["key"].to_pylist()], kind="stable"))


def _answer_all(
    experiment: str,
    pending: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    answer: Callable[[dict[str, Any]], Answer],
    profile: str,
    progress: Progress,
) -> None:
    """Answer one by one; what is finished is written even if a later answer fails."""
    record, started = Record(), time.monotonic()
    rows: list[dict[str, Any]] = []
    identities = {question["key"]: identity for question, identity in pending}

    def flush() -> None:
        keys = list(dict.fromkeys(row["key"] for row in rows))
        if keys:
            own = {key: identities[key] for key in keys}
            told = {"questions": pack(own), "code": identity_code(own.values())}
            write_part(experiment, rows, record.finish(keys=keys, device="cpu", threads=1, **told))

    try:
        for question, _ in pending:
            fixed = {"experiment": experiment, "profile": profile, **question}
            rows += [{**fixed, **_stated(own)} for own in answer(question)]
            progress.advance(1)
            if time.monotonic() - started > FLUSH:
                flush()
                record, started, rows = Record(), time.monotonic(), []
    finally:
        flush()


def _stated(row: Mapping[str, Any]) -> dict[str, Any]:
    value = row["value"]
    known = value is not None and math.isfinite(value)
    return {**row, "value": value if known else None, "status": "ok" if known else "undefined"}


def find_artifact(experiment: str, key: str, profile: str) -> Path | None:
    """The file of arrays beside the rows of a key; committed ones at profile "reference" first."""
    name = f"{key}.safetensors"
    places = [paths.rows() / experiment / "artifacts" / name]
    if profile == REFERENCE:
        places.insert(0, paths.results() / experiment / name)
    return next((place for place in places if place.is_file()), None)


def save_artifact(experiment: str, key: str, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write arrays beside the fresh rows of a key, whole or not at all."""
    path = paths.rows() / experiment / "artifacts" / f"{key}.safetensors"
    save_arrays(path, arrays)
    return path


def load_artifact(experiment: str, key: str, profile: str) -> dict[str, np.ndarray]:
    """The arrays of a key; raises MglibError if they are missing or damaged."""
    path = find_artifact(experiment, key, profile)
    if path is None:
        raise MglibError(f"{experiment}: no artifact of key {key}; run the notebook again")
    return load_arrays(path)
