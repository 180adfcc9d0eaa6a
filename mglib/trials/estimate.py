"""What a run would cost, measured on this machine before anything trains."""

from __future__ import annotations

import os
import resource
import time
from collections import defaultdict
from collections.abc import Sequence

import torch

from mglib.trials.chunks import Chunk

SECONDS = 1.5  # of training that are timed for each kind of stack


class Estimated(Exception):
    """Ends a notebook that was only asked what it would cost; its text says it."""


def asked_only() -> bool:
    """Whether the run is only to be estimated: `mglib run --estimate` sets MGLIB_ESTIMATE."""
    return os.environ.get("MGLIB_ESTIMATE") == "1"


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


class _Enough(Exception):
    """Raised between two steps when there is time enough to tell the pace."""


def pace(chunk: Chunk) -> tuple[float, float, int]:
    """Seconds of one step and of one checkpoint of a chunk, and bytes of its trials' artifacts."""
    training = chunk.trainer.begin(chunk.trials, chunk.device, (), chunk.weights)
    artifact = sum(found.artifact_bytes() for found in training.found)
    artifact += sum(weight.nbytes for weight in training.weights.values())
    started, done = time.monotonic(), 0

    def pause() -> None:
        nonlocal started, done
        _synchronise(chunk.device)
        done += 1
        if done == 2:  # the first steps warm up
            started = time.monotonic()
        if done > 4 and time.monotonic() - started > SECONDS:
            raise _Enough

    step = 0.0
    if chunk.trials[0].learns:
        try:
            training.run(lambda steps: None, pause)
        except _Enough:
            pass
        step = (time.monotonic() - started) / max(1, done - 2)
    training.step = training.trials[0].checkpoints[0]
    started = time.monotonic()
    training.measure_now()
    _synchronise(chunk.device)
    return step, time.monotonic() - started, artifact


def estimate(
    chunks: Sequence[Chunk], asked: int, workers: int, experiment: str, profile: str
) -> str:
    """In words: trials, hours and gigabytes of what is pending of `asked` trials."""
    pending = sum(len(chunk.trials) for chunk in chunks)
    head = f"{experiment} at profile '{profile}': {asked:,} trials, {asked - pending:,} have rows"
    kinds: dict[tuple[object, ...], list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        kinds[(chunk.trials[0].stack, chunk.device)].append(chunk)
    seconds = disk = 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if chunks[0].device == "cpu" else threads)
    try:
        for own in kinds.values():
            largest = max(own, key=lambda chunk: len(chunk.trials))
            step, checkpoint, artifact = pace(largest)
            trials = sum(len(chunk.trials) for chunk in own) / len(largest.trials)
            first = largest.trials[0]
            seconds += trials * (first.steps * step + len(first.checkpoints) * checkpoint)
            disk += trials * artifact
    finally:
        torch.set_num_threads(threads)
    used = min(workers, len(chunks))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * used
    if chunks[0].device == "cuda":
        memory = torch.cuda.max_memory_allocated()
    most = max(len(chunk.trials) for chunk in chunks)
    return (
        f"{head}\nto train: {pending:,} trials in {len(chunks):,} stacks of up to {most} on "
        f"{chunks[0].device}, {used} at a time\n"
        f"about {seconds / used / 3600:.2f} hours if the cores do not slow each other, "
        f"{memory / 1e9:.1f} GB of memory, {disk / 1e9:.3f} GB on disk"
    )
