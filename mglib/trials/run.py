"""Run an experiment's trials that have no rows yet: stacks, worker processes, parts on disk."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import torch

from mglib import paths
from mglib.errors import MglibError
from mglib.lineage import identity_code
from mglib.progress import Progress
from mglib.provenance import Record
from mglib.questions import other_code, pack
from mglib.rows import part_path, read_rows, write_part
from mglib.shard import in_shard
from mglib.trials import saved
from mglib.trials.allocator import lasting_memory
from mglib.trials.chunks import Chunk, cut, stack_size
from mglib.trials.estimate import Estimated, asked_only, estimate
from mglib.trials.kept import with_weights
from mglib.trials.stacked import STACKED
from mglib.trials.trainer import Asked, Trainer


class Tick(Protocol):
    """Is told of finished trial-steps, and whether they were computed now or found done."""

    def __call__(self, steps: int, computed: bool = True) -> None: ...


def choose_device(name: str = "auto") -> str:
    """'cuda' where a GPU is usable, else 'cpu'; raises MglibError if one was asked for in vain."""
    if name not in ("auto", "cpu", "cuda"):
        raise MglibError(f"no device '{name}' (known: auto, cpu, cuda)")
    if name == "cuda" and not torch.cuda.is_available():
        raise MglibError(
            "device 'cuda' was asked for, but torch finds no usable GPU; use auto or cpu"
        )
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


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


def _out_of_memory(error: Exception) -> bool:
    """Whether PyTorch found no memory; on a CPU it says so with a plain RuntimeError."""
    words = ("not enough memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        word in str(error) for word in words
    )


def train_chunk(chunk: Chunk, tick: Tick) -> None:
    """Train a chunk, from its saved state if there is one, and write its rows with their record.

    `tick` is told of finished trial-steps and whether they were computed now. Out of memory halves
    the chunk. Raises MglibError if not even one trial fits.
    """
    told = {True: 0, False: 0}

    def tell(steps: int, computed: bool = True) -> None:
        told[computed] += steps
        tick(steps, computed)

    try:
        _train(chunk, tell)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        if len(chunk.trials) == 1:
            raise MglibError(
                f"{chunk.experiment}: trial {chunk.trials[0].key} alone is too large for "
                f"the memory of device '{chunk.device}' ({error})"
            ) from error
    else:
        return
    for computed, steps in told.items():
        tick(-steps, computed)
    if chunk.device == "cuda":
        torch.cuda.empty_cache()
    for half in chunk.halves():
        train_chunk(half, tick)


def _train(chunk: Chunk, tick: Tick) -> None:
    keys = [trial.key for trial in chunk.trials]
    if part_path(chunk.experiment, keys).exists() and not chunk.weights:
        tick(sum(t.steps for t in chunk.trials), False)  # another run has finished it meanwhile
        return
    record = Record()
    with _one_thread(chunk.device):
        training = chunk.trainer.begin(chunk.trials, chunk.device, chunk.split_seeds, chunk.weights)
        before = saved.resume_state(chunk.experiment, chunk.origin, training, chunk.code)
        resumed_at = training.step
        if resumed_at:
            lost = len(chunk.trials) - len(training.alive)
            tick(len(training.alive) * resumed_at + lost * chunk.trials[0].steps, False)
        due = time.monotonic() + saved.SECONDS

        def pause() -> None:
            nonlocal due
            if time.monotonic() >= due:
                seconds = before + record.seconds()
                saved.save_state(chunk.experiment, training, seconds, chunk.code)
                due = time.monotonic() + saved.SECONDS

        training.run(tick, pause)
        threads = torch.get_num_threads()
    common = {"experiment": chunk.experiment, "task": chunk.task, "profile": chunk.profile}
    device = torch.cuda.get_device_name() if chunk.device == "cuda" else "cpu"
    chunk.trainer.write(chunk.experiment, training)
    write_part(
        chunk.experiment,
        [{**common, **row} for row in training.rows()],
        record.finish(
            device=device,
            threads=threads,
            keys=keys,
            questions=pack({trial.key: trial.identity for trial in chunk.trials}),
            code=dict(chunk.code),
            resumed_at=resumed_at,
            wall_seconds=round(before + record.seconds(), 3),
        ),
    )
    saved.remove_state(chunk.experiment, keys)


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

    def tick(steps: int, computed: bool = True) -> None:
        nonlocal waiting, last
        if not computed:
            _ticks.put((steps, False))
            return
        waiting += steps
        if time.monotonic() - last > 0.5:
            _ticks.put((waiting, True))
            waiting, last = 0, time.monotonic()

    train_chunk(chunk, tick)
    _ticks.put((waiting, True))


def _run_parallel(chunks: Sequence[Chunk], workers: int, progress: Progress) -> None:
    context = multiprocessing.get_context("spawn")
    ticks = context.Queue()
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, context, _start_worker, (ticks,))
    try:
        with lasting_memory():  # the pool starts its processes when it is given work
            futures = {pool.submit(_work, chunk) for chunk in chunks}
        while futures:
            done, futures = wait(futures, timeout=0.2)
            while True:
                try:
                    steps, computed = ticks.get_nowait()
                    progress.tick(steps, computed)
                except queue.Empty:
                    break
            for future in done:
                future.result()
        # The last ticks may still be on their way.
        progress.advance(progress.total - progress.done)
    except BrokenProcessPool as error:
        raise MglibError(
            "a worker process died (out of memory, or killed; in a script, also if what starts it "
            "is not under `if __name__ == '__main__':`); finished trials are kept: run again, with "
            "fewer workers if memory was short"
        ) from error
    except BaseException:
        # Ctrl-C, or one worker's error: it is said now, not when the others are done.
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        ticks.close()


def plan(
    experiment: str,
    task: str,
    profile: str,
    trials: Sequence[Asked],
    device: str,
    workers: int,
    weights: bool = False,
    trainer: Trainer = STACKED,
) -> list[Chunk]:
    """The chunks that train these trials: first what was interrupted, where it was saved."""
    left = {trial.key: trial for trial in trials}
    parts: list[tuple[tuple[Asked, ...], Sequence[str]]] = []
    for keys in saved.saved_stacks(experiment):
        own = tuple(left.pop(key) for key in keys if key in left)
        # What a larger device saved is cut again: any part of a state can go on.
        size = stack_size(trainer.weight_bytes(own[0]), device) if own else 1
        parts += [(own[i : i + size], keys) for i in range(0, len(own), size)]
    fresh = cut([*left.values()], device, workers, trainer)
    parts += [(part, [trial.key for trial in part]) for part in fresh]
    shared = trainer.shared_splits(trials)
    return [
        Chunk(
            *(experiment, task, profile, device, part, weights),
            origin=tuple(origin),
            code=tuple(identity_code(trial.identity for trial in part).items()),
            split_seeds=shared.get(part[0].source, ()),
            trainer=trainer,
        )
        for part, origin in parts
    ]


def _pending(experiment: str, wanted: Collection[str], profile: str, weights: bool) -> set[str]:
    """The keys without rows; of those asked with weights, also the ones without weights."""
    present = set(pc.unique(read_rows(experiment, wanted, profile)["key"]).to_pylist())
    if weights:
        present &= with_weights(experiment)
    return set(wanted) - present


def run_trials(
    experiment: str,
    task: str,
    trials: Sequence[Asked],
    *,
    profile: str,
    device: str = "auto",
    shard: str = "",
    workers: int | None = None,
    weights: bool = False,
    trainer: Trainer = STACKED,
) -> pa.Table:
    """Train the trials that have no rows yet and return the rows of all of them.

    On a CPU `workers` processes (default: one per core) with one thread each; finished chunks are
    on disk, running ones are saved every minute, so an interrupted run goes on where it was. With
    `shard` 'k/K' only that share of the trials is trained and returned; with `weights` the learners
    are kept, for `mglib.load(key)`. `trainer` is the one of the trials' sort. Raises MglibError if
    some rows are missing afterwards, or if the environment forbids training (MGLIB_TRAIN=never) and
    some are missing before.
    """
    device = choose_device(device)
    wanted = {t.key: t for t in trials if in_shard(t.key, shard)}
    missing = _pending(experiment, wanted, profile, weights)
    pending = [trial for key, trial in wanted.items() if key in missing]
    for part in other_code(experiment, set(wanted) - missing):
        print(
            f"mglib: rows of {part} were made by other code of the same version; raise its version "
            "to compute them again",
            file=sys.stderr,
        )
    workers = 1 if device == "cuda" else workers or paths.cores()
    if pending and asked_only():
        trainer.check(pending)
        chunks = plan(experiment, task, profile, pending, device, workers, weights, trainer)
        raise Estimated(estimate(chunks, len(wanted), workers, experiment, profile))
    if pending:
        if os.environ.get("MGLIB_TRAIN") == "never":
            raise MglibError(
                f"{experiment}: {len(pending)} of {len(wanted)} trials have no rows at profile "
                f"'{profile}' and training is off (MGLIB_TRAIN=never); "
                f"`mglib run {experiment} --profile {profile}` trains them"
            )
        trainer.check(pending)
        chunks = plan(experiment, task, profile, pending, device, workers, weights, trainer)
        label = f"{experiment}: training {len(pending)} trials ({len(wanted) - len(pending)} kept)"
        steps = sum(trial.steps for trial in pending if trial.learns)
        with Progress(label, steps, "steps") as progress:
            if workers > 1 and len(chunks) > 1:
                _run_parallel(chunks, min(workers, len(chunks)), progress)
            else:
                for chunk in chunks:
                    train_chunk(chunk, progress.tick)
    rows = read_rows(experiment, wanted, profile)
    lost = set(wanted) - set(pc.unique(rows["key"]).to_pylist())
    if lost:
        raise MglibError(
            f"{experiment}: {len(lost)} of {len(wanted)} trials have no rows, "
            f"the first of them {sorted(lost)[0]}"
        )
    if pending:
        saved.remove_finished(experiment, set(wanted))
    return rows
