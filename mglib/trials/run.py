"""Run an experiment's trials that have no rows yet: stacks, worker processes, parts on disk."""

from __future__ import annotations

import multiprocessing
import os
import queue
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch

from mglib import paths
from mglib.errors import MglibError
from mglib.features import load_features, recipe, state
from mglib.progress import Progress
from mglib.provenance import Record
from mglib.registry import algorithms, perceptors
from mglib.rows import read_rows, write_part
from mglib.trials.bank import load_bank
from mglib.trials.engine import train
from mglib.trials.trial import Trial

# Trials trained as one model: on a CPU what its cache holds well, on a GPU what keeps it busy.
STACK = {"cpu": 8, "cuda": 256}


@dataclass(frozen=True)
class Chunk:
    """Trials of one stack that train together and become one part of the experiment's rows."""

    experiment: str
    task: str
    profile: str
    device: str
    trials: tuple[Trial, ...]


def choose_device(name: str = "auto") -> str:
    """'cuda' where a GPU is usable, else 'cpu'; raises MglibError if one was asked for in vain."""
    if name not in ("auto", "cpu", "cuda"):
        raise MglibError(f"no device '{name}' (known: auto, cpu, cuda)")
    if name == "cuda" and not torch.cuda.is_available():
        raise MglibError(
            "device 'cuda' was asked for, but torch finds no usable GPU; use auto or cpu"
        )
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def in_shard(key: str, shard: str) -> bool:
    """Whether a key belongs to shard 'k/K' (k from 1 to K; empty: no sharding)."""
    if not shard:
        return True
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise MglibError(f"shard '{shard}' is not of the form k/K with k from 1 to K, such as 2/8")
    return int(key, 16) % int(match[2]) == int(match[1]) - 1


def cut(trials: Sequence[Trial], size: int, workers: int) -> list[tuple[Trial, ...]]:
    """Chunks of stackable trials, at most `size` long and enough of them for every worker."""
    stacks: dict[tuple[Any, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        stacks[trial.stack].append(trial)
    chunks = []
    for stack in stacks.values():
        length = min(size, -(-len(stack) // workers))
        chunks += [tuple(stack[i : i + length]) for i in range(0, len(stack), length)]
    return sorted(chunks, key=lambda chunk: -len(chunk) * chunk[0].steps)


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """One thread on a CPU: sums come out the same on every machine load and stack."""
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_chunk(chunk: Chunk, tick: Callable[[int], None]) -> None:
    """Train a chunk and write its rows with their record."""
    record = Record()
    with _one_thread(chunk.device):
        bank = load_bank(chunk.trials, chunk.device)
        rows = train(chunk.trials, bank, tick)
        threads = torch.get_num_threads()
    common = {"experiment": chunk.experiment, "task": chunk.task, "profile": chunk.profile}
    device = torch.cuda.get_device_name() if chunk.device == "cuda" else "cpu"
    write_part(
        chunk.experiment,
        [{**common, **row} for row in rows],
        record.finish(device=device, threads=threads, keys=[t.key for t in chunk.trials]),
    )


_ticks: Any = None


def _die_with_parent() -> None:
    """A killed run must not leave workers behind that train for nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start_worker(ticks: Any) -> None:
    global _ticks
    _ticks = ticks
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent says what happened, once
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _work(chunk: Chunk) -> None:
    waiting, last = 0, time.monotonic()

    def tick(steps: int) -> None:
        nonlocal waiting, last
        waiting += steps
        if time.monotonic() - last > 0.5:
            _ticks.put(waiting)
            waiting, last = 0, time.monotonic()

    train_chunk(chunk, tick)
    _ticks.put(waiting)


def _run_parallel(chunks: Sequence[Chunk], workers: int, progress: Progress) -> None:
    context = multiprocessing.get_context("spawn")
    ticks = context.Queue()
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, context, _start_worker, (ticks,))
    try:
        futures = {pool.submit(_work, chunk) for chunk in chunks}
        while futures:
            done, futures = wait(futures, timeout=0.2)
            while True:
                try:
                    progress.advance(ticks.get_nowait())
                except queue.Empty:
                    break
            for future in done:
                future.result()
        # The last ticks may still be on their way.
        progress.advance(progress.total - progress.done)
    except KeyboardInterrupt:
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        raise
    except BrokenProcessPool as error:
        raise MglibError(
            "a worker process died (out of memory, or killed); finished trials are "
            "kept: run again, with fewer workers if memory was short"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        ticks.close()


def _check_features(trials: Sequence[Trial]) -> None:
    """Raise MglibError before anything trains if features are missing, outdated or damaged."""
    wanted = {
        (
            t.dataset,
            t.perceptor,
            modality,
            t.split_seed if perceptors.get(t.perceptor).fitted else None,
        )
        for t in trials
        for modality in (*t.train, *t.evaluate)
    }
    # The highest split first: the command that makes it makes the others, too.
    for question in sorted(wanted, key=lambda q: (-(q[3] or 0), q[:3])):
        if state(recipe(*question)) != "ready":
            load_features(*question)


def run_trials(
    experiment: str,
    task: str,
    trials: Sequence[Trial],
    *,
    profile: str,
    device: str = "auto",
    shard: str = "",
    workers: int | None = None,
) -> pa.Table:
    """Train the trials that have no rows yet and return the rows of all of them.

    On a CPU `workers` processes (default: one per core) with one thread each; finished chunks are
    on disk, so an interrupted run goes on where it was. With `shard` 'k/K' only that share of the
    trials is trained and returned. Raises MglibError if some rows are missing afterwards.
    """
    device = choose_device(device)
    wanted = {t.key: t for t in trials if in_shard(t.key, shard)}
    present = set(pc.unique(read_rows(experiment, wanted, profile)["key"]).to_pylist())
    pending = [t for key, t in wanted.items() if key not in present]
    if pending:
        _check_features(pending)
        workers = 1 if device == "cuda" else workers or paths.cores()
        chunks = [
            Chunk(experiment, task, profile, device, part)
            for part in cut(pending, STACK[device], workers)
        ]
        label = f"{experiment}: training {len(pending)} trials ({len(present)} kept)"
        steps = sum(t.steps for t in pending if algorithms.get(t.algorithm).learns)
        with Progress(label, steps, "steps") as progress:
            if workers > 1 and len(chunks) > 1:
                _run_parallel(chunks, min(workers, len(chunks)), progress)
            else:
                for chunk in chunks:
                    train_chunk(chunk, progress.advance)
    rows = read_rows(experiment, wanted, profile)
    missing = set(wanted) - set(pc.unique(rows["key"]).to_pylist())
    if missing:
        raise MglibError(
            f"{experiment}: {len(missing)} of {len(wanted)} trials have no rows, "
            f"the first of them {sorted(missing)[0]}"
        )
    return rows
