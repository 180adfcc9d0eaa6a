"""Linear heads trained by contrast (InfoNCE), the same to the bit on one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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


def train_head(
    features: np.ndarray,
    loss: Loss,
    *,
    width: int,
    random: np.random.RandomState,
    rows: int,
    batch: int,
    updates: int,
    lr: float,
    scale: float,
    advance: Advance,
) -> np.ndarray:
    """Train features [N, D] -> features @ weights + offset with AdamW and apply it: [N, width].

    `loss` is given the places (of `rows`) in a batch and the head. Weights and offset begin
    uniform in +-scale / sqrt(D), which is PyTorch's own beginning at scale 1; `random` draws them
    and the batches. Weight decay is AdamW's default, .01.
    """
    import torch

    inputs = features.shape[1]
    edge = scale / np.sqrt(inputs)
    start = random.uniform(-edge, edge, (inputs + 1, width)).astype(np.float32)
    with one_thread():
        weights = torch.from_numpy(start[:-1].copy()).requires_grad_()
        offset = torch.from_numpy(start[-1].copy()).requires_grad_()
        optimiser = torch.optim.AdamW([weights, offset], lr=lr)

        def head(x: Tensor) -> Tensor:
            return x @ weights + offset

        draws = batches(random, rows, batch)
        for _ in range(updates):
            optimiser.zero_grad()
            loss(next(draws), head).backward()
            optimiser.step()
            advance(1 / updates)
        with torch.no_grad():
            return np.asarray(head(torch.from_numpy(features)).numpy(), dtype=np.float64)
