"""Layers that answer: as the engine's, and the same to the last bit for one output, too."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mglib.trials.networks import StackedLinear, StackedMLP, Streams


class _OneOutput(StackedLinear):
    """T linear layers [T, in, 1]; products of matrices would sum in an order that T decides."""

    def forward(self, x: Tensor) -> Tensor:
        """[T, ..., in] -> [T, ..., 1]."""
        y = (x.flatten(1, -2) * self.weight.transpose(1, 2)).sum(-1, keepdim=True) + self.bias
        return y.view(*x.shape[:-1], 1)


def head(streams: Streams, width: int, outputs: int) -> StackedLinear:
    """T linear layers that answer with any number of outputs."""
    return (StackedLinear if outputs > 1 else _OneOutput)(streams, width, outputs)


class Answerer(StackedMLP):
    """T perceptrons with ReLU between layers that answer with any number of outputs."""

    def __init__(self, streams: Streams, widths: Sequence[int]):
        super().__init__(streams, widths[:-1])
        self.layers.append(head(streams, widths[-2], widths[-1]))
