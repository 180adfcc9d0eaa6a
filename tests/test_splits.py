"""Splits: ours disjoint by group, the published one index for index."""

from __future__ import annotations

import numpy as np
import pytest

from mglib.data.splits import FRACTIONS, published_split, split_indices
from mglib.trials.hyperparameters import seed_hash


@pytest.mark.parametrize("modality", [0, 1, 2])
def test_the_published_split_is_domainbeds_index_for_index(modality):
    seed = seed_hash(0, modality)
    keys = list(range(103))
    np.random.RandomState(seed).shuffle(keys)  # DomainBed's split_dataset, on a list
    found = published_split(103, seed)
    assert found["out"].tolist() == keys[:20] and found["in"].tolist() == keys[20:]


def test_published_splits_of_two_modalities_share_instances():
    out, other = (set(published_split(1000, seed_hash(0, e))["out"].tolist()) for e in (0, 1))
    assert 20 < len(out & other) < 70, "about a fifth of a fifth, as of two independent draws"


def test_our_parts_are_disjoint_by_group_and_cover_everything():
    groups = np.random.RandomState(0).randint(0, 60, 200)
    for seed in range(3):
        parts = split_indices(groups, seed)
        assert list(parts) == list(FRACTIONS)
        assert sorted(np.concatenate([*parts.values()]).tolist()) == list(range(200))
        sets = [set(groups[own].tolist()) for own in parts.values()]
        assert sum(map(len, sets)) == len(set(groups.tolist()))
