"""Seeded splits by group: binding pairs, training, validation and test."""

from __future__ import annotations

from typing import Any

import numpy as np

SPLIT_VERSION = 1  # raise it when split_indices gives other indices for equal fractions
FRACTIONS = {"binding": 0.40, "train": 0.30, "validation": 0.10, "test": 0.20}


def splitting() -> dict[str, Any]:
    """All that decides the splits besides groups and seed; JSON-serialisable, the order kept."""
    return {"version": SPLIT_VERSION, "fractions": [[*part] for part in FRACTIONS.items()]}


def published_split(instances: int, seed: int, holdout: float = 0.2) -> dict[str, np.ndarray]:
    """DomainBed's and ModalBed's split of one modality: a share `holdout` is "out", the rest "in".

    `seed` is seed_hash(trial_seed, index of the modality): every modality is shuffled by itself, so
    an instance that is tested in one is trained on in another. For `as_published` protocols alone.
    """
    order = np.arange(instances)
    np.random.RandomState(seed).shuffle(order)
    edge = int(instances * holdout)
    return {"out": order[:edge], "in": order[edge:]}


def split_indices(groups: np.ndarray, split_seed: int) -> dict[str, np.ndarray]:
    """Sorted instance indices of the four parts, disjoint by group and covering all instances.

    groups [N]; the fractions are of the groups. *binding* pairs only serve to learn a common space
    and are never evaluated. Ours; RandomState, because its stream is frozen over numpy versions.
    """
    names, member = np.unique(groups, return_inverse=True)
    order = np.random.RandomState(split_seed).permutation(len(names))
    edges = np.rint(np.cumsum([0.0, *FRACTIONS.values()]) * len(names)).astype(np.int64)
    part_of_group = np.empty(len(names), dtype=np.int64)
    for part, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        part_of_group[order[start:stop]] = part
    part_of_instance = part_of_group[member.reshape(-1)]
    return {
        name: np.flatnonzero(part_of_instance == part).astype(np.int64)
        for part, name in enumerate(FRACTIONS)
    }
