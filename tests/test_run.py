"""Running trials: what is done is kept, however a run ends, and no process outlives it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from made_up import make_bank, make_trial

from mglib import paths
from mglib.errors import MglibError
from mglib.rows import read_rows
from mglib.shard import in_shard
from mglib.trials import chunks, run, stacked
from mglib.trials.chunks import cut
from mglib.trials.engine import Training
from mglib.trials.run import choose_device, run_trials

EXPERIMENT = "20_weak_generalization"


def in_order(rows):
    """The rows in one order, whatever parts they were read from."""
    names = ("key", "step", "modality", "split", "metric")
    return rows.sort_by([(name, "ascending") for name in names])


def keys_of(rows):
    return set(pc.unique(rows["key"]).to_pylist())


def wait_for(condition, seconds=60.0):
    """What the condition says once it is true; fails if that takes too long."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


@pytest.fixture
def made_up_run(emoji_concepts, tmp_path, monkeypatch):
    """run_trials on the made-up world, in this process, with its rows in a folder of the test."""
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    bank = make_bank()
    monkeypatch.setattr(stacked, "load_bank", lambda *asked: bank)
    trained = []
    monkeypatch.setattr(stacked, "weight_bytes", lambda trial: 1)

    class Noted(Training):
        def run(self, *calls):
            trained.extend(t.key for t in self.trials)
            super().run(*calls)

    monkeypatch.setattr(stacked, "Training", Noted)

    def start(trials, **options):
        trained.clear()
        return run_trials(
            "made_up", "test", trials, profile="quick", device="cpu", workers=1, **options
        )

    start.trained = trained
    return start


def test_only_what_has_no_rows_is_trained_and_the_rows_are_the_same(made_up_run, tmp_path):
    trials = [make_trial(seed=s) for s in range(12)]
    first = made_up_run(trials[:5])
    assert sorted(made_up_run.trained) == sorted(t.key for t in trials[:5])
    both = made_up_run(trials)
    assert sorted(made_up_run.trained) == sorted(t.key for t in trials[5:])
    assert made_up_run(trials).equals(both) and not made_up_run.trained
    kept = both.filter(pc.is_in(both["key"], first["key"]))
    assert in_order(kept).equals(in_order(first))
    for part in (tmp_path / "made_up").glob("*.parquet"):
        part.unlink()
    assert in_order(made_up_run(trials)).equals(in_order(both))


def test_an_interrupted_run_keeps_finished_chunks(made_up_run, tmp_path, monkeypatch):
    trials = [make_trial(seed=s) for s in range(10)]
    finished = set()

    def stop_at_the_second(chunk, tick, original=run.train_chunk):
        if finished:
            raise KeyboardInterrupt
        original(chunk, tick)
        finished.update(t.key for t in chunk.trials)

    with monkeypatch.context() as patch:
        patch.setattr(chunks, "CPU_MOST", 4)
        patch.setattr(run, "train_chunk", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            made_up_run(trials)
    assert len(finished) == 4 and keys_of(read_rows("made_up")) == finished
    resumed = made_up_run(trials)
    assert sorted(made_up_run.trained) == sorted({t.key for t in trials} - finished)
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "undisturbed"))
    assert in_order(made_up_run(trials)).equals(in_order(resumed))
    assert len(made_up_run.trained) == 10


def test_shards_cover_every_trial_once(made_up_run):
    trials = [make_trial(seed=s, steps=1) for s in range(20)]
    parts = [made_up_run(trials, shard=f"{k}/3") for k in (1, 2, 3)]
    keys = [keys_of(p) for p in parts]
    assert set().union(*keys) == {t.key for t in trials} and sum(map(len, keys)) == 20
    made_up_run(trials)
    assert not made_up_run.trained


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b"])
def test_a_bad_shard_is_refused(shard):
    with pytest.raises(MglibError, match="k/K"):
        in_shard("00", shard)


def test_a_device_that_does_not_exist_is_refused():
    with pytest.raises(MglibError, match="known: auto, cpu, cuda"):
        choose_device("gpu")


def test_stacks_never_mix_shapes(monkeypatch):
    monkeypatch.setattr(stacked, "weight_bytes", lambda trial: 1)
    trials = [
        make_trial("erm"),
        make_trial("concat"),
        make_trial("erm", train=("art",)),
        make_trial("erm", batch_size=16),
        make_trial("erm", seed=1),
    ]
    found = cut(trials, "cpu", 1)
    assert sorted(len(c) for c in found) == [1, 1, 1, 2]
    assert all(len({t.stack for t in c}) == 1 for c in found)


def run_real(trials, workers):
    return run_trials("made_up", "test", trials, profile="quick", device="cpu", workers=workers)


def test_worker_processes_give_the_rows_of_one_and_tell_their_steps(
    emoji_concepts, tmp_path, monkeypatch
):
    told = []

    class Told(run.Progress):
        def advance(self, amount=1, note=""):
            told.append(amount)
            super().advance(amount, note)

    monkeypatch.setattr(run, "Progress", Told)
    trials = [make_trial(seed=s, split_seed=d, steps=2) for s in (0, 1) for d in (0, 1)]
    trials += [make_trial("majority", split_seed=d, steps=2) for d in (0, 1)]
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "one"))
    one = run_real(trials, workers=1)
    assert sum(told) == 8
    told.clear()
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "two"))
    two = run_real(trials, workers=2)
    assert sum(told) == 8
    assert not multiprocessing.active_children()
    assert keys_of(two) == {t.key for t in trials}
    assert in_order(two).equals(in_order(one))


