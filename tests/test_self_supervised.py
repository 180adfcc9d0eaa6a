"""Self-supervised spaces: the loss sees masked copies of the right parts, and nothing is shared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _spaces import INSTANCES, SPLIT, WORLD, disturbed, see, world

from mglib.analysis.retrieval import recall_at_k
from mglib.perceptors import self_supervised
from mglib.perceptors._linear import fit_scaling
from mglib.registry import perceptors

SEEN = np.sort(np.concatenate([SPLIT["binding"], SPLIT["train"]]))


@pytest.fixture
def losses(monkeypatch):
    """Queries, keys and temperature of every loss; the head changes nothing in them."""
    seen = []

    def record(queries, keys, temperature):
        seen.append((queries.numpy(), keys.numpy(), temperature))
        return torch.zeros(())

    def once(features, loss, **settings):
        seen.append(settings)
        for _ in range(20):
            loss(np.arange(settings["rows"]), lambda x: x)
        return features

    monkeypatch.setattr(self_supervised, "info_nce", record)
    monkeypatch.setattr(self_supervised, "train_head", once)
    return seen


@pytest.mark.parametrize(("modality", "batch"), [("art", 64), ("speech", 64), ("text", 128)])
def test_the_loss_is_given_masked_copies_as_published(losses, modality, batch):
    frozen = world()
    see("self_supervised", modality, frozen)
    settings, *calls = losses
    assert settings["rows"] == len(SEEN) and settings["batch"] == batch
    assert settings["updates"] == 5 * int(np.ceil(len(SEEN) / batch))
    scaled = fit_scaling(frozen[modality][SEEN])(frozen[modality][SEEN])
    kept = []
    for queries, keys, temperature in calls:
        np.testing.assert_allclose(queries, scaled, atol=1e-5)
        assert temperature == 0.2
        assert np.isin(keys, [0]).any() and np.array_equal(keys[keys != 0], queries[keys != 0])
        kept.append(keys != 0)
    assert np.mean(kept) == pytest.approx(0.7, abs=0.01)
    assert not np.array_equal(kept[0], kept[1])


def test_training_lets_masked_copies_be_known_again(monkeypatch):
    frozen, test = world(width=40), SPLIT["test"]
    scaled = fit_scaling(frozen["art"][SEEN])(frozen["art"])
    masks = np.random.RandomState(3).random_sample(scaled[test].shape) >= 0.3

    def recall(epochs):
        monkeypatch.setattr(self_supervised, "EPOCHS", epochs)
        heads = []
        original = self_supervised.train_head

        def keep(features, loss, **settings):
            copies = np.concatenate([features, (scaled[test] * masks).astype(np.float32)])
            heads.append(original(copies, loss, **settings))
            return heads[0][:INSTANCES]

        with monkeypatch.context() as patch:
            patch.setattr(self_supervised, "train_head", keep)
            see("self_supervised", "art", frozen)
        whole, copies = heads[0][:INSTANCES][test], heads[0][INSTANCES:]
        alike = torch.nn.functional.normalize(torch.from_numpy(whole), dim=1)
        others = torch.nn.functional.normalize(torch.from_numpy(copies), dim=1)
        right = torch.arange(len(test))
        return torch.nn.functional.cross_entropy(alike @ others.T / 0.2, right).item()

    assert recall(40) < recall(5) < recall(0)


def test_every_modality_begins_and_ends_in_a_space_of_its_own():
    """Even equal features of two modalities come to lie in spaces that share nothing."""
    frozen = world()
    frozen["speech"] = frozen["art"]
    art, speech = (see("self_supervised", m, frozen) for m in ("art", "speech"))
    assert art.shape == (INSTANCES, 256) and art.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(art, axis=1), 1, atol=1e-5)
    test = SPLIT["test"]
    assert recall_at_k(art[test], speech[test], 1) < 0.15
    assert abs((art * speech).sum(axis=1).mean()) < 0.15
    spaces = {perceptors.get("self_supervised")().space(WORLD, m) for m in WORLD.core}
    assert len(spaces) == 3


def test_it_sees_binding_and_train_and_nothing_else():
    frozen = world()
    before = see("self_supervised", "art", frozen)
    blind = see("self_supervised", "art", disturbed(frozen, ("validation", "test")))
    assert np.array_equal(before[SEEN], blind[SEEN])
    assert not np.array_equal(before[SPLIT["test"]], blind[SPLIT["test"]])
    for part in ("binding", "train"):
        other = see("self_supervised", "art", disturbed(frozen, (part,)))
        assert not np.array_equal(before[SPLIT["test"]], other[SPLIT["test"]])


def test_it_is_the_same_to_the_bit_and_another_in_each_split():
    frozen, before = world(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = see("self_supervised", "art", frozen)
    finally:
        torch.set_num_threads(before)
    torch.manual_seed(5)
    assert np.array_equal(see("self_supervised", "art", frozen), first)
    assert not np.array_equal(see("self_supervised", "art", frozen, 1), first)
