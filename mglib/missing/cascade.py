"""Cascaded residual autoencoders, which imagine what is missing among embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mglib.trials.networks import StackedMLP, Streams


class LeakyMLP(StackedMLP):
    """T perceptrons with leaky ReLU between layers."""

    def forward(self, x: Tensor) -> Tensor:
        """[T, ..., widths[0]] -> [T, ..., widths[-1]]."""
        for number, layer in enumerate(self.layers):
            x = layer(functional.leaky_relu(x) if number else x)
        return x


class Cascade(nn.Module):
    """Blocks x -> x + decode(encode(x)) one after the other, and a perceptron on the last sum."""

    def __init__(self, streams: Streams, width: int, layers: Sequence[int], blocks: int):
        super().__init__()
        ways = [width, *layers]
        self.encoders = nn.ModuleList(LeakyMLP(streams, ways) for _ in range(blocks))
        self.decoders = nn.ModuleList(StackedMLP(streams, ways[::-1]) for _ in range(blocks))
        self.transition = StackedMLP(streams, [width, width, width])

    def unfold(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last sum [T, B, W] and the codes of all blocks side by side."""
        codes = []
        for encoder, decoder in zip(self.encoders, self.decoders, strict=True):
            code = encoder(x)
            codes.append(code)
            x = x + decoder(code)
        return x, torch.cat(codes, -1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The reconstruction [T, B, W] and the codes."""
        total, codes = self.unfold(x)
        return self.transition(total), codes
