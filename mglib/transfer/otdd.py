"""Optimal transport between labelled sets of features (OTDD), differentiable in the features.

Source: Alvarez-Melis and Fusi, arXiv 2002.02923, equations 4 to 6, as ORCA (Shen et al., arXiv
2302.05738) uses it: the ground cost of two labelled points is 1/2 |x - x'|^2 + 1/2 W(y, y'), W the
debiased Sinkhorn divergence between the points of two classes with cost |x - x'|^2, and the
distance of two sets is the debiased Sinkhorn divergence with that ground cost. An entropic value is
min <P, cost> + r KL(P, a x b). Its gradient takes the plan P as a constant and differentiates
<P, cost>: by the envelope theorem that is exact where P is the minimiser. W is a constant, too.
All is computed in float64, with the batched log-domain solver of POT (>= 0.9.7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mglib.errors import MglibError

ITERATIONS = 200  # at the last regularisation; those before it only warm it up
WARMING = 11
TOLERANCE = 1e-8  # of the plan's row sums
FALL = 0.5  # of the regularisation, from the largest cost to the one asked for


@dataclass(frozen=True)
class Clouds:
    """The points of each class, padded: [C, n, D], their weights [C, n] (0: padding), labels [C].

    `codes` [N] is the place among the classes of each of the points they were made of.
    """

    points: Tensor
    weights: Tensor
    labels: Tensor
    codes: Tensor


def clouds(features: Tensor, labels: Tensor) -> Clouds:
    """Features [N, D] by their labels [N]; gradients go through the points.

    Raises MglibError for other shapes or no features.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(features):
        raise MglibError(
            "OTDD compares features [N, D] with labels [N], N at least 1, not "
            f"{list(features.shape)} with {list(labels.shape)}"
        )
    found, codes, counts = labels.unique(return_inverse=True, return_counts=True)
    order = codes.argsort(stable=True)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(order), device=order.device) - first[codes[order]]
    shape = (len(found), int(counts.max()))
    points = features.new_zeros(*shape, features.shape[1], dtype=torch.float64)
    points = points.index_put((codes[order], place), features[order].double())
    present = torch.arange(shape[1], device=counts.device) < counts[:, None]
    return Clouds(points, present / counts[:, None].double(), found, codes)


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Squared Euclidean distances of points [P, n, D] and [P, m, D], as [P, n, m]."""
    across = first @ second.transpose(1, 2)
    own = first.square().sum(-1)[:, :, None] + second.square().sum(-1)[:, None, :]
    return (own - 2 * across).clamp_min(0)


def _solver() -> Any:
    """POT's batched projection on the marginals."""
    try:
        from ot.batch import bregman_log_projection_batch
    except ImportError as error:
        raise MglibError(
            f"optimal transport needs POT 0.9.7 or newer ({error}): install mglib[transfer]"
        ) from error
    return bregman_log_projection_batch


def _logarithm(weights: Tensor) -> Tensor:
    """log(weights), 0 where a weight is 0, so that padding adds nothing to a sum."""
    return torch.where(weights > 0, weights, 1.0).log()


def entropic_values(
    cost: Tensor, rows: Tensor, columns: Tensor, regularisation: float
) -> tuple[Tensor, Tensor]:
    """Values [P] and plans [P, n, m] of entropic transport with costs [P, n, m], float64.

    `rows` [P, n] and `columns` [P, m] sum to 1; weights of 0 take no part. The values are those of
    the dual, whose error is of second order in the plan's; their gradient is the plan. The
    regularisation falls from the largest cost, each time from the potentials found so far. Raises
    MglibError for a regularisation that is not above 0.
    """
    if not regularisation > 0:
        raise MglibError(f"the regularisation of transport must be above 0, not {regularisation}")
    project = _solver()
    with torch.no_grad():
        fixed = cost.detach()
        used = (rows > 0)[:, :, None] & (columns > 0)[:, None, :]
        level = max(float(fixed[used].amax()), regularisation)
        left, right = torch.zeros_like(rows), torch.zeros_like(columns)  # potentials
        while True:
            last = level <= regularisation
            # potentials go into the kernel: the solver always starts from none
            kernel = (left[:, :, None] + right[:, None, :] - fixed) / level
            found = project(
                kernel, rows, columns, max_iter=ITERATIONS if last else WARMING, tol=TOLERANCE
            )
            more = found["potentials"]
            left = left + level * torch.where(rows > 0, more[0], 0.0)
            right = right + level * torch.where(columns > 0, more[1], 0.0)
            if last:
                break
            level = max(level * FALL, regularisation)
        plan = found["T"]
        value = (rows * (left - level * _logarithm(rows))).sum(1)
        value = value + (columns * (right - level * _logarithm(columns))).sum(1)
    return value + (plan * (cost - fixed)).sum((1, 2)), plan


