"""Benchmarks: modules of the top-level folder `benchmarks/`, each with `run(quick) -> [Entry]`.

One whose entries become rows of the paper has `PARTS` as well, which can be run one by one under
names such as `meta_gradients/minilm`, and a `VERSION`, raised when what is timed there changes.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import TypedDict

from mglib import paths
from mglib.analysis.costs import Timed
from mglib.errors import unknown
from mglib.keys.versions import declared

DISTURBED = 0.1  # share of the machine that other programs may take before figures are doubted


class Run(TypedDict):
    """One measurement of both sides, one right after the other."""

    ours: float
    baseline: float
    ratio: float


class Entry(TypedDict):
    """One line of the table: medians of all `runs`; `limit` is the promised ratio, if there is."""

    name: str
    unit: str
    ours: float
    baseline: float
    baseline_name: str
    ratio: float
    runs: list[Run]
    limit: float | None


@dataclass(frozen=True)
class Part:
    """Some entries of a benchmark, and the versioned parts of mglib that they time."""

    run: Callable[[bool], list[Entry]]
    timed: tuple[str, ...]


def _ticks(child: BaseProcess) -> int:
    """What a running process has had of the CPU; once it has ended, it counts with its parent."""
    try:
        told = Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return 0
    return sum(int(ticks) for ticks in told.rpartition(")")[2].split()[11:13])


class Others:
    """How much of the machine other programs take, since this was made."""

    def __init__(self) -> None:
        self._start, self._before = time.perf_counter(), self._busy()

    def _busy(self) -> float:
        """CPU seconds of the machine that are not of this process and its children."""
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
        ticks = sum(int(fields[place]) for place in (0, 1, 2, 5, 6))
        return (ticks - sum(map(_ticks, multiprocessing.active_children()))) / os.sysconf(
            "SC_CLK_TCK"
        ) - sum(os.times()[:4])

    def share(self) -> float:
        """Of all cores of the machine, 0 to 1."""
        cores = os.cpu_count() or 1
        seconds = (time.perf_counter() - self._start) * cores
        return min(1.0, max(0.0, (self._busy() - self._before) / max(seconds, 1e-9)))


def compare(
    name: str,
    unit: str,
    baseline_name: str,
    ours: Callable[[], float],
    baseline: Callable[[], float],
    repeats: int,
    limit: float | None = None,
) -> Entry:
    """Measure both sides in turn, `repeats` times; the entry's ratio is the median of the ratios.

    Who is first alternates, so that a machine that warms up or fills favours neither side.
    """
    runs: list[Run] = []
    others = Others()
    for repeat in range(repeats):
        if repeat % 2:
            second, first = baseline(), ours()
        else:
            first, second = ours(), baseline()
        runs.append({"ours": first, "baseline": second, "ratio": first / second})
    if (share := others.share()) > DISTURBED:
        print(
            f"{name}: other programs took {share:.0%} of the machine meanwhile: "
            "run this again when it is quiet",
            file=sys.stderr,
        )
    return entry(name, unit, baseline_name, runs, limit)


def entry(
    name: str, unit: str, baseline_name: str, runs: list[Run], limit: float | None = None
) -> Entry:
    """The medians of some runs."""
    return {
        "name": name,
        "unit": unit,
        "ours": statistics.median(run["ours"] for run in runs),
        "baseline": statistics.median(run["baseline"] for run in runs),
        "baseline_name": baseline_name,
        "ratio": statistics.median(run["ratio"] for run in runs),
        "runs": runs,
        "limit": limit,
    }


def names() -> list[str]:
    """The benchmarks of this checkout, sorted; a file starting with `_` is none."""
    found = (paths.ROOT / "benchmarks").glob("*.py")
    return sorted(path.stem for path in found if not path.stem.startswith("_"))


def load(name: str) -> ModuleType:
    """A module of `benchmarks/`; raises MglibError for an unknown name."""
    name = name.partition("/")[0]
    if name not in names():
        raise unknown("benchmark", name, names())
    # Worker processes import what is measured, too, and are handed this path.
    if str(paths.ROOT) not in sys.path:
        sys.path.append(str(paths.ROOT))
    return importlib.import_module(f"benchmarks.{name}")


def part_of(name: str) -> Part:
    """The part of a benchmark under 'benchmark/part'; raises MglibError if there is none."""
    benchmark, _, part = name.partition("/")
    found: dict[str, Part] = getattr(load(benchmark), "PARTS", {})
    if part not in found:
        raise unknown(f"part of {benchmark}", part, found)
    return found[part]


def timed(name: str) -> Timed:
    """What the part 'benchmark/part' times, in the versions declared now: for the keys of rows."""
    found = {versioned: declared(versioned) for versioned in part_of(name).timed}
    return Timed(int(load(name).VERSION), found)


def run_benchmarks(
    wanted: Sequence[str] = (), quick: bool = False, say: Callable[[str], None] = lambda name: None
) -> list[Entry]:
    """The entries of the named benchmarks or parts of them, or of all benchmarks.

    Raises MglibError for an unknown name, before anything runs.
    """
    runs = {
        name: part_of(name).run if "/" in name else load(name).run for name in wanted or names()
    }
    entries: list[Entry] = []
    for name, run in runs.items():
        say(name)
        entries += run(quick)
    return entries


def watched(name: str, quick: bool) -> tuple[list[Entry], float]:
    """The entries of a benchmark or part, and what share of the machine others took meanwhile."""
    others = Others()
    return run_benchmarks([name], quick), others.share()


def table(entries: Iterable[Entry]) -> str:
    """The entries as text, one a line."""
    lines = [f"{'':<34} {'ours':>9} {'baseline':>9} {'ratio':>6} {'promised':>8}  of all runs"]
    for one in entries:
        ratios = sorted(run["ratio"] for run in one["runs"])
        limit = "" if one["limit"] is None else f"{one['limit']:.2f}"
        lines.append(
            f"{one['name']:<34} {one['ours']:>9.1f} {one['baseline']:>9.1f} "
            f"{one['ratio']:>6.2f} {limit:>8}  {ratios[0]:.2f} to {ratios[-1]:.2f}; "
            f"{one['unit']}; against {one['baseline_name']}"
        )
    return "\n".join(lines)
