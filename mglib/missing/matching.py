"""Semantic matching: made features must find the real ones of their own row, and the reverse."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WORDS = ("none", "mse", "cosine", "rows", "columns", "both", "both_mse")
CONTRASTING = ("rows", "columns", "both", "both_mse")
BANDWIDTH = 0.1  # answers of [-1, 1] this near count as alike
MASKED = -1e9


def _mean(values: Tensor, rows: Tensor) -> Tensor:
    """Mean of values [T, B] over `rows` [T, B], 0 where there are none: [T]."""
    return (values * rows).sum(-1) / rows.sum(-1).clamp(min=1)


def alike(y: Tensor, classes: int) -> Tensor:
    """How far each other row's answer is the same, [T, B, B] of [T, B]: 0 to 1.

    For classes 1 if they are equal, else a Gaussian of the answers' difference; ours.
    """
    if classes:
        return (y[:, :, None] == y[:, None]).float()
    return (-(((y[:, :, None] - y[:, None]) / BANDWIDTH) ** 2) / 2).exp()


def contrast(similarity: Tensor, rows: Tensor, targets: Tensor | None = None) -> Tensor:
    """Mean cross-entropy [T] of each row's softmax over its columns, similarity [T, B, B].

    Rows and columns outside of `rows` [T, B] take no part. The answer is the row's own column, or
    spread as `targets` [T, B, B] say.
    """
    said = similarity.masked_fill(~rows[:, None], MASKED).log_softmax(-1)
    if targets is None:
        return _mean(-said.diagonal(dim1=1, dim2=2), rows)
    shares = targets * rows[:, None]
    shares = shares / shares.sum(-1, keepdim=True).clamp(min=1e-12)
    return _mean(-(shares * said).sum(-1), rows)


def matching(
    made: Tensor,
    real: Tensor,
    rows: Tensor,
    word: str,
    temperature: Tensor,
    targets: Tensor | None = None,
) -> Tensor:
    """The loss [T] of made against real features, each [T, B, D], over the rows that have both.

    By `word`: squared error (a mean over D) or 1 - cosine of each row; or, of the cosines over the
    temperature [T], the cross-entropy of rows (a made one finds its real one), of columns (the
    reverse), or the mean of both, with the squared error added or not.
    Source: TRML (arXiv 2401.13697) names the similarity matrix, temperature and cross-entropy;
    which direction is not known, both is our reading. The others are ours, to compare with.
    """
    if word == "none":
        return torch.zeros_like(temperature)
    squares = _mean(((made - real) ** 2).mean(-1), rows)
    if word == "mse":
        return squares
    a, b = (functional.normalize(own, dim=-1) for own in (made, real))
    if word == "cosine":
        return _mean(1 - (a * b).sum(-1), rows)
    similarity = a @ b.mT / temperature[:, None, None]
    if word == "rows":
        return contrast(similarity, rows, targets)
    if word == "columns":
        return contrast(similarity.mT, rows, targets)
    both = (contrast(similarity, rows, targets) + contrast(similarity.mT, rows, targets)) / 2
    return both + squares if word == "both_mse" else both
