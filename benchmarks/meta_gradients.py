"""What MoNA's first stage costs: a step in each form against a plain step on the same data.

A step of MoNA reads a target and a source batch; the plain step of fine-tuning reads twice as many
target instances. One thread, CPU seconds; the update of the optimiser is on neither side. Memory is
what a fresh process takes at its peak beyond what it had before the step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from benchmarks._memory import elsewhere, taken
from benchmarks._world import threads
from mglib.data._base import pack_strings
from mglib.registry import bodies, transfers
from mglib.report.bench import Entry, Part, compare
from mglib.transfer.body import TargetShape
from mglib.transfer.meta_gradient import FORMS
from mglib.transfer.method import TransferBatch, task_gradients
from mglib.transfer.model import TransferModel

VERSION = 1  # raised when what is timed here changes
CLASSES = 8
# By body: size of a target's input, instances of a batch, and what a step may cost at most.
WORLDS: dict[str, tuple[tuple[int, ...], int, float]] = {
    "minilm": ((128,), 16, 2.4),
    "efficientnet_lite0": ((72, 72), 16, 3.5),
}
SAVING = 1.2  # what the form that saves memory may take of it at most
NAMES = ["red apple", "grinning face", "dog", "bicycle"]


class Judge:
    """Stands for a target: its loss is the cross-entropy."""

    @staticmethod
    def loss(answer: Tensor, wanted: Tensor) -> Tensor:
        """The mean over the batch."""
        return torch.nn.functional.cross_entropy(answer, wanted)


def world(body: str, quick: bool) -> tuple[TransferModel, TransferBatch, TransferBatch]:
    """A model, the batches of MoNA's step, and a plain one of as many instances together."""
    size, rows, _ = WORLDS[body]
    rows = 4 if quick else rows
    torch.manual_seed(0)
    model = TransferModel(bodies.get(body)(), TargetShape(3, size, classes=CLASSES))
    inputs, answers = torch.randn(2 * rows, 3, *size), torch.arange(2 * rows) % CLASSES
    source: Any = torch.randn(rows, 3, *size)
    if model.body.dimensions == 1:
        packed, lengths = pack_strings([NAMES[n % len(NAMES)] for n in range(rows)])
        source = model.body.read_source(packed, lengths)
    labels = torch.arange(rows) % 4
    return (
        model,
        TransferBatch(inputs[:rows], answers[:rows], source, labels, 1.0),
        TransferBatch(inputs, answers, None, None, 1.0),
    )


def step(body: str, form: str, quick: bool) -> Callable[[], None]:
    """One gradient of MoNA's first stage in a form, or of fine-tuning (form '')."""
    model, batch, plain = world(body, quick)
    if form:
        stage = transfers.get(f"mona@form={form}" if form != "two_phase" else "mona")().stages(
            model
        )[0]
        names, gradients, own = stage.names, stage.gradients, batch
    else:
        names, gradients, own = list(model.named("embedder", "encoder", "predictor")), None, plain
    chosen = {n: p for n, p in model.named("embedder", "encoder", "predictor").items()}
    asked: dict[str, Tensor] = {name: chosen[name] for name in names}
    judge: Any = Judge()

    def once() -> None:
        (gradients or task_gradients)(model, judge, own, asked)

    return once


def rate(once: Callable[[], None], repeats: int) -> Callable[[], float]:
    """Measures steps per CPU second of one thread."""

    def measured() -> float:
        with threads(1):
            once()
            start = time.process_time()
            for _ in range(repeats):
                once()
            return repeats / (time.process_time() - start)

    return measured


def of_body(body: str, quick: bool) -> list[Entry]:
    """Every form that a body bears, against the plain step: rate, and memory."""
    repeats, steps, entries = (1, 1, list[Entry]()) if quick else (3, 3, list[Entry]())
    plain = rate(step(body, "", quick), steps)
    memory = elsewhere(taken, step, body, "", quick)
    again = cycle([memory() for _ in range(repeats)])  # measured once for all forms
    for form in FORMS:
        saving = form == "finite_difference"
        if saving and not bodies.get(body).smooth:
            continue
        name = f"{body}, {form.replace('_', ' ')}"
        entries.append(
            compare(
                f"{name}, step",
                "steps per CPU second",
                "plain step, twice the batch",
                rate(step(body, form, quick), steps),
                plain,
                repeats,
                None if saving else 1 / WORLDS[body][2],
            )
        )
        entries.append(
            compare(
                f"{name}, memory",
                "MiB at its peak",
                "plain step, twice the batch",
                elsewhere(taken, step, body, form, quick),
                again.__next__,
                repeats,
                SAVING if saving else None,
            )
        )
    return entries


PARTS = {
    body: Part(partial(of_body, body), ("transfer", "transfer_method/mona", f"body/{body}"))
    for body in WORLDS
}


def run(quick: bool) -> list[Entry]:
    """Every form on every body."""
    return [entry for part in PARTS.values() for entry in part.run(quick)]
