"""Rebuilt here against reference: what this machine computed beside the committed rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mglib import paths
from mglib.analysis.comparison import CELL, TOLERANCE, compare_cells
from mglib.errors import unknown
from mglib.provenance import Record, write_record
from mglib.rows import REFERENCE, read_records

if TYPE_CHECKING:
    import pandas as pd

NAME = "compare"  # of the table, the numbers, the verdict and the page
CLAIM = "what is rebuilt here agrees with the reference"


@dataclass(frozen=True)
class Comparison:
    """One experiment: its cells, the keys behind them, and those that the reference lacks.

    `copied` of the keys have the very rows that were committed: this machine computed those.
    """

    experiment: str
    cells: pd.DataFrame
    keys: int
    unknown: int
    copied: int

    @property
    def judged(self) -> pd.DataFrame:
        """The cells that have a tolerance: all but costs, which hang on the machine."""
        return self.cells[self.cells["tolerance"].notna()]

    @property
    def beyond(self) -> int:
        """The number of cells beyond their tolerance."""
        return int(self.cells["beyond"].sum())

    def worst(self) -> str:
        """The cell that uses most of its tolerance, in words."""
        cell = self.cells.iloc[0]
        name = ", ".join(str(cell[part]) for part in (*CELL, "asked") if cell[part] != "")
        return (
            f"{name}: {cell['here']:.4f} here, {cell['reference']:.4f} in the reference, "
            f"tolerance {cell['tolerance']:.4f}, n {cell['n']}"
        )

    def told(self) -> str:
        """Head line and all cells as text, those beyond tolerance first."""
        same = int(self.judged["same"].sum())
        head = (
            f"{self.keys} runs in {len(self.judged)} cells, {same} identical, {self.beyond} beyond "
            f"tolerance; {self.unknown} runs are not in the reference"
        )
        if timed := len(self.cells) - len(self.judged):
            head += f"; {timed} ratios of costs are shown without a verdict"
        if self.cells.empty:
            return head
        return f"{head}\n{cell_table(self.cells).to_string(index=False)}"


def _copied(experiment: str, keys: set[str]) -> int:
    """Keys whose fresh rows are of the runs that made the committed ones, by their records."""
    beside = paths.results() / f"{experiment}.json"
    told = json.loads(beside.read_text(encoding="utf-8"))["records"] if beside.exists() else []
    found: set[str] = set()
    for record in read_records(experiment, keys, "fresh"):
        if any(
            record.get("commit") == group["commit"]
            and group["started"] <= record["started"] <= group["last_started"]
            for group in told
        ):
            found |= keys & set(record["keys"])
    return len(found)


def committed() -> list[str]:
    """The experiments with committed reference rows."""
    return sorted(path.stem for path in paths.results().glob("*.parquet"))


def compared(experiment: str, profile: str) -> Comparison | None:
    """An experiment's fresh rows of a profile against the committed ones; None if there are none.

    Raises MglibError if the experiment has no committed rows.
    """
    if experiment not in committed():
        raise unknown("committed rows of experiment", experiment, committed())
    fresh = paths.report() / profile / "rows" / f"{experiment}.parquet"
    if not fresh.exists():
        return None
    here, there = pq.read_table(fresh), pq.read_table(paths.results() / f"{experiment}.parquet")
    asked = set(pc.unique(here["key"]).to_pylist())
    keys = asked & set(pc.unique(there["key"]).to_pylist())
    return Comparison(
        experiment,
        compare_cells(here, there),
        len(keys),
        len(asked - keys),
        _copied(experiment, keys),
    )


def _number(value: float) -> str:
    return f"{value:.4f}".replace("-", "−") if value == value else "none"


def _line(name: str, found: Comparison | None) -> dict[str, str]:
    if found is None or found.cells.empty:
        words = ["–"] * 5
    elif found.judged.empty:
        words = [f"{found.keys:,}", f"{len(found.cells):,}", "–", "–", "none"]
    else:
        worst = found.cells.iloc[0]
        words = [
            f"{found.keys:,}",
            f"{len(found.judged):,}",
            f"{int(found.judged['same'].sum()):,}",
            _number(abs(worst["difference"])),
            _number(worst["tolerance"]),
        ]
    heads = ["Runs", "Cells", "Identical", "Largest difference", "Tolerance there"]
    return {"Experiment": name, **dict(zip(heads, words, strict=True))}


def summary(found: dict[str, Comparison | None]) -> pd.DataFrame:
    """One line per experiment; the largest difference is that which uses most of its tolerance."""
    import pandas as pd

    lines = [_line(f"`{name}`", one) for name, one in found.items()]
    return pd.DataFrame(lines or [_line("–", None)])


def cell_table(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with formatted numbers and without the columns that none of them uses."""
    used = [name for name in [*CELL, "asked"] if (cells[name] != "").any()]
    table = cells[used].copy()
    table["rebuilt here"] = cells["here"].map(_number)
    for name in ("reference", "difference", "tolerance"):
        table[name] = cells[name].map(_number)
    table["n"] = cells["n"]
    return table


