"""Linear heads trained by contrast (InfoNCE), the same to the bit on one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.data._base import Advance

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[np.ndarray, Callable[[Tensor], Tensor]], Tensor]


def info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Mean over rows of -log softmax_j(cos(query_i, key_j) / temperature) at j = i; a scalar.

    queries and keys are [B, D]; the other rows of the batch are what a key is told from
    (van den Oord et al., arXiv 1807.03748).
    """
    import torch
    from torch.nn import functional

    alike = functional.normalize(queries, dim=1) @ functional.normalize(keys, dim=1).T
    return functional.cross_entropy(alike / temperature, torch.arange(len(queries)))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch: sums must not hang on the number of cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batches(random: np.random.RandomState, rows: int, size: int) -> Iterator[np.ndarray]:
    """Places 0 to rows - 1 in random order, in batches, over and over; none of a single row."""
    while True:
        order = random.permutation(rows)
        yield from (part for at in range(0, rows, size) if len(part := order[at : at + size]) > 1)


def begin_head(
    inputs: int, width: int, random: np.random.RandomState, scale: float
) -> tuple[Tensor, Tensor]:
    """Weights [inputs, width] and offset [width] to train, uniform in +-scale / sqrt(inputs)."""
    import torch

    edge = scale / np.sqrt(inputs)
    start = random.uniform(-edge, edge, (inputs + 1, width)).astype(np.float32)
    weights, offset = (torch.from_numpy(part.copy()) for part in (start[:-1], start[-1]))
    return weights.requires_grad_(), offset.requires_grad_()


def descend(
    parameters: Iterable[Tensor],
    loss: Callable[[np.ndarray], Tensor],
    *,
    random: np.random.RandomState,
    rows: int,
    batch: int,
    updates: int,
    lr: float,
    advance: Advance,
) -> None:
    """Train parameters with AdamW; `loss` is given the places (of `rows`) in a batch.

    `random` draws the batches. Weight decay is AdamW's default, .01.
    """
    import torch

    optimiser = torch.optim.AdamW(parameters, lr=lr)
    draws = batches(random, rows, batch)
    for _ in range(updates):
        optimiser.zero_grad()
        loss(next(draws)).backward()
        optimiser.step()
        advance(1 / updates)


def train_head(
    features: np.ndarray,
    loss: Loss,
    *,
    width: int,
    random: np.random.RandomState,
    scale: float,
    **training: Any,
) -> np.ndarray:
    """Train features [N, D] -> features @ weights + offset and apply it: [N, width].

    `loss` is given the places in a batch and the head, which begins as in `begin_head` (as
    PyTorch's own at scale 1); `training` as in `descend`.
    """
    import torch

    with one_thread():
        weights, offset = begin_head(features.shape[1], width, random, scale)

        def head(x: Tensor) -> Tensor:
            return x @ weights + offset

        descend((weights, offset), lambda rows: loss(rows, head), random=random, **training)
        with torch.no_grad():
            return np.asarray(head(torch.from_numpy(features)).numpy(), dtype=np.float64)
