"""What a computation costs beside what a user would do without it, as rows: one a measurement.

The measuring itself is that of `benchmarks/`, whose entries these rows keep.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mglib.analysis.measured import Answer, measured
from mglib.provenance import processor

VERSION = 1
COSTS = "costs"  # task whose values hang on the machine: compared side by side, never judged
OTHERS = "others"  # metric: the share of the machine that other programs took meanwhile
Run = Callable[[str, bool], tuple[Sequence[Mapping[str, Any]], float]]


@dataclass(frozen=True)
class Timed:
    """The version of a benchmark, and those of the parts of mglib that it times, by name."""

    version: int
    parts: Mapping[str, str]


def cost_rows(
    experiment: str, asked: Mapping[str, Timed], run: Run, quick: bool, *, profile: str
) -> pa.Table:
    """Rows of every measurement of the benchmarks in `asked` (column `algorithm`).

    `run` gives a benchmark's entries (name, unit, baseline_name, limit and runs of ours, baseline
    and ratio) and the share of the machine that others took. Column `variant` has the entry and
    its baseline, `seed` the number of the run, `hparams` the unit, the baseline, the promised ratio
    and the machine, which is no part of the key: times need not be the same elsewhere.
    """

    def answer(question: dict[str, Any]) -> Answer:
        entries, others = run(question["algorithm"], quick)
        machine = {"cpu": processor(), "cores": os.cpu_count() or 1, "device": "cpu"}
        fixed = {**json.loads(question["hparams"]), **machine}
        found = [{"metric": OTHERS, "value": others, "n": 1, "hparams": json.dumps(fixed)}]
        for entry in entries:
            baseline = entry["baseline_name"]
            about = {"unit": entry["unit"], "baseline": baseline, "limit": entry["limit"]}
            for number, one in enumerate(entry["runs"]):
                found += [
                    {
                        "variant": f"{entry['name']} against {baseline}",
                        "seed": number,
                        "metric": side,
                        "value": one[side],
                        "n": 1,
                        "hparams": json.dumps({**fixed, **about}, sort_keys=True),
                    }
                    for side in ("ours", "baseline", "ratio")
                ]
        return found

    questions = [
        {
            "task": COSTS,
            "algorithm": name,
            "precision": "float32",
            "hparams": {"quick": quick, "version": timed.version},
            "timed": timed.parts,
        }
        for name, timed in asked.items()
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="benchmarks"
    )