def sentence(found: dict[str, Comparison | None], profile: str) -> str:
    """What the paper says of this copy."""
    there = [one for one in found.values() if one is not None]
    if not there:
        return "Nothing was recomputed for this copy, which prints the committed rows alone"
    cells = sum(len(one.judged) for one in there)
    same = sum(int(one.judged["same"].sum()) for one in there)
    timed = sum(len(one.cells) for one in there) - cells
    beyond, lacking = sum(one.beyond for one in there), sum(one.unknown for one in there)
    text = f"Of {cells:,} cells computed again here at profile `{profile}`, {same:,} are identical"
    text += f" and {beyond:,} beyond tolerance" if beyond else " and all within tolerance"
    if not cells and not timed:
        return (
            f"None of the {lacking:,} runs computed here at profile `{profile}` is in the reference"
        )
    if timed:
        text += (
            f"; {timed:,} ratios of costs, which hang on the machine, are shown without a verdict"
        )
    if lacking:
        text += f"; {lacking:,} runs have no counterpart in the reference"
    if copied := sum(one.copied for one in there):
        keys = sum(one.keys for one in there)
        text += f"; {copied:,} of the {keys:,} runs are the reference's own, made on this machine"
    return text


def _markdown(table: pd.DataFrame, left: int) -> str:
    rule = [":--" if place < left else "--:" for place in range(table.shape[1])]
    rows = [list(table.columns), *table.itertuples(index=False)]
    lines = ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]]) + "\n"


def _page(found: dict[str, Comparison | None], told: str) -> dict[str, Any]:
    """All cells as a notebook, so that its page stands beside those of the others."""
    sources = [
        f"# Rebuilt here against reference\n\n{told}. A cell is a mean over runs (n) at their last "
        "step on the test part; cells that differ most for their tolerance come first."
    ]
    for name, one in found.items():
        if one is not None:
            table = cell_table(one.cells)
            sources.append(f"## {name}\n\n{_markdown(table, table.shape[1] - 5)}")
    cells = [{"cell_type": "markdown", "metadata": {}, "source": text} for text in sources]
    return {
        "nbformat": 4,
        "nbformat_minor": 4,
        "metadata": {"kind": "written by mglib compare:"},
        "cells": cells,
    }


def write(found: dict[str, Comparison | None], profile: str) -> None:
    """Write table, sentence, verdict and page of all cells to where the paper is assembled from."""
    folder, record = paths.report() / REFERENCE, Record()
    told = sentence(found, profile)
    words = {
        NAME: {
            "sentence": told,
            "tolerance": f"{TOLERANCE:g}",
            "profile": profile,
        }
    }
    agrees = not any(one.beyond for one in found.values() if one is not None)
    files = {
        f"tables/{NAME}.md": _markdown(summary(found), 1),
        f"numbers/{NAME}.json": json.dumps(words, indent=1, ensure_ascii=False) + "\n",
        f"claims/{NAME}.json": json.dumps({CLAIM: agrees}) + "\n",
        f"notebooks/{NAME}.ipynb": json.dumps(_page(found, told), indent=1) + "\n",
    }
    for name, text in files.items():
        with paths.writing(folder, "MGLIB_REPORT"):
            paths.replace(folder / name, text)
            write_record(folder / f"{name}.json", record.finish(notebook=NAME, profile=profile))


def listing(found: dict[str, Comparison | None]) -> list[dict[str, Any]]:
    """Every cell as a dictionary, for machines."""
    listed: list[dict[str, Any]] = []
    for name, one in found.items():
        if one is not None:
            cells = one.cells.astype(object).where(one.cells.notna(), None)
            listed += [{"experiment": name, **cell} for cell in cells.to_dict("records")]
    return listed


def compare(names: Sequence[str], profile: str) -> dict[str, Comparison | None]:
    """Every named experiment (else all with committed rows) compared, in the given order."""
    return {name: compared(name, profile) for name in names or committed()}
