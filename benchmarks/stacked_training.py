"""Trial-steps per second: ERM trials stacked by the engine against one after the other in PyTorch.

Both have the whole machine: the engine its worker processes of one thread each, the loop all
threads. Start-up of the workers is in the entries that say so alone: it is the same for a long run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from benchmarks import _loop
from benchmarks._world import MODALITIES, bank_of, engine_seconds, made_up, threads, trials_of
from mglib import paths
from mglib.report.bench import Entry, Run, compare, entry
from mglib.trials import Trial
from mglib.trials.bank import EVALUATED, FeatureBank

LIMITS = {(256, False): 4.5, (512, False): 3.0, (256, True): 2.25, (512, True): 1.5}
WIDTHS = (256, 512)
PARTS = EVALUATED["disjoint"].names
UNIT = "trial-steps/s, evaluation included"
LOOP = "PyTorch loop"


def loop(
    trial: Trial,
    bank: FeatureBank,
    model: nn.Sequential | None = None,
    indices: Sequence[Tensor] | None = None,
    lr: float | None = None,
) -> _loop.Result:
    """One trial in plain PyTorch; with an initial `model` and `indices` instead of random ones."""
    values = trial.values
    split = bank.splits[trial.split_seed]
    return _loop.train(
        [bank.values[bank.block[m, trial.split_seed]] for m in MODALITIES],
        bank.labels,
        [torch.from_numpy(split[part]) for part in PARTS],
        trained=len(trial.train),
        lr=lr or values["lr"],
        weight_decay=values["weight_decay"],
        rows=int(values["batch_size"]),
        steps=trial.steps,
        every=trial.every,
        model=model,
        indices=indices,
    )


def loop_rate(
    trials: list[Trial], cores: int, clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    """Measures trial-steps per second of the loop; the features are read beforehand."""
    bank = bank_of(trials)

    def rate() -> float:
        with threads(cores):
            start = clock()
            # One after the other has the same rate for a quarter of them.
            for trial in trials[::4]:
                loop(trial, bank)
            return sum(t.steps for t in trials[::4]) / (clock() - start)

    return rate


def engine_rate(trials: list[Trial], cores: int, whole: list[float]) -> Callable[[], float]:
    """Measures trial-steps per second of the engine; adds the rate with start-up to `whole`."""

    def rate() -> float:
        busy, seconds = engine_seconds(trials, cores)
        trial_steps = sum(t.steps for t in trials)
        whole.append(trial_steps / seconds)
        return trial_steps / busy

    return rate


def one_core(trials: list[Trial]) -> Callable[[], float]:
    """Measures trial-steps per CPU second of the engine in this process, all of it counted."""

    def rate() -> float:
        start = time.process_time()
        engine_seconds(trials, 1)
        return sum(t.steps for t in trials) / (time.process_time() - start)

    return rate


def side_by_side(
    name: str, trials: list[Trial], cores: int, repeats: int, limit: float
) -> list[Entry]:
    """Engine and loop on all cores, without start-up and with it."""
    baseline, whole = f"{LOOP}, {cores} threads", list[float]()
    sides = engine_rate(trials, cores, whole), loop_rate(trials, cores)
    found = compare(name, f"{UNIT}, start-up not", baseline, *sides, repeats, limit)
    runs: list[Run] = [
        {"ours": ours, "baseline": run["baseline"], "ratio": ours / run["baseline"]}
        for ours, run in zip(whole, found["runs"], strict=True)
    ]
    seconds = statistics.median(sum(t.steps for t in trials) / ours for ours in whole)
    unit = f"{UNIT}, start-up too (a run of {seconds:.0f} s)"
    return [found, entry(f"{name}, whole run", unit, baseline, runs)]


def run(quick: bool) -> list[Entry]:
    """Default settings and random draws at two widths, on all cores; and on one."""
    number, steps, repeats = (4, 40, 1) if quick else (32, 300, 3)
    cores, entries = paths.cores(), list[Entry]()
    for width in WIDTHS:
        with made_up(width):
            for drawn in (False, True):
                name = f"ERM d={width}" + (", random draws" if drawn else "")
                trials = trials_of(number, steps, steps, drawn)
                entries += side_by_side(name, trials, cores, repeats, LIMITS[width, drawn])
            trials = trials_of(-(-number // 2), steps, steps)
            entries.append(
                compare(
                    f"ERM d={width}, one core",
                    UNIT.replace("/s", " per CPU second"),
                    f"{LOOP}, 1 thread",
                    one_core(trials),
                    loop_rate(trials, 1, time.process_time),
                    repeats,
                )
            )
    return entries
