"""Made-up rows of real questions: parts with their records, as a run writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from made_up import make_trial

from mglib.lineage import identity_code
from mglib.provenance import Record
from mglib.questions import pack
from mglib.rows import write_part
from mglib.trials.trial import Trial


def trials_of(algorithm: str = "erm", seeds: Sequence[int] = (0, 1), **more: Any) -> list[Trial]:
    """Trials that differ in their seeds."""
    return [make_trial(algorithm, seed=seed, **more) for seed in seeds]


def part_of(trials: Sequence[Trial], experiment: str = "made_up", **record: Any) -> Path:
    """A part with two rows for each trial, and the record that a run writes."""
    rows = [
        {
            "experiment": experiment,
            "task": "test",
            **trial.columns(),
            "step": trial.steps,
            "modality": "art",
            "split": "test",
            "metric": metric,
            "value": value,
            "n": 60,
            "status": "ok",
            "profile": "quick",
        }
        for trial in trials
        for metric, value in (("accuracy", 0.25), ("balanced_accuracy", 0.75))
    ]
    told = {
        "keys": [trial.key for trial in trials],
        "questions": pack({trial.key: trial.identity for trial in trials}),
        "code": identity_code(trial.identity for trial in trials),
        "device": "cpu",
        "threads": 1,
    }
    return write_part(experiment, rows, Record().finish(**{**told, **record}))


def change_record(part: Path, **fields: Any) -> None:
    """Give a part's record other fields; None takes one away."""
    path = part.with_suffix(".json")
    record = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({n: v for n, v in record.items() if v is not None}))
