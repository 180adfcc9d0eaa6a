"""Training steps of one thread by the size of the stack, against a stack of one trial.

Says how large a chunk may be before it no longer fits the cache. Building and the one evaluation
are taken out, as what a run of one step takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks._world import bank_of, made_up, threads, trials_of
from mglib.report.bench import Entry, compare
from mglib.trials import Trial
from mglib.trials.bank import FeatureBank
from mglib.trials.engine import train

SIZES = (4, 8, 16, 32, 64)


def seconds(trials: list[Trial], bank: FeatureBank) -> float:
    """CPU seconds of training one stack in this process."""
    start = time.process_time()
    train(trials, bank)
    return time.process_time() - start


def rate(size: int, steps: int) -> Callable[[], float]:
    """Measures trial-steps per CPU second of a stack, without building and evaluating."""
    short, long = trials_of(size, 1, 1), trials_of(size, 1 + steps, 1 + steps)
    bank = bank_of(short)

    def measure() -> float:
        with threads(1):
            fixed = seconds(short, bank)
            return size * steps / (seconds(long, bank) - fixed)

    return measure


def run(quick: bool) -> list[Entry]:
    """Stacks of 4 to 64 trials at two widths."""
    sizes, trial_steps, repeats = (SIZES[:2], 80, 1) if quick else (SIZES, 1280, 3)
    entries = []
    for width in (256, 512):
        with made_up(width):
            for size in sizes:
                entries.append(
                    compare(
                        f"stack of {size}, d={width}",
                        "trial-steps per CPU second, training alone",
                        "stack of 1",
                        rate(size, trial_steps // size),
                        rate(1, trial_steps // 8),
                        repeats,
                    )
                )
    return entries
