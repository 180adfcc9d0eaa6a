"""Observed subsets of M modalities as tuples of bool, True = observed, and their probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mglib.errors import MglibError

Subset = tuple[bool, ...]
Shares = dict[Subset, float]


def subsets(modalities: int, empty: bool = False) -> list[Subset]:
    """All subsets of M modalities, by size and then by place; the empty one only if asked for.

    Raises MglibError for less than one modality.
    """
    if modalities < 1:
        raise MglibError(f"subsets are of 1 or more modalities, not of {modalities}")
    return [
        tuple(place in observed for place in range(modalities))
        for size in range(0 if empty else 1, modalities + 1)
        for observed in combinations(range(modalities), size)
    ]


def check_subset(subset: Sequence[bool], modalities: int) -> Subset:
    """The subset as a tuple of bool; raises MglibError if it is not of M modalities."""
    if len(subset) != modalities:
        raise MglibError(
            f"a subset of {modalities} modalities has as many truth values, not {len(subset)}: "
            f"{tuple(subset)}"
        )
    return tuple(bool(observed) for observed in subset)


def subset_label(subset: Sequence[bool], names: Sequence[str]) -> str:
    """The names of the observed modalities joined by '+', or 'nothing'.

    Raises MglibError for a subset of another length than the names [M].
    """
    observed = check_subset(subset, len(names))
    return "+".join(name for name, here in zip(names, observed, strict=True) if here) or "nothing"


def full(modalities: int) -> Subset:
    """The subset in which everything is observed."""
    return (True,) * modalities


def without(modalities: int, place: int) -> Subset:
    """The subset in which one modality alone is missing."""
    return tuple(other != place for other in range(modalities))


def alone(modalities: int, place: int) -> Subset:
    """The subset in which one modality alone is observed."""
    return tuple(other == place for other in range(modalities))


def independent_shares(losses: Sequence[float]) -> Shares:
    """The probability of every subset if each modality is lost by itself at its own rate."""
    return {
        subset: math.prod(
            1 - loss if seen else loss for seen, loss in zip(subset, losses, strict=True)
        )
        for subset in subsets(len(losses), empty=True)
    }


def restored_shares(shares: Mapping[Subset, float]) -> Shares:
    """What is left of a law if rows that lost everything get one modality back, uniformly."""
    modalities = len(next(iter(shares)))
    found = dict(shares)
    empty = found.pop((False,) * modalities, 0.0)
    for place in range(modalities):
        subset = alone(modalities, place)
        found[subset] = found.get(subset, 0.0) + empty / modalities
    return found


def missing_of(shares: Mapping[Subset, float]) -> list[float]:
    """The probability that each modality is missing, in their order."""
    return [
        math.fsum(share for subset, share in shares.items() if not subset[place])
        for place in range(len(next(iter(shares))))
    ]


@dataclass(frozen=True)
class Realised:
    """What a mask table holds: shares of missing entries, of incomplete rows, rows by subset.

    `missing` of all N*M entries, `by_modality` M shares in their order, `incomplete` of the N rows,
    all in 0..1; `counts` only has subsets that occur.
    """

    missing: float
    by_modality: tuple[float, ...]
    incomplete: float
    counts: dict[Subset, int]


def realised(table: np.ndarray) -> Realised:
    """What a mask table [N, M] of bool holds; raises MglibError for another shape or no rows."""
    if table.ndim != 2 or table.dtype != np.bool_ or not table.size:
        raise MglibError(
            f"a mask table is bool [N, M] with at least one row, not {table.dtype} "
            f"{list(table.shape)}"
        )
    found, numbers = np.unique(table, axis=0, return_counts=True)
    counts = {tuple(map(bool, row)): int(n) for row, n in zip(found, numbers, strict=True)}
    by_modality = tuple(float(share) for share in 1 - table.mean(axis=0))
    whole = full(table.shape[1])
    return Realised(
        missing=float(1 - table.mean()),
        by_modality=by_modality,
        incomplete=1 - counts.get(whole, 0) / len(table),
        counts={subset: counts[subset] for subset in sorted(counts, reverse=True)},
    )