def _self_values(
    points: Tensor, weights: Tensor, factor: float, by: float, labels: Tensor | float = 0.0
) -> Tensor:
    """Entropic values [P] of sets against themselves, at `factor` |x - x'|^2 + `labels`."""
    cost = factor * squared_distances(points, points) + labels
    return entropic_values(cost, weights, weights, by)[0]


def class_distances(first: Clouds, second: Clouds, by: float) -> Tensor:
    """W(y, y') of every two classes [A, B]: debiased Sinkhorn divergences, cost |x - x'|^2.

    `by` is the regularisation. Never below 0; no gradient. A class may be a single point (ours:
    ORCA leaves those out, but in a batch many are).
    """
    with torch.no_grad():
        here, there = len(first.labels), len(second.labels)
        left, right = first.points.repeat_interleave(there, 0), second.points.repeat(here, 1, 1)
        rows, columns = first.weights.repeat_interleave(there, 0), second.weights.repeat(here, 1)
        cost = squared_distances(left, right)
        across = entropic_values(cost, rows, columns, by)[0].view(here, there)
        own, other = (_self_values(each.points, each.weights, 1.0, by) for each in (first, second))
        return (across - own[:, None] / 2 - other[None, :] / 2).clamp_min(0)


def otdd(
    source: Tensor,
    source_labels: Tensor,
    target: Tensor,
    target_labels: Tensor,
    regularisation: float = 0.1,
    by_class: bool = False,
) -> Tensor:
    """OTDD of features [N, D] with labels [N] and features [M, D] with labels [M]: a scalar.

    0 for a set against itself. Labels of the two sets have nothing to do with each other. With
    `by_class` each target class is set against the whole source alone and weighs its share of M, as
    ORCA does. Gradients go to both sets' features, through 1/2 |x - x'|^2 only. Raises MglibError
    for other shapes, widths that differ, or a regularisation that is not above 0.
    """
    if source.shape[1:] != target.shape[1:]:
        raise MglibError(
            f"OTDD compares features of one width, not {list(source.shape)} and "
            f"{list(target.shape)}"
        )
    first, second = clouds(source, source_labels), clouds(target, target_labels)
    across = class_distances(first, second, regularisation)
    within = class_distances(first, first, regularisation)
    whole, codes = source.double()[None], first.codes
    even = whole.new_full((1, len(source)), 1 / len(source))
    labels = within[codes][:, codes][None] / 2
    own_source = _self_values(whole, even, 0.5, regularisation, labels)
    if by_class:
        points, weights = second.points, second.weights
        share = torch.bincount(second.codes).double() / len(target)
        to_source = across[codes].T[:, :, None] / 2
        own_target = _self_values(points, weights, 0.5, regularisation)
    else:
        points, share = target.double()[None], whole.new_ones(1)
        weights = whole.new_full((1, len(target)), 1 / len(target))
        to_source = across[codes][:, second.codes][None] / 2
        between = class_distances(second, second, regularisation)
        labels = between[second.codes][:, second.codes][None] / 2
        own_target = _self_values(points, weights, 0.5, regularisation, labels)
    count = len(points)
    cost = squared_distances(whole.expand(count, -1, -1), points) / 2 + to_source
    crossed, _ = entropic_values(cost, even.expand(count, -1), weights, regularisation)
    return (share * (crossed - own_source / 2 - own_target / 2)).sum()
