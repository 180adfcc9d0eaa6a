"""Trials driven by the engine in double precision, and one trial's layers as plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from unittest import mock

import torch
from torch import Tensor, nn

from mglib.registry import algorithms
from mglib.trials import engine
from mglib.trials.algorithm import Algorithm, Batch
from mglib.trials.bank import FeatureBank
from mglib.trials.networks import StackedLinear, StackedMLP
from mglib.trials.sampling import minibatches, rows_in_use
from mglib.trials.trial import Trial

BUILD = engine.build


def double_bank(bank: FeatureBank) -> FeatureBank:
    """The bank with its features in double precision."""
    return replace(bank, values=bank.values.double())


def double_build(trials: Sequence[Trial], bank: FeatureBank) -> Algorithm:
    """The stacked model with weights, buffers and hyper-parameters in double precision."""
    model = BUILD(trials, bank).double()
    model.hparams = {
        name: torch.tensor([float(t.values[name]) for t in trials], dtype=torch.float64)
        for name in trials[0].values
    }
    return model


def double_batch(bank: FeatureBank, trials: Sequence[Trial], step: int = 1) -> Batch:
    """The minibatch of a step, as the engine draws it, in double precision."""
    method = algorithms.get(trials[0].algorithm)
    pools = [bank.pools(t, method.aligned) for t in trials]
    draw = next(iter(minibatches(method, trials, pools, step, step - 1)))
    blocks = torch.tensor([[bank.block[m, t.split_seed] for m in t.train] for t in trials])
    return Batch(
        bank.values[blocks[:, :, None], draw.index].double(),
        bank.labels[draw.index],
        rows_in_use(trials).double(),
        draw.step,
        draw.noise,
    )


def double_training(trials: Sequence[Trial], bank: FeatureBank) -> engine.Training:
    """The engine's own training of a stack, in double precision; `run` takes all its steps."""
    with mock.patch.object(engine, "build", double_build):
        return engine.Training(trials, double_bank(bank))


def rows_of_one(batch: Batch, t: int = 0) -> list[tuple[Tensor, Tensor]]:
    """One trial's minibatch as DomainBed has it: features and labels of each modality's rows."""
    used = int(batch.used[t, 0].sum())
    return [(batch.x[t, m, :used], batch.y[t, m, :used]) for m in range(batch.x.shape[1])]


def plain_linear(
    stacked: StackedLinear, t: int = 0, width_in: int | None = None, width_out: int | None = None
) -> nn.Linear:
    """One trial's layer as torch.nn.Linear, cut to its own widths where they are given."""
    weight = stacked.weight[t, :width_in, :width_out].detach().T
    layer = nn.Linear(*weight.shape[::-1]).to(weight)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(stacked.bias[t, 0, :width_out])
    return layer


def plain_mlp(stacked: StackedMLP, t: int = 0, width: int | None = None) -> list[nn.Linear]:
    """One trial's layers; `width` is that of all hidden ones, where the stack pads it."""
    last = len(stacked.layers) - 1
    return [
        plain_linear(layer, t, width if number else None, width if number < last else None)
        for number, layer in enumerate(stacked.layers)
    ]


def relu_network(layers: Sequence[nn.Linear]) -> nn.Sequential:
    """The layers with ReLU between them."""
    parts: list[nn.Module] = [layers[0]]
    for layer in layers[1:]:
        parts += [nn.ReLU(), layer]
    return nn.Sequential(*parts)


def assert_same_linear(stacked: StackedLinear, layer: nn.Linear, t: int = 0) -> None:
    """One trial's layer has the plain layer's weights, and zeros where it is padded."""
    outs, ins = layer.weight.shape
    weight, bias = stacked.weight[t].detach(), stacked.bias[t, 0].detach()
    near = {"rtol": 1e-8, "atol": 1e-11}
    torch.testing.assert_close(weight[:ins, :outs], layer.weight.detach().T, **near)
    torch.testing.assert_close(bias[:outs], layer.bias.detach(), **near)
    assert not weight[ins:].any() and not weight[:, outs:].any() and not bias[outs:].any()


def assert_same_mlp(stacked: StackedMLP, layers: Sequence[nn.Linear], t: int = 0) -> None:
    """As `assert_same_linear`, layer by layer."""
    for ours, theirs in zip(stacked.layers, layers, strict=True):
        assert_same_linear(ours, theirs, t)