def test_a_killed_worker_is_one_line_and_finished_chunks_are_kept(
    emoji_concepts, tmp_path, monkeypatch
):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "killed"))
    short = [make_trial("majority", split_seed=d, steps=1) for d in (0, 1)]
    endless = make_trial(steps=10**6)
    outcome = []

    def kill_one():
        try:
            wait_for(lambda: keys_of(read_rows("made_up")) == {t.key for t in short})
        finally:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(MglibError, match="^a worker process died .* kept: run again[^\n]*$"):
        outcome.append(run_real([*short, endless], workers=2))
    killer.join()
    assert not outcome and not multiprocessing.active_children()
    with monkeypatch.context() as patch:
        patch.setattr(run, "train_chunk", lambda *_: pytest.fail("trained again"))
        kept = run_real(short, workers=1)
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "undisturbed"))
    assert in_order(run_real(short, workers=1)).equals(in_order(kept))


def processes_of(session):
    """The living processes of a session, however far below its leader (zombies are not)."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended just now
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found[int(stat.parent.name)] = fields[0]
    return found


@pytest.fixture
def command(emoji_concepts, tmp_path, monkeypatch):
    """`mglib run` in a session of its own, training in its workers, with parts already written."""
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    monkeypatch.setenv("MGLIB_PROGRESS", "off")
    steps = ["-p", "steps", "100000", "-p", "splits", "2", "--device", "cpu"]
    # A background job ignores SIGINT and hands that on; what has a handler here does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = subprocess.Popen(
        [sys.executable, "-m", "mglib", "run", EXPERIMENT, "--no-notebook", *steps],
        cwd=paths.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    try:
        wait_for(lambda: started.poll() is not None or list(tmp_path.glob("*/*.parquet")))
        assert started.poll() is None, started.communicate()
        workers = min(len(os.sched_getaffinity(0)), 2)
        assert workers == 1 or len(processes_of(started.pid)) > workers
        yield started
    finally:
        for process in processes_of(started.pid):
            os.kill(process, signal.SIGKILL)
        started.communicate()


SAVING = """
import sys
from mglib.trials import make_trials, run_trials, saved
saved.SECONDS = 0.2
modalities = ("art", "glyph", "speech", "text")
asked = dict(dataset="emoji_concepts", perceptor="bound", train=[modalities[:3]],
             evaluate=modalities, seeds=[0, 1], split_seeds=[0], steps=400, every=90)
trials = make_trials(algorithm="erm", **asked)
trials += make_trials(algorithm="mixup", variant="as_published", **asked)
run_trials("killed", "test", trials, profile="quick", device="cpu", workers=1)
"""


def run_saving(folder):
    environment = {**os.environ, "MGLIB_ROWS": str(folder), "MGLIB_PROGRESS": "off"}
    return subprocess.Popen(
        [sys.executable, "-c", SAVING], cwd=paths.ROOT, env=environment, start_new_session=True
    )


def steps_saved(folder) -> set[tuple[str, int]]:
    """Each stack that can be gone on with, and from which step: its head is written last."""
    found = set()
    for head in folder.glob("*/*.state.json"):
        with suppress(FileNotFoundError):  # the stack has just been finished
            found.add((head.name, json.loads(head.read_text())["step"]))
    return found


def kill_when_further(folder, reached):
    started = run_saving(folder)
    wait_for(lambda: started.poll() is not None or steps_saved(folder) - reached)
    assert started.poll() is None, "it ended before it could be killed"
    os.kill(started.pid, signal.SIGKILL)
    started.wait()


def test_a_run_killed_again_and_again_ends_with_the_rows_of_an_undisturbed_one(
    emoji_concepts, tmp_path, monkeypatch
):
    """kill -9 whenever a new state was saved: each start goes on, the end is the same."""
    assert run_saving(tmp_path / "undisturbed").wait(120) == 0
    disturbed = tmp_path / "killed"
    reached = [steps_saved(disturbed)]
    for _ in range(4):
        kill_when_further(disturbed, reached[-1])
        reached.append(steps_saved(disturbed))
    assert all(after != before for before, after in pairwise(reached)), "each start gets further"
    assert run_saving(disturbed).wait(120) == 0
    found = {}
    for folder in ("undisturbed", "killed"):
        monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / folder))
        found[folder] = in_order(read_rows("killed"))
    assert found["killed"].equals(found["undisturbed"])
    assert not list(disturbed.glob("*/*.state.*")), "what is finished needs no state"
    records = [json.loads(p.read_text()) for p in (disturbed / "killed").glob("*.json")]
    assert any(record["resumed_at"] > 0 for record in records)


def kept_keys(folder):
    parts = list((folder / EXPERIMENT).glob("*.parquet"))
    for part in parts:
        record = json.loads(part.with_suffix(".json").read_text())
        assert set(record["keys"]) == keys_of(pq.read_table(part))
    return parts


def test_a_killed_run_leaves_no_workers_and_whole_parts(command, tmp_path):
    os.kill(command.pid, signal.SIGKILL)
    wait_for(lambda: not processes_of(command.pid), seconds=5)
    assert kept_keys(tmp_path)


def test_ctrl_c_ends_with_one_line_and_status_130(command, tmp_path):
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does: to the run and to its workers
    _, error = command.communicate(timeout=20)
    assert command.returncode == 130
    assert error == "mglib: stopped; what was finished is kept, run again to go on\n"
    wait_for(lambda: not processes_of(command.pid), seconds=5)
    assert kept_keys(tmp_path)
