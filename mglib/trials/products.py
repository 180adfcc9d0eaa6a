"""Products of stacked matrices, in the order and the layout that take the least time.

Both change what a result costs, not what it is: sums are added up in another order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Below so many columns a CPU's kernels leave most of their lanes empty.
NARROW = 32


class _Narrow(torch.autograd.Function):
    """[T, N, in] times [T, in, out] with the few columns of the result as rows of the kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.bmm(weight.mT, x.mT).mT.contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        by_x = torch.bmm(gradient, weight.mT) if ctx.needs_input_grad[0] else None
        by_weight = torch.bmm(gradient.mT, x).mT.contiguous() if ctx.needs_input_grad[1] else None
        return by_x, by_weight


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x [T, N, in] times weight [T, in, out]: [T, N, out].

    With few columns the last bits of a row may hang on N, so that stacks of one N alone use it.
    """
    if x.device.type == "cpu" and weight.shape[-1] < NARROW:
        narrow: Tensor = _Narrow.apply(x, weight)
        return narrow
    return torch.bmm(x, weight)


def joining_pays(rows: int, width_in: int, between: int, width_out: int) -> bool:
    """Whether two linear maps, in -> between -> out, take less work on so many rows as one."""
    return width_in * width_out * (between + rows) < rows * between * (width_in + width_out)
