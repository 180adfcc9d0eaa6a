"""Costs from the rows of benchmarks: how many times as dear as what a user would do without."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from mglib.analysis.costs import OTHERS
from mglib.errors import MglibError
from mglib.registry import bodies

if TYPE_CHECKING:
    import pandas as pd

# How units begin of which less is better, and of which more is.
SPENT, DONE = ("CPU ", "MiB "), ("steps per", "utterances per", "streams of")
MACHINE = ("cpu", "cores", "device")
FORMS, VIRTUAL = "meta_gradients/", "virtual_modalities/"
EXACT = ("second order", "two phase")  # forms of the meta-gradient
AT_USE = tuple(VIRTUAL + part for part in ("utterance", "batch", "stream", "memory"))

# The order of tables and figures: rows come by their keys, which have none.
BENCHMARKS = (
    *(FORMS + part for part in ("minilm", "efficientnet_lite0")),
    *AT_USE,
    *(VIRTUAL + part for part in ("encoders", "training")),
)
WHATS = (
    *("second order", "two phase", "finite difference", "EfficientNet-Lite0", "CLIP", "sentence"),
    *("pairwise", "hub", "set", "mid fusion", "early fusion", "TRML"),
)
QUANTITIES = ("step", "latency", "batch", "frame by frame", "frames together", "memory")


def place(word: str, words: Sequence[str]) -> int:
    """Where the first of `words` that is in `word` stands; behind all if none is."""
    return next((n for n, each in enumerate(words) if each in word), len(words))


def cost_frame(rows: pa.Table) -> pd.DataFrame:
    """An entry a line: benchmark, what, quantity, baseline, unit, medians, costs and the machine.

    What is timed and which quantity of it are parted at the last comma of the entry's name. `ours`
    and `against` are medians in the unit; `cost` is how many times as much is spent as by the
    baseline (the ratio, or of rates its inverse), the median of all `runs`, `low` and `high` the
    least and most of them, `limit` the promised most (not a number where none is). Raises
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
                "runs": len(costs),
                "limit": float("nan") if limit is None else 1 / limit if rate else limit,
                **{name: about[name] for name in MACHINE},
            }
        )
    found.sort(
        key=lambda one: (
            place(one["benchmark"], BENCHMARKS),
            place(one["what"], WHATS),
            place(one["quantity"], QUANTITIES),
            *(one[name] for name in ("benchmark", "what", "quantity", "baseline")),
        )
    )
    columns = ["benchmark", "what", "quantity", "baseline", "unit", "ours", "against"]
    return pd.DataFrame(found, columns=[*columns, "cost", "low", "high", "runs", "limit", *MACHINE])


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
    """The entries as text: medians, and costs with the least and most of all runs.

    A table without entries has one line of dashes.
    """
    import pandas as pd

    columns = ["What", "Quantity", "Ours", "Baseline", "Times as dear", "Promised"]
    lines: list[tuple[str, ...]] = [
        (
            titled(one.what),
            f"{one.quantity} [{one.unit}]",
            figure_of(one.ours),
            figure_of(one.against),
            f"{one.cost:.2f} ({one.low:.2f} to {one.high:.2f})",
            f"{one.limit:g}" if one.limit == one.limit else "–",
        )
        for one in frame.itertuples(index=False)
    ]
    return pd.DataFrame(lines or [("–",) * len(columns)], columns=columns)


def use_table(frame: pd.DataFrame, generators: Sequence[str]) -> pd.DataFrame:
    """Medians at use by quantity (lines), of generators and of what they are set against.

    Beside a generator's median stands how many times as dear it is as zeros, in brackets.
    """
    import pandas as pd

    used = frame[frame["benchmark"].isin(AT_USE)]
    lines = []
    for (quantity, unit), own in used.groupby(["quantity", "unit"], sort=False):
        zeros = own[own["baseline"].str.startswith("zeros")]
        alone = own.drop(zeros.index)
        told = {one.what: f"{figure_of(one.ours)} ({one.cost:.2f})" for one in zeros.itertuples()}
        lines.append(
            (
                f"{quantity} [{unit}]",
                *(told.get(word, "–") for word in generators),
                figure_of(zeros["against"].median()),
                figure_of(alone["against"].median()) if len(alone) else "–",
            )
        )
    columns = ["Quantity", *generators, "zeros", "seen alone"]
    return pd.DataFrame(lines or [("–",) * len(columns)], columns=columns)


def figure_of(value: float) -> str:
    """A measured value with three digits that count, or whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def titled(what: str) -> str:
    """What is timed, a body by its title."""
    body, comma, form = what.partition(", ")
    if comma and body in bodies.names():
        return f"{title_of(body)}, {form}"
    return what


def title_of(body: str) -> str:
    """The first words of a body's title."""
    return str(bodies.get(body).title).partition(",")[0]


def panels(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What `figures.costs.draw_costs` draws, of `cost_frame`: by title, empty ones left out.

    Columns row, series, cost, low, high and limit. Of one utterance only zeros in place of what is
    missing are the baseline.
    """
    words = {"step": "time", "memory": "peak memory", "training": "time"}
    forms = frame[frame["benchmark"].str.startswith(FORMS)]
    used = frame[frame["benchmark"].isin(AT_USE) & frame["baseline"].str.startswith("zeros")]
    encoders = frame[frame["benchmark"] == VIRTUAL + "encoders"]
    training = frame[frame["benchmark"] == VIRTUAL + "training"]
    at_use = {"latency": "one utterance"}
    found = {
        "A step of MoNA against a plain step": forms.assign(
            row=forms["what"].map(titled), series=forms["quantity"].map(words)
        ),
        "Missing modalities generated, against zeros": used.assign(
            row=used["quantity"].replace(at_use), series=used["what"]
        ),
        "The same behind an encoder": encoders.assign(
            row=encoders["what"].str.removesuffix(" and pairwise"),
            series=encoders["quantity"].replace(at_use),
        ),
        "Training, against late fusion": training.assign(
            row=training["what"], series=training["quantity"].map(words)
        ),
    }
    columns = ["row", "series", "cost", "low", "high", "limit"]
    return {title: own[columns] for title, own in found.items() if len(own)}


def exact_forms(frame: pd.DataFrame, body: str) -> pd.DataFrame:
    """The steps by exact forms on a body, cheapest first, with the form in column `form`."""
    own = frame[(frame["benchmark"] == FORMS + body) & (frame["quantity"] == "step")]
    own = own.assign(form=own["what"].str.removeprefix(f"{body}, "))
    return own[own["form"].isin(EXACT)].sort_values("cost", kind="stable")


def one_of(frame: pd.DataFrame, what: str, quantity: str, baseline: str = "") -> pd.Series | None:
    """The entry of this name whose quantity and baseline begin so; None if there is none.

    Raises MglibError if there are several.
    """
    own = frame[
        (frame["what"] == what)
        & frame["quantity"].str.startswith(quantity)
        & frame["baseline"].str.startswith(baseline)
    ]
    if len(own) > 1:
        raise MglibError(f"{len(own)} entries are '{what}, {quantity}' against '{baseline}'")
    return own.iloc[0] if len(own) else None
