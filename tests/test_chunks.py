"""Stacks are cut by what the device holds; out of memory halves them and loses nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from made_up import make_bank, make_trial

from mglib.errors import MglibError
from mglib.trials import chunks, run, saved, stacked
from mglib.trials.chunks import CPU_LEAST, CPU_MOST, Chunk, cut, stack_size
from mglib.trials.engine import Training
from mglib.trials.networks import rung
from mglib.trials.run import run_trials
from mglib.trials.stacked import weight_bytes


@pytest.fixture
def small(emoji_concepts, tmp_path, monkeypatch):
    """The made-up world in this process, with its rows in a folder of the test."""
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    monkeypatch.setattr(stacked, "weight_bytes", lambda trial: 1)
    bank = make_bank()
    monkeypatch.setattr(stacked, "load_bank", lambda *asked: bank)


def start(trials):
    rows = run_trials("made_up", "test", trials, profile="quick", device="cpu", workers=1)
    names = ("key", "step", "modality", "split", "metric")
    return rows.sort_by([(name, "ascending") for name in names])


def test_small_weights_make_large_stacks_and_large_ones_small(monkeypatch):
    monkeypatch.setattr(chunks, "_cache_bytes", lambda: 32 * 2**20)
    assert stack_size(1, "cpu") == CPU_MOST and stack_size(2**30, "cpu") == CPU_LEAST
    assert CPU_LEAST < stack_size(4 * 2**20, "cpu") < CPU_MOST


def test_a_stack_fits_one_core_s_share_of_the_last_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CACHES", tmp_path)
    assert chunks._cache_bytes() == 8 * 2**20, "nothing is told"
    for number, (level, size, cores) in enumerate([(1, 32, "1"), (3, 65536, "00ff,000000ff")]):
        cache = tmp_path / f"index{number}"
        cache.mkdir()
        told = {"level": level, "size": f"{size}K", "shared_cpu_map": cores}
        for name, text in told.items():
            (cache / name).write_text(f"{text}\n")
    assert chunks._cache_bytes() == 4 * 2**20
    (tmp_path / "index1" / "size").write_text("unknown\n")
    assert chunks._cache_bytes() == 8 * 2**20


def test_a_gpu_stack_grows_with_free_memory(monkeypatch):
    for free in (8 * 2**30, 16 * 2**30):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (free, free))
        size = stack_size(64 * 2**20, "cuda")
        assert 1 < size * 64 * 2**20 * 4 < free
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**20, 2**30))
    assert stack_size(64 * 2**20, "cuda") == 1


def test_features_that_are_no_vectors_are_refused(emoji_concepts):
    with pytest.raises(MglibError, match="learners take one vector per instance, but emoji"):
        weight_bytes(replace(make_trial(), perceptor="raw"))


def test_the_weights_of_a_trial_are_counted(emoji_concepts):
    d, c = 256, 8
    widths = [d, d // 2, d // 4, d // 2, d, c]
    numbers = sum((a + 1) * b for a, b in zip(widths[:-1], widths[1:], strict=True))
    assert weight_bytes(make_trial()) == 4 * numbers


def test_chunks_are_even_and_shared_by_the_workers(monkeypatch):
    monkeypatch.setattr(stacked, "weight_bytes", lambda trial: 1)
    lengths = [len(c) for c in cut([make_trial(seed=s) for s in range(40)], "cpu", 2)]
    assert sum(lengths) == 40 and len(lengths) % 2 == 0 and max(lengths) <= CPU_MOST
    assert max(lengths) - min(lengths) <= 1


def test_random_draws_share_few_stacks(emoji_concepts):
    from mglib.trials.grid import make_trials

    trials = make_trials(
        dataset="emoji_concepts",
        perceptor="bound",
        algorithm="erm",
        train=[("art", "glyph")],
        evaluate=("art", "glyph", "text"),
        seeds=range(4),
        split_seeds=[0],
        draws=range(1, 21),
        steps=10,
        every=5,
    )
    sizes = {t.rows for t in trials}
    stacks = {t.stack for t in trials}
    assert len(sizes) > 15 and len(stacks) <= 6
    assert all(rung(t.rows) < 1.5 * t.rows + 1 for t in trials)


class TooSmall(Training):
    """A machine whose memory holds two trials; it says so after some steps."""

    def run(self, tick, pause):
        def stop():
            if len(self.trials) > 2 and self.step in (7, 9):
                saved.save_state("made_up", self)
                raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")

        super().run(tick, stop)


@pytest.mark.parametrize("wild", [(), (1,), (0, 1, 2)])
def test_out_of_memory_halves_the_stack_and_the_rows_are_the_same(
    wild, small, tmp_path, monkeypatch
):
    """Halves go on from the saved state, even where all of their trials have diverged."""
    trials = [make_trial(seed=s, steps=120, lr=1e30 if s in wild else 1e-3) for s in range(7)]
    whole = start(trials)
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "halved"))
    monkeypatch.setattr(run, "identity_code", lambda identities: {})
    monkeypatch.setattr(stacked, "Training", TooSmall)
    told = []
    monkeypatch.setattr(run.Progress, "tick", lambda self, steps, computed=True: told.append(steps))
    assert start(trials).equals(whole)
    assert sum(told) == sum(t.steps for t in trials)
    folder = tmp_path / "halved" / "made_up"
    assert len(list(folder.glob("*.parquet"))) == 4 and not list(folder.glob("*.state.*"))
    records = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    assert {record["resumed_at"] for record in records} == {7}


def test_a_trial_too_large_for_the_machine_is_one_line(small, monkeypatch):
    class Never(Training):
        def run(self, tick, pause):
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(stacked, "Training", Never)
    with pytest.raises(MglibError, match="alone is too large for the memory of device 'cpu'"):
        start([make_trial(seed=s) for s in range(4)])


def test_another_error_is_not_taken_for_want_of_memory(small, monkeypatch):
    class Broken(Training):
        def run(self, tick, pause):
            raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(stacked, "Training", Broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        start([make_trial(seed=s) for s in range(4)])


def test_halves_hold_every_trial_once():
    trials = tuple(make_trial(seed=s) for s in range(5))
    chunk = Chunk("e", "t", "quick", "cpu", trials, True, ("a",))
    one, two = chunk.halves()
    assert one.trials + two.trials == trials and one.origin == two.origin == ("a",)
    assert one.weights and two.weights


def test_padded_widths_train_as_the_layers_they_pad():
    """Two widths in one stack: each trial's layer computes as one of its own width would."""
    from mglib.trials.networks import StackedMLP

    def streams(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    stack = StackedMLP(streams(0, 1), [6, (5, 7), 3])
    assert stack.layers[0].weight.shape == (2, 6, 8) and rung(7) == 8
    alone = [StackedMLP(streams(seed), [6, width, 3]) for seed, width in ((0, 5), (1, 7))]
    x = torch.randn(2, 10, 6)
    for step in range(4):
        y = stack(x)
        gradients = torch.autograd.grad(y.square().sum(), list(stack.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(stack.parameters(), gradients, strict=True):
                parameter -= 0.01 * gradient
        for trial, (own, width) in enumerate(zip(alone, (5, 7), strict=True)):
            single = own(x[trial : trial + 1])
            torch.testing.assert_close(y[trial], single[0], msg=f"step {step}")
            changes = torch.autograd.grad(single.square().sum(), list(own.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(own.parameters(), changes, strict=True):
                    parameter -= 0.01 * gradient
            assert not stack.layers[0].weight[trial, :, width:].any()
            assert not stack.layers[1].weight[trial, width:].any()
