"""What generators are made of: perceptrons with GELU, means and attention over what is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mglib.missing.heads import head
from mglib.trials.networks import Streams

MASKED = -1e9  # below any score; finite, so that a row without any has no NaN in its gradient


class Perceptron(nn.Module):
    """T perceptrons of `depth` layers with GELU between them; of depth 1 they are linear."""

    def __init__(self, streams: Streams, width: int, hidden: int, made: int, depth: int):
        super().__init__()
        widths = [width, *[hidden] * (depth - 1), made]
        self.layers = nn.ModuleList(
            head(streams, a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, width] -> [T, B, made]."""
        for number, layer in enumerate(self.layers):
            x = layer(functional.gelu(x) if number else x)
        return x


@dataclass(frozen=True)
class Plan:
    """What a generator is built for: features of `widths`, of which it makes `made` for each.

    Its perceptrons have `depth` layers, `hidden` wide inside, or (`wide`) as the features.
    """

    widths: Sequence[int]
    made: Sequence[int]
    hidden: int
    depth: int
    wide: bool = False

    def perceptron(self, streams: Streams, width: int, made: int, features: int) -> Perceptron:
        """One of them, beside features of that width."""
        return Perceptron(streams, width, features if self.wide else self.hidden, made, self.depth)


def mean_of_others(values: Mapping[int, Tensor], seen: Tensor, place: int) -> Tensor:
    """Mean [T, B, D] of what the seen modalities but `place` give; 0 where none is seen.

    `values` are by modality, each [T, B, D], that of `place` unused; `seen` is [T, B, M].
    """
    others = [j for j in range(seen.shape[-1]) if j != place]
    total = torch.stack([torch.where(seen[..., j, None], values[j], 0) for j in others]).sum(0)
    return total / seen[..., others].sum(-1, keepdim=True).clamp(min=1)


def attend(query: Tensor, keys: Tensor, values: Tensor, may: Tensor) -> Tensor:
    """What a query [T, 1, H] reads in keys and values [T, B, K, H] that it `may` [T, B, K]."""
    scores = (keys * query[:, :, None]).sum(-1) / keys.shape[-1] ** 0.5
    shares = scores.masked_fill(~may, MASKED).softmax(-1).masked_fill(~may, 0)
    return (shares[..., None] * values).sum(2)
