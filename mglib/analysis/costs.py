"""What a computation costs beside what a user would do without it, as rows: one a measurement.

The measuring itself is that of `benchmarks/`; here its entries become rows and costs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mglib.analysis.measured import Answer, measured
from mglib.errors import MglibError
from mglib.provenance import processor

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
COSTS = "costs"  # task whose values hang on the machine: compared side by side, never judged
OTHERS = "others"  # metric: the share of the machine that other programs took meanwhile
# How units begin of which less is better, and of which more is.
SPENT, DONE = ("CPU ", "MiB "), ("steps per", "utterances per", "streams of")
MACHINE = ("cpu", "cores", "device")
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


def cost_frame(rows: pa.Table) -> pd.DataFrame:
    """An entry a line: benchmark, what, quantity, baseline, unit, medians, costs and the machine.

    What is timed and which quantity of it are parted at the last comma of the entry's name. `ours`
    and `against` are medians in the unit; `cost` is how many times as much is spent as by the
    baseline (the ratio, or of rates its inverse), the median of all runs, `low` and `high` the
    least and most, `limit` the promised most (not a number if nothing is promised). Raises
    MglibError for a unit of which it is not known whether more is better.
    """
    import pandas as pd

    frame = rows.to_pandas()
    frame = frame[frame["metric"] != OTHERS]
    found = []
    for (benchmark, variant), own in frame.groupby(["algorithm", "variant"], sort=False):
        about = json.loads(own["hparams"].iloc[0])
        unit, limit = about["unit"], about["limit"]
        if not unit.startswith(SPENT + DONE):
            raise MglibError(f"unit '{unit}' of '{variant}' begins with none of {SPENT + DONE}")
        name = variant.removesuffix(f" against {about['baseline']}")
        what, _, quantity = name.rpartition(", ")
        values = {metric: some["value"] for metric, some in own.groupby("metric")}
        rate = unit.startswith(DONE)
        costs = 1 / values["ratio"] if rate else values["ratio"]
        found.append(
            {
                "benchmark": benchmark,
                "what": what,
                "quantity": quantity,
                "baseline": about["baseline"],
                "unit": unit,
                "ours": float(values["ours"].median()),
                "against": float(values["baseline"].median()),
                "cost": float(costs.median()),
                "low": float(costs.min()),
                "high": float(costs.max()),
                "limit": float("nan") if limit is None else 1 / limit if rate else limit,
                **{name: about[name] for name in MACHINE},
            }
        )
    columns = ["benchmark", "what", "quantity", "baseline", "unit", "ours", "against"]
    return pd.DataFrame(found, columns=[*columns, "cost", "low", "high", "limit", *MACHINE])


def others_share(rows: pa.Table) -> float:
    """The most that other programs took of the machine during any of the benchmarks, 0 to 1."""
    frame = rows.to_pandas()
    return float(frame[frame["metric"] == OTHERS]["value"].max())


def machines(rows: pa.Table) -> str:
    """The machines that rows were measured on, in words."""
    told = [json.loads(text) for text in dict.fromkeys(rows["hparams"].to_pylist())]
    names = (f"{one['cpu']}, {one['cores']} cores, {one['device']}" for one in told)
    return "; ".join(dict.fromkeys(names))


def cost_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The entries with figures as text: medians, and costs with the least and most of all runs."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "What": one.what,
                "Quantity": f"{one.quantity} [{one.unit}]",
                "Ours": f"{one.ours:.3g}" if one.ours < 100 else f"{one.ours:,.0f}",
                "Against": one.baseline,
                "There": f"{one.against:.3g}" if one.against < 100 else f"{one.against:,.0f}",
                "Times as dear": f"{one.cost:.2f} ({one.low:.2f} to {one.high:.2f})",
                "Promised": f"{one.limit:g}" if one.limit == one.limit else "–",
            }
            for one in frame.itertuples(index=False)
        ],
        columns=["What", "Quantity", "Ours", "Against", "There", "Times as dear", "Promised"],
    )
