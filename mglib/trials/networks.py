"""Layers with a leading trial axis: one object holds the weights of every trial of a stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mglib.trials.counter import uniforms
from mglib.trials.products import joining_pays, product

Streams = Sequence[torch.Generator]
Width = int | Sequence[int]


def rungs() -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, ...: the sizes to which batches and widths are padded."""
    yield 1
    size = 2
    while True:
        yield size
        yield size + size // 2
        size *= 2


def rung(size: int) -> int:
    """The least rung that holds `size`: padding costs a third of the work at worst."""
    return next(step for step in rungs() if step >= size)


class StackedLinear(nn.Module):
    """T linear layers [T, in, out] at once, each drawn from its own stream as torch.nn.Linear.

    A width may be one number per trial: each trial then draws the layer of its own width, padded
    with zeros to the `rung` of the widest. With activations that keep zero at zero the padding
    stays zero in training, since it neither receives nor sends a gradient.
    """

    def __init__(self, streams: Streams, width_in: Width, width_out: Width):
        super().__init__()
        ins, outs = (
            [w] * len(streams) if isinstance(w, int) else [*w] for w in (width_in, width_out)
        )
        most_in, most_out = (
            w if isinstance(w, int) else rung(max(w)) for w in (width_in, width_out)
        )
        weight = torch.zeros(len(streams), most_in, most_out)
        bias = torch.zeros(len(streams), 1, most_out)
        for t, (stream, a, b) in enumerate(zip(streams, ins, outs, strict=True)):
            for tensor, rows in ((weight, a), (bias, 1)):
                drawn = torch.rand((rows, b), generator=stream)
                tensor[t, :rows, :b] = drawn.mul_(2).sub_(1).mul_(a**-0.5)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """[T, ..., in] -> [T, ..., out]."""
        y = torch.baddbmm(self.bias, x.flatten(1, -2), self.weight)
        return y.view(*x.shape[:-1], -1)


class StackedMLP(nn.Module):
    """T multi-layer perceptrons with ReLU between layers and none after the last."""

    def __init__(self, streams: Streams, widths: Sequence[Width]):
        super().__init__()
        self.layers = nn.ModuleList(
            StackedLinear(streams, a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[T, ..., widths[0]] -> [T, ..., widths[-1]]."""
        output: Tensor = self.layers[-1](self._before_last(x))
        return output.view(*x.shape[:-1], -1)

    def _before_last(self, x: Tensor) -> Tensor:
        """What the last layer is given of x [T, ..., widths[0]]: [T, N, widths[-2]]."""
        x = x.flatten(1, -2)
        for layer in self._linear()[:-1]:
            x = torch.baddbmm(layer.bias, x, layer.weight).relu_()
        return x

    def _linear(self) -> list[StackedLinear]:
        return cast(list[StackedLinear], [*self.layers])

    def through(self, weight: Tensor, x: Tensor) -> Tensor:
        """self(x) times weight [T, between, out]: [T, ..., widths[0]] -> [T, ..., out].

        For who asks only for the product: where it has fewer columns than x has rows, it takes less
        work to join the last layer with `weight`, since nothing stands between the two.
        """
        last, rows = self._linear()[-1], self._before_last(x)
        width_in, between = last.weight.shape[1:]
        if joining_pays(rows.shape[1], width_in, between, weight.shape[-1]):
            bias = (last.bias.mT * weight).sum(1, keepdim=True)
            y = product(rows, product(last.weight, weight)) + bias
        else:
            y = product(torch.baddbmm(last.bias, rows, last.weight), weight)
        return y.view(*x.shape[:-1], -1)

    def into(self, head: StackedLinear, x: Tensor) -> Tensor:
        """head(self(x)), [T, ..., widths[0]] -> [T, ..., out], for who does not ask for self(x)."""
        y = self.through(head.weight, x)
        return y + head.bias.view(len(y), *[1] * (y.ndim - 2), -1)


def featurizer(streams: Streams, width: int) -> StackedMLP:
    """ModalBed's featurizer D -> D/2 -> D/4 -> D/2 -> D (its `networks.py`)."""
    return StackedMLP(streams, [width, width // 2, width // 4, width // 2, width])


def classifier(streams: Streams, width: int, classes: int) -> StackedMLP:
    """ModalBed's nonlinear classifier D -> D/2 -> D/4 -> C (its `networks.py`)."""
    return StackedMLP(streams, [width, width // 2, width // 4, classes])


class StackedDiscriminator(StackedMLP):
    """T perceptrons of `depth` layers, in -> width -> ... -> width -> out, with dropout.

    DomainBed's `MLP`: dropout before the activation of every layer but the last, in training as in
    `dropped`; `slope` is the activation's below zero. A width per trial is padded with zeros.
    """

    def __init__(
        self,
        streams: Streams,
        width_in: int,
        width: Width,
        width_out: int,
        depth: int,
        slope: float = 0.0,
    ):
        super().__init__(streams, [width_in, *[width] * (depth - 1), width_out])
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """[T, ..., in] -> [T, ..., out] without dropout."""
        return self.dropped(x, None, None)

    def dropped(self, x: Tensor, rates: Tensor | None, seeds: Tensor | None) -> Tensor:
        """[T, ..., in] -> [T, ..., out], units dropped at `rates` [T] by `seeds` int64 [T]."""
        for number, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            if rates is not None and seeds is not None:
                rate = rates.view(-1, *[1] * (x.ndim - 1))
                kept = uniforms(seeds, x.shape[1:], stream=number) >= rate
                x = x * kept / (1 - rate)
            x = functional.leaky_relu(x, self.slope) if self.slope else x.relu()
        output: Tensor = self.layers[-1](x)
        return output


def class_embeddings(streams: Streams, classes: int, width: int) -> nn.Parameter:
    """A vector for every class [T, C, D], standard normal as torch.nn.Embedding."""
    drawn = [torch.randn((classes, width), generator=stream) for stream in streams]
    return nn.Parameter(torch.stack(drawn))
