"""A swapped space is the old one where models learn, and the new one where they are tested."""

from __future__ import annotations

import numpy as np
import pytest
from _spaces import SPLIT, WORLD, disturbed, see, world

from mglib.analysis.retrieval import recall_at_k
from mglib.errors import MglibError
from mglib.registry import perceptors

LEARNED = np.sort(np.concatenate([SPLIT[part] for part in ("binding", "train", "validation")]))
TEST = SPLIT["test"]


@pytest.mark.parametrize("new", ["contrastive", "art"])
def test_only_the_test_part_is_swapped(new):
    frozen = world(noise=0.1)
    other = {"contrastive": "contrastive", "art": "bound@centre=art"}[new]
    setting = "" if new == "contrastive" else f"new={new},"
    plain = see(f"swapped@{setting}by=nothing", "speech", frozen)
    mapped = see(f"swapped@{setting}"[:-1] if setting else "swapped", "speech", frozen)
    for found in (plain, mapped):
        assert np.array_equal(found[LEARNED], see("bound", "speech", frozen)[LEARNED])
    assert np.array_equal(plain[TEST], see(other, "speech", frozen)[TEST])
    np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-5)


def test_a_centre_that_both_spaces_share_is_not_swapped():
    frozen = world(noise=0.1)
    old = see("bound", "text", frozen)
    assert np.array_equal(see("swapped@by=nothing", "text", frozen), old)
    assert np.mean((see("swapped", "text", frozen)[TEST] * old[TEST]).sum(1)) > 0.95
    turned = see("swapped@new=art,by=nothing", "text", frozen)
    assert np.mean((turned[TEST] * old[TEST]).sum(1)) < 0.5


def test_a_turned_space_is_turned_back():
    """Without noise the spaces of two centres are linear maps of each other."""
    frozen = world()
    old = see("bound", "speech", frozen)[TEST]
    mapped = see("swapped@new=art", "speech", frozen)[TEST]
    plain = see("swapped@new=art,by=nothing", "speech", frozen)[TEST]
    assert np.mean((mapped * old).sum(1)) > 0.98 > 0.5 > np.mean((plain * old).sum(1))
    assert recall_at_k(mapped, old, 1) > 0.95 > recall_at_k(plain, old, 1)


def test_the_map_is_learned_on_the_binding_part_alone():
    frozen = world(noise=0.1)
    noisy = disturbed(frozen, ("train", "validation"))
    for name in ("swapped", "swapped@new=art"):
        found = [see(name, "speech", own)[TEST] for own in (frozen, noisy)]
        assert np.array_equal(*found)


def test_what_cannot_be_swapped_is_one_line():
    with pytest.raises(MglibError, match="known: art, contrastive"):
        perceptors.get("swapped@new=clip")
    sense = perceptors.get("swapped")()
    assert {sense.space(WORLD, modality) for modality in WORLD.core} == {"swapped/text"}
