"""The benchmark at the published sizes: its plain loops learn what the engine learns."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from dataclasses import replace

import pytest
import torch
from made_up import MODALITIES, make_bank, make_trial
from published_step import double_batch, double_training, rows_of_one
from torch import nn

from mglib.cli import main
from mglib.registry import algorithms
from mglib.report import bench
from mglib.trials import allocator
from mglib.trials.counter import normals, uniforms
from mglib.trials.networks import StackedLinear

published_sizes = bench.load("published_sizes")
_published = sys.modules["benchmarks._published"]
_beside = sys.modules["benchmarks._beside"]
_plain, _memory = sys.modules["benchmarks._plain"], sys.modules["benchmarks._memory"]
TINY = _published.Sizes(width=16, classes=4, instances=60, steps=2, loop_steps=2, most=2)


pytestmark = pytest.mark.usefixtures("one_thread")


def noise_of(model, batch):
    """What the engine drew for the only trial of a minibatch, as a plain learner is told it."""
    drawn, rows = batch.noise, rows_of_one(batch)
    number = sum(len(y) for _, y in rows)
    if model.name == "mixup":
        return {"cycle": drawn["cycle"][0].tolist(), "share": drawn["share"][0].double()}
    if model.name == "sagnet":
        partners = {name: drawn[name][0] for name in ("style", "content", "adversary")}
        return {**partners, "share": drawn["share"][0].double()[:, None]}
    if model.name == "urm":
        shape = [*batch.y.shape[1:], batch.x.shape[-1]]
        return {"uniform": uniforms(drawn["uniform"], shape)[0].view(number, -1).double()}
    if model.name == "adrmx":
        first, second, found = (own[0] for own in model.pairs(batch))
        return {"pairs": (first[found], second[found])}
    if model.name == "ogm_ge":
        weights = [layer.weight for layer in model.featurizer.layers]
        made = [normals(drawn["enhancement"], w.shape[1:], n)[0] for n, w in enumerate(weights)]
        return {"enhancement": [own.T.double() for own in made]}
    return {}


# What begins after some steps begins on the way.
WAITS = {
    "irm_penalty_anneal_iters": 2,
    "vrex_penalty_anneal_iters": 2,
    "ib_penalty_anneal_iters": 2,
    "penalty_anneal_iters": 2,
    "eqrm_burnin_iters": 2,
    "linear_steps": 1,
    "averaging_from": 3,
    "umt_teacher_steps": 2,
    "mlp_width": 8,
    "mlp_depth": 3,
    "linear_lr": 1e-2,
    "eqrm_lr": 1e-2,
    "lr_g": 1e-2,
    "lr_d": 1e-2,
    "urm_discriminator_lr": 1e-2,
    "momentum": 0.9,
    "alpha": 0.3,
}


def test_every_learner_has_a_plain_one():
    assert set(_published.LEARNERS) == {
        name for name in algorithms.names() if algorithms.get(name).learns
    }


@pytest.mark.parametrize("name", sorted(_published.LEARNERS))
def test_engine_and_plain_loop_compute_the_same(name):
    """From the same weights, minibatches and noise: all weights after five steps."""
    bank, search = make_bank(noise=2.0), algorithms.get(name).search
    trial = make_trial(
        *(name,),
        **{"steps": 5, "train": MODALITIES[:2], "batch_size": 6, "lr": 1e-2},
        **{key: value for key, value in WAITS.items() if key in search},
    )
    training = double_training([trial], bank)
    before = [p.detach().clone() for p in training.model.parameters()]
    plain = _published.LEARNERS[name](training.model, trial.values)

    def follow():
        batch = double_batch(bank, [trial], training.step)
        assert torch.isfinite(plain.update(rows_of_one(batch), noise_of(training.model, batch)))

    training.run(pause=follow)
    assert plain.count == training.step == 5
    assert any(
        not torch.equal(a, b) for a, b in zip(before, training.model.parameters(), strict=True)
    )
    seen = 0
    for part, network in plain.parts.items():
        module = training.model.get_submodule(part)
        stacked = [m for m in module.modules() if isinstance(m, StackedLinear)]
        single = [m for m in network.modules() if isinstance(m, nn.Linear)]
        for ours, theirs in zip(stacked, single, strict=True):
            near = {"rtol": 1e-6, "atol": 1e-8}  # Mixup's shares are of single precision
            torch.testing.assert_close(ours.weight[0], theirs.weight.T, **near)
            torch.testing.assert_close(ours.bias[0, 0], theirs.bias, **near)
            seen += 2
    embeddings = name == "cdann"
    if embeddings:
        torch.testing.assert_close(training.model.embeddings[0], plain.embeddings.weight)
    assert seen + embeddings == len(list(training.model.parameters())), "no weight is left out"
    if name == "erm_plus_plus":
        mean = dict(training.model.named_buffers())["mean_classifier_weight"][0]
        torch.testing.assert_close(mean, plain.averaged[1].weight.T, rtol=1e-7, atol=1e-10)


def test_fused_and_default_adam_agree():
    bank, trial = make_bank(), make_trial(steps=3, train=MODALITIES[:2])
    model = double_training([trial], bank).model
    both = [kind(model, trial.values) for kind in (_plain.ERM, _plain.FusedERM)]
    for step in (1, 2, 3):
        for plain in both:
            plain.update(rows_of_one(double_batch(bank, [trial], step)))
    for a, b in zip(*(plain.network.parameters() for plain in both), strict=True):
        torch.testing.assert_close(a, b)


def test_the_operations_of_a_step_are_those_of_its_layers():
    """Width 8 is 8 -> 4 -> 2 -> 4 -> 8 -> 3 classes: 8*4 + 4*2 + 2*4 + 4*8 + 8*3 weights."""
    bank = make_bank(width=8, classes=3)
    model = double_training([make_trial()], bank).model
    shapes = _published.products(model, 10)
    weights, first = 104, 32
    assert _published.operations(shapes) == 2 * 10 * (3 * weights - first)
    assert len(shapes) == 14 and (10, 8, 3) in shapes and (8, 10, 3) in shapes
    assert (10, 4, 8) in shapes, "back through the first layer goes nothing, through the fourth 8"


def test_the_published_network_has_its_size():
    """1,333,524 weights at 1,024 features and 20 classes, 53 MB read and written a step."""
    bank = _published.bank_of(replace(TINY, width=1024, classes=20), "cpu")
    model = _published.build(_published.trials_of("erm", 1), bank)
    assert _published.bytes_of(model) == 4 * 1_333_524
    assert published_sizes.PASSES * 4 * 1_333_524 == pytest.approx(53e6, rel=0.01)
    assert torch.allclose(bank.values.norm(dim=-1), torch.ones(()))
    assert sum(map(len, bank.splits[0].values())) == TINY.instances


def test_a_stack_goes_on_from_the_middle_of_its_run():
    bank = _published.bank_of(TINY, "cpu")
    training = _published.Training(_published.trials_of("irm", 2), bank)
    _published.go(training, _published.START, 3)
    assert training.step == _published.START + 3 and len(training.alive) == 2
    assert training.optimisers[0].steps.tolist() == [3, 3]


def test_the_median_is_taken_in_each_measurement():
    def made(ratios):
        runs = [{"ours": 2 * r, "baseline": 2.0, "ratio": r} for r in ratios]
        return bench.entry("n", "u", "b", runs)

    found = {"a": made([1.0, 2.0]), "b": made([3.0, 4.0]), "c": made([5.0, 9.0])}
    one = published_sizes.median_of(found, TINY, 1.6)
    assert [run["ratio"] for run in one["runs"]] == [3.0, 4.0] and one["limit"] == 1.6
    assert [run["ours"] for run in one["runs"]] == [6.0, 8.0] and one["ratio"] == 3.5


def test_hours_of_the_published_grid():
    """11 learners of 486 runs; 5,001 steps at 50.01 a second and 18 scorings of 10 ms: 100.18 s."""
    runs = [{"ours": 50.01, "baseline": 5.001, "ratio": 10.0}]
    found = {name: bench.entry("n", "u", "b", runs) for name in published_sizes.PUBLISHED}
    scoring = bench.entry("n", "u", "b", [{"ours": 10.0, "baseline": 20.0, "ratio": 0.5}])
    one = published_sizes.grid(found, scoring, TINY, 2, "2 cores")
    assert one["ours"] == pytest.approx(5346 * 100.18 / 2 / 3600)
    assert one["baseline"] == pytest.approx(5346 * 1000.36 / 2 / 3600)
    assert "5,346 runs of 5,001 steps" in one["name"] and "hours" in one["unit"]


def test_memory_is_that_of_weights_gradients_and_moments():
    """Four times 5.3 MB for a trial, at the least three quarters of it beyond what was there."""
    sizes = replace(TINY, width=1024, classes=20)
    assert 15 < _memory.elsewhere(_published.memory, True, sizes, 4)() < 100


def test_json_has_the_promised_form(capsys, monkeypatch):
    monkeypatch.setattr(published_sizes, "QUICK", TINY)
    few = {name: _published.LEARNERS[name] for name in published_sizes.PUBLISHED}
    monkeypatch.setattr(published_sizes, "LEARNERS", few)
    assert main(["bench", "published_sizes", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == len(few) + 6
    for one in found:
        assert set(one) == set(bench.Entry.__annotations__)
        assert one["ratio"] > 0 and one["unit"] and one["limit"] is None
    assert published_sizes.LIMITS == {"median": 1.6, "products": 0.55}


def settings_of_memory():
    """Whether glibc was told how to hold memory, and how often this was made, counted in tenths."""
    os.environ["MADE"] = str(int(os.environ.get("MADE", "0")) + 1)
    return lambda: float(allocator.NAME in os.environ) + int(os.environ["MADE"]) / 10


def test_a_loop_beside_runs_as_a_user_starts_it_and_keeps_what_it_made(monkeypatch):
    monkeypatch.delenv(allocator.NAME, raising=False)
    with allocator.lasting_memory():
        with _beside.Beside(None) as beside:
            measure = beside.measure(settings_of_memory)
            assert [measure(), measure()] == [0.1, 0.1]
        assert allocator.NAME in os.environ, "this process goes on as it was"
        with _beside.Beside("glibc.malloc.arena_max=1") as beside:
            assert beside.measure(settings_of_memory)() == 1.1


def test_the_time_of_a_running_child_is_known_so_that_it_is_no_other_program():
    with _beside.Beside(None) as beside:
        beside.measure(_published.loop_beside, "erm", TINY, "cpu", False)()
        ticks = sum(map(bench._ticks, multiprocessing.active_children()))
    assert ticks > 10, "torch alone takes longer to load"
