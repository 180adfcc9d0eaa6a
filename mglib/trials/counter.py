"""Random numbers from a seed and a counter: too many to draw beforehand, alike on every device.

A trial that needs noise of the size of its features or gradients draws one seed per step in
`Algorithm.noise` and expands it here; what it gets hangs on the seed alone, not on its company.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_STEP = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed number
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685
_BLOCK = 2**16  # numbers at a time on a CPU: what twenty operations in a row keep in its cache


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Logical shift to the right of signed 64-bit numbers."""
    return (bits >> places).bitwise_and_((1 << (64 - places)) - 1)


def _mixed(start: Tensor, first: int, last: int) -> Tensor:
    """Outputs number `first` to before `last` of generators that begin at `start` [T]: [T, N]."""
    mixed = torch.arange(first + 1, last + 1, dtype=torch.int64, device=start.device) * _STEP
    mixed = start.unsqueeze(1) + mixed
    mixed.bitwise_xor_(_shifted(mixed, 30)).mul_(_FIRST)
    mixed.bitwise_xor_(_shifted(mixed, 27)).mul_(_SECOND)
    return mixed.bitwise_xor_(_shifted(mixed, 31))


def _start(seeds: Tensor, stream: int) -> Tensor:
    return seeds if not stream else _mixed(seeds, stream - 1, stream).squeeze(1)


def bits(seeds: Tensor, shape: Sequence[int], stream: int = 0) -> Tensor:
    """64 random bits each, int64 [T, *shape], of seeds int64 [T]: SplitMix64.

    Steele, Lea and Flood (2014), https://doi.org/10.1145/2660193.2660195, of which entry n is the
    (n + 1)-th output of a generator seeded with the seed; `stream` seeds another generator.
    """
    return _mixed(_start(seeds, stream), 0, math.prod(shape)).view(len(seeds), *shape)


def uniforms(seeds: Tensor, shape: Sequence[int], stream: int = 0) -> Tensor:
    """Float32 [T, *shape] in [0, 1), multiples of 2^-24, of seeds int64 [T]."""
    return _shifted(bits(seeds, shape, stream), 40).float().mul_(2.0**-24)


def normals(seeds: Tensor, shape: Sequence[int], stream: int = 0) -> Tensor:
    """Standard normal float32 [T, *shape] of seeds int64 [T], by Box and Muller's transform."""
    start, count = _start(seeds, stream), math.prod(shape)
    found = torch.empty(len(seeds), count, device=seeds.device)
    block = max(1, _BLOCK // len(seeds)) if seeds.device.type == "cpu" else count
    for at in range(0, count, block):
        drawn = _mixed(start, at, min(at + block, count))
        radius = _shifted(drawn, 40).float().mul_(-(2.0**-24)).log1p_().mul_(-2.0).sqrt_()
        turn = _shifted(drawn, 16).bitwise_and_(0xFFFFFF).float().mul_(2.0 * math.pi * 2.0**-24)
        found[:, at : at + block] = radius.mul_(turn.cos_())
    return found.view(len(seeds), *shape)
