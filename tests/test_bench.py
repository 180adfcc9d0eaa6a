"""The benchmarks measure one and the same computation on both sides and say so in one form."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from made_up import batch_of

from mglib.cli import main
from mglib.report import bench
from mglib.transfer.recomputed import asked
from mglib.trials.engine import Training
from mglib.trials.sampling import minibatches

stacked_training = bench.load("stacked_training")
_loop, _world = stacked_training._loop, sys.modules["benchmarks._world"]


def layers_of(training, place):
    """Weight [in, out] and bias [out] of each layer of one trial, from the first to the last."""
    model = training.model
    return [
        (layer.weight[place].detach().clone(), layer.bias[place, 0].detach().clone())
        for layer in (*model.featurizer.layers, model.classifier)
    ]


@pytest.mark.parametrize("drawn", [False, True])
def test_loop_and_stack_compute_the_same(drawn):
    """From the same initial weights and batches: first loss, last weights, accuracies between."""
    with _world.made_up(16, 200):
        trials = _world.trials_of(4, 40, 20, drawn)
        bank = _world.bank_of(trials)
    assert len({(t.values["lr"], t.rows) for t in trials}) == (4 if drawn else 1)
    for stack in {t.stack: [u for u in trials if u.stack == t.stack] for t in trials}.values():
        training = Training(stack, bank)
        before = [layers_of(training, place) for place in range(len(stack))]
        first = training.model.loss(batch_of(bank, stack)).tolist()
        training.run()
        rows = {
            (r["key"], r["step"], r["modality"], r["split"]): r["value"]
            for r in training.rows()
            if r["metric"] == "accuracy"
        }
        for place, trial in enumerate(stack):
            model = _loop.network(16, bank.classes)
            linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
            with torch.no_grad():
                for layer, (weight, bias) in zip(linear, before[place], strict=True):
                    layer.weight.copy_(weight.T)
                    layer.bias.copy_(bias)
            pool = bank.splits[trial.split_seed]["train"]
            draws = minibatches(type(training.model), [trial], [pool], trial.steps)
            indices = [draw.index[0, :, : trial.rows] for draw in draws]
            found = stacked_training.loop(trial, bank, model, indices)
            assert found.losses[0] == pytest.approx(first[place], rel=1e-5)
            for layer, (weight, bias) in zip(linear, layers_of(training, place), strict=True):
                torch.testing.assert_close(layer.weight, weight.T, rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(layer.bias, bias, rtol=1e-4, atol=1e-5)
            for step, by_modality in zip((20, 40), found.accuracies, strict=True):
                for modality, values in zip(_world.MODALITIES, by_modality, strict=True):
                    own = [rows[trial.key, step, modality, part] for part in stacked_training.PARTS]
                    assert values == pytest.approx(own, abs=0.051)  # one of 20 may be on the edge


def test_training_of_the_loop_lowers_its_loss():
    with _world.made_up(16, 200):
        (trial,) = _world.trials_of(1, 60, 60)
        bank = _world.bank_of([trial])
        found = stacked_training.loop(trial, bank, lr=1e-2)
    assert sum(found.losses[-5:]) < 0.8 * sum(found.losses[:5])


def test_the_engine_is_timed_through_run_trials():
    with _world.made_up(16, 200):
        busy, whole = _world.engine_seconds(_world.trials_of(2, 3, 3), 1)
    assert 0 < busy <= whole


def test_sides_take_turns_and_the_medians_are_told():
    order = []

    def side(name, values):
        def measure():
            order.append(name)
            return values.pop(0)

        return measure

    found = bench.compare("n", "u", "b", side("A", [6.0, 8.0, 9.0]), side("B", [2.0, 4.0, 1.0]), 3)
    assert order == ["A", "B", "B", "A", "A", "B"]
    assert (found["ours"], found["baseline"], found["ratio"], found["limit"]) == (8, 2, 3, None)
    assert [run["ratio"] for run in found["runs"]] == [3, 2, 9]


def test_json_has_the_promised_form(capsys, monkeypatch):
    monkeypatch.setattr(stacked_training, "engine_seconds", lambda trials, workers: (1.0, 3.0))
    monkeypatch.setattr(stacked_training, "loop", lambda trial, bank: None)
    monkeypatch.setattr(stacked_training, "WIDTHS", (16,))
    monkeypatch.setitem(stacked_training.LIMITS, (16, False), 4.5)
    monkeypatch.setitem(stacked_training.LIMITS, (16, True), 2.25)
    assert main(["bench", "stacked_training", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found
    for entry in found:
        assert set(entry) == set(bench.Entry.__annotations__)
        assert all(set(run) == set(bench.Run.__annotations__) for run in entry["runs"])
        assert entry["ratio"] > 0 and entry["unit"] and entry["baseline_name"]
    assert {entry["limit"] for entry in found} == {4.5, 2.25, None}
    assert "ERM" in bench.table(found)


def test_limits_are_the_promised_ones():
    assert stacked_training.LIMITS == {
        (256, False): 4.5,
        (512, False): 3.0,
        (256, True): 4.5 / 2,
        (512, True): 3.0 / 2,
    }


def test_an_unknown_benchmark_is_one_line_with_the_nearest(capsys):
    assert main(["bench", "stack_sise"]) == 2
    error = capsys.readouterr().err
    assert "did you mean 'stack_size'" in error and error.count("\n") == 1
    assert bench.names() == [
        *("linear_probes", "meta_gradients", "published_sizes", "recomputed_layers"),
        *("stack_size", "stacked_training", "virtual_modalities"),
    ]


def test_the_step_of_recomputed_layers_is_the_one_that_is_kept(monkeypatch):
    """Both sides run one and the same step, the one inside `recomputing`."""
    module = bench.load("recomputed_layers")
    seen = []
    monkeypatch.setattr(module, "step", lambda *told: lambda: seen.append((told, asked())))
    monkeypatch.setattr(module, "elsewhere", lambda function, *told: lambda: made(function, told))
    monkeypatch.setattr(module, "rate", lambda once, repeats: lambda: once() or 2.0)

    def made(function, told):
        told[0](*told[1:])()
        return 3.0

    found = module.run(True)
    assert [own["ratio"] for own in found] == [1.0] * 12
    for told in {told for told, _ in seen}:
        assert [on for one, on in seen if one == told].count(True) == 2
        assert [on for one, on in seen if one == told].count(False) == 2
