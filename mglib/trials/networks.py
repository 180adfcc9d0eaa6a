"""Layers with a leading trial axis: one object holds the weights of every trial of a stack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Streams = Sequence[torch.Generator]


class StackedLinear(nn.Module):
    """T linear layers [T, in, out] at once, each drawn from its own stream as torch.nn.Linear."""

    def __init__(self, streams: Streams, width_in: int, width_out: int):
        super().__init__()
        bound = width_in**-0.5

        def uniform(*shape: int) -> nn.Parameter:
            drawn = [torch.rand(shape, generator=stream) for stream in streams]
            return nn.Parameter(torch.stack(drawn).mul_(2).sub_(1).mul_(bound))

        self.weight = uniform(width_in, width_out)
        self.bias = uniform(1, width_out)

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, in] -> [T, B, out]."""
        return torch.baddbmm(self.bias, x, self.weight)


class StackedMLP(nn.Module):
    """T multi-layer perceptrons with ReLU between layers and none after the last."""

    def __init__(self, streams: Streams, widths: Sequence[int]):
        super().__init__()
        self.layers = nn.ModuleList(
            StackedLinear(streams, a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, widths[0]] -> [T, B, widths[-1]]."""
        for number, layer in enumerate(self.layers):
            x = layer(x if number == 0 else x.relu())
        return x


def featurizer(streams: Streams, width: int) -> StackedMLP:
    """ModalBed's featurizer D -> D/2 -> D/4 -> D/2 -> D (its `networks.py`)."""
    return StackedMLP(streams, [width, width // 2, width // 4, width // 2, width])
