"""Cluster centres by Lloyd's algorithm, the same at every call."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 50


def centres(x: Tensor, count: int) -> Tensor:
    """`count` centres [count, D] of rows x [n, D], n at least 1 (Lloyd 1982, k-means).

    Starts from rows spread evenly over their order and ends when no row moves, after ROUNDS at
    most; a centre that loses all its rows stays where it is. Fewer rows than centres are repeated.
    """
    found = x[torch.arange(count, device=x.device) * len(x) // count].clone()
    before = torch.full((len(x),), -1, device=x.device)
    for _ in range(ROUNDS):
        nearest = ((found**2).sum(-1) - 2 * x @ found.T).argmin(-1)
        if torch.equal(nearest, before):
            break
        before = nearest
        members = torch.nn.functional.one_hot(nearest, count).to(x)
        sizes = members.sum(0)[:, None]
        found = torch.where(sizes > 0, members.T @ x / sizes.clamp(min=1), found)
    return found
