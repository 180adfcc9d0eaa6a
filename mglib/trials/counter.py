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


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Logical shift to the right of signed 64-bit numbers."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def bits(seeds: Tensor, shape: Sequence[int], stream: int = 0) -> Tensor:
    """64 random bits each, int64 [T, *shape], of seeds int64 [T]: SplitMix64.

    Steele, Lea and Flood (2014), https://doi.org/10.1145/2660193.2660195, of which entry n is the
    (n + 1)-th output of a generator seeded with the seed; `stream` seeds another generator.
    """
    count = math.prod(shape)
    places = torch.arange(1, count + 1, dtype=torch.int64, device=seeds.device)
    start = seeds if not stream else bits(seeds, [stream])[:, -1]
    mixed = start.unsqueeze(1) + places * _STEP
    mixed = (mixed ^ _shifted(mixed, 30)) * _FIRST
    mixed = (mixed ^ _shifted(mixed, 27)) * _SECOND
    return (mixed ^ _shifted(mixed, 31)).view(len(seeds), *shape)


def uniforms(seeds: Tensor, shape: Sequence[int], stream: int = 0) -> Tensor:
    """Float32 [T, *shape] in [0, 1), multiples of 2^-24, of seeds int64 [T]."""
    return _shifted(bits(seeds, shape, stream), 40).float() * 2.0**-24


def normals(seeds: Tensor, shape: Sequence[int], stream: int = 0) -> Tensor:
    """Standard normal float32 [T, *shape] of seeds int64 [T], by Box and Muller's transform."""
    drawn = bits(seeds, shape, stream)
    radius = (-2.0 * torch.log1p(-_shifted(drawn, 40).float() * 2.0**-24)).sqrt()
    turn = (_shifted(drawn, 16) & 0xFFFFFF).float() * (2.0 * math.pi * 2.0**-24)
    return radius * turn.cos()
