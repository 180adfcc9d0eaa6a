"""What layers that are computed again on the way back save of memory, and cost of time.

A step of fine-tuning and one of MoNA's first stage, as in `meta_gradients`, with and without
MGLIB_RECOMPUTE; one thread, CPU seconds; memory as a fresh process takes at its peak.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks._memory import elsewhere, taken
from benchmarks.meta_gradients import WORLDS, rate, step
from mglib.report.bench import Entry, compare
from mglib.transfer.recomputed import recomputing

FORMS = {"plain step": "", "MoNA, two phase": "two_phase", "MoNA, second order": "second_order"}


def again(body: str, form: str, quick: bool) -> Callable[[], None]:
    """The same step with layers computed again."""
    kept = step(body, form, quick)

    def once() -> None:
        with recomputing():
            kept()

    return once


def run(quick: bool) -> list[Entry]:
    """Both kinds of step on both bodies: rate and memory, recomputed against kept."""
    repeats, steps, entries = (1, 1, list[Entry]()) if quick else (3, 3, list[Entry]())
    for body in WORLDS:
        for title, form in FORMS.items():
            told = (body, form, quick)
            entries += [
                compare(
                    f"{body}, {title}, step",
                    "steps per CPU second",
                    "hidden values kept",
                    rate(again(*told), steps),
                    rate(step(*told), steps),
                    repeats,
                    None,
                ),
                compare(
                    f"{body}, {title}, memory",
                    "MiB at its peak",
                    "hidden values kept",
                    elsewhere(taken, again, *told),
                    elsewhere(taken, step, *told),
                    repeats,
                    None,
                ),
            ]
    return entries
