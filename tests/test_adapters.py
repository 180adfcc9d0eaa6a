"""Adapters in a trunk begin as nothing, are the low-rank maps they say, and alone are trained."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _spaces import disturbed, see, world
from torch import nn

from mglib.data.splits import split_indices
from mglib.features import FeatureSet
from mglib.perceptors import self_supervised
from mglib.perceptors._adapters import DROPOUT, SCALE, adapt
from mglib.perceptors._base import Trunk
from mglib.perceptors.efficientnet_lite import network, normalised
from mglib.perceptors.self_supervised import SelfSupervised
from mglib.registry import perceptors

pytestmark = pytest.mark.usefixtures("one_thread")

INSTANCES, SIZE = 40, 6
PICTURES = SimpleNamespace(name="pictures", kinds={"art": "image"}, core=("art",), anchor="art")
GROUPS = np.arange(INSTANCES)
IDS = [str(n) for n in range(INSTANCES)]


class Small(nn.Module):
    """Two 1x1 convolutions around a depthwise one, averaged: 5 values."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 1)
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 5, 1))

    def forward(self, images):
        return self.inner(torch.tanh(self.first(images))).mean((2, 3))


def small_trunk() -> Trunk:
    model = Small().eval().requires_grad_(False)
    return Trunk(model, normalised, model)


def pictures(seed: int = 0) -> np.ndarray:
    shape = (INSTANCES, SIZE, SIZE, 3)
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


@pytest.fixture
def trunk(monkeypatch):
    """The encoder of images has a small trunk."""
    encoder = self_supervised.ENCODERS["image"]
    monkeypatch.setattr(encoder, "trunk", staticmethod(small_trunk))
    return small_trunk()


def perceived(raw: np.ndarray, name: str = "self_supervised@adapters=2") -> np.ndarray:
    """The unit vectors of pictures, their frozen features made on the way."""
    model = small_trunk().model
    with torch.no_grad():
        frozen = model(normalised(raw)).numpy()
    sense = perceptors.get(name)()
    values = {"frozen": frozen, "raw": raw}
    inputs = [
        FeatureSet(values[source], None, {}, IDS, GROUPS, {})
        for source, _ in sense.inputs(PICTURES, "art")
    ]
    return sense.perceive(PICTURES, "art", inputs, 0, lambda share: None)[0]


def test_a_trunk_begins_as_it_was_and_every_1x1_convolution_is_adapted():
    plain, adapted = network(), network()
    adapters = adapt(adapted, 8, np.random.RandomState(0))
    images = normalised(pictures()[:2])
    assert torch.equal(plain.features(images), adapted.features(images))
    # Fifteen of sixteen blocks expand, all project, and there is the head.
    assert len(adapters) == 15 + 16 + 1
    trained = [own for own in adapted.parameters() if own.requires_grad]
    assert sum(own.numel() for own in trained) == 8 * sum(
        sum(own.convolution.weight.shape[:2]) for own in adapters
    )


def test_an_adapter_is_a_low_rank_map_beside_the_convolution():
    trunk = small_trunk()
    frozen = trunk.model.first.weight[:, :, 0, 0].clone()
    adapter = adapt(trunk.model, 2, np.random.RandomState(0))[0].eval()
    with torch.no_grad():
        adapter.up.normal_(generator=torch.Generator().manual_seed(1))
        low = adapter.up[:, :, 0, 0] @ adapter.down[:, :, 0, 0]
        images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
        expected = torch.einsum("oi,nihw->nohw", frozen + SCALE * low, images)
        expected += trunk.model.first.convolution.bias[:, None, None]
        torch.testing.assert_close(adapter(images), expected)
    assert torch.linalg.matrix_rank(low) == 2 and adapter.down.abs().max() <= 3**-0.5


def test_dropout_falls_on_the_adapter_alone_and_in_training_alone():
    trunk = small_trunk()
    adapter = adapt(trunk.model, 2, np.random.RandomState(0))[0].train()
    images = torch.ones(1, 3, 100, 100)
    assert torch.equal(adapter(images), adapter.convolution(images)), "B is zero"
    with torch.no_grad():
        adapter.up.fill_(1.0)
    with torch.no_grad():
        low = (adapter(images) - adapter.convolution(images))[0, 0] / SCALE
        at_rest = (adapter.eval()(images) - adapter.convolution(images))[0, 0] / SCALE
    assert at_rest.unique().numel() == 1
    inputs = adapter.down.sum(0)[:, 0, 0] / (1 - DROPOUT)
    untouched = torch.isclose(low, inputs.sum()).float().mean().item()
    assert untouched == pytest.approx((1 - DROPOUT) ** 3, abs=0.02)


def test_pixels_are_masked_and_both_sides_pass_trunk_and_head(trunk, monkeypatch):
    """The loss of the first batch against one written out, before anything was trained."""
    seen = []
    raw = pictures()

    def record(queries, keys, temperature):
        seen.append((queries.detach(), keys.detach(), temperature))
        return queries.sum() * 0.0

    masks = []
    original = self_supervised._masked

    def masked(x, random):
        copy = original(x, random)
        masks.append((x, copy))
        return copy

    monkeypatch.setattr(self_supervised, "info_nce", record)
    monkeypatch.setattr(self_supervised, "_masked", masked)
    perceived(raw)
    parts = split_indices(GROUPS, 0)
    rows = len(parts["binding"]) + len(parts["train"])
    queries, keys, temperature = seen[0]
    assert queries.shape == keys.shape == (rows, 256) and temperature == 0.2
    x, copy = masks[0]
    assert x.shape == (rows, 3, SIZE, SIZE)
    kept = copy != 0
    assert torch.equal(copy[kept], x[kept]) and kept.float().mean() == pytest.approx(0.7, abs=0.03)
    # B is zero: both sides are linear in the features of the trunk as it was.
    with torch.no_grad():
        features = torch.cat([trunk.model(x), trunk.model(copy)])
    padded = torch.cat([features, torch.ones(len(features), 1)], 1)
    outputs = torch.cat([queries, keys])
    solved = torch.linalg.lstsq(padded.double(), outputs.double()).solution
    torch.testing.assert_close(padded.double() @ solved, outputs.double(), atol=1e-4, rtol=0)


def test_adapters_are_trained_and_the_trunk_is_not(trunk, monkeypatch):
    made = []
    original = self_supervised.adapt

    def keep(model, rank, random):
        made.append((model, original(model, rank, random)))
        return made[0][1]

    monkeypatch.setattr(self_supervised, "adapt", keep)
    perceived(pictures())
    model, adapters = made[0]
    assert all(bool(own.up.any()) and own.up.shape[1] == 2 for own in adapters)
    before = trunk.model.state_dict()
    after = {
        name.replace(".convolution", ""): value
        for name, value in model.state_dict().items()
        if not name.endswith((".up", ".down"))
    }
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_same_to_the_bit_and_blind_to_validation_and_test(trunk):
    raw = pictures()
    first = perceived(raw)
    assert first.shape == (INSTANCES, 256)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    torch.manual_seed(7)
    assert np.array_equal(perceived(raw), first)
    parts = split_indices(GROUPS, 0)
    seen = np.concatenate([parts["binding"], parts["train"]])
    for hidden in ("validation", "test"):
        other = raw.copy()
        other[parts[hidden]] = 255 - other[parts[hidden]]
        # Batched sums may differ in the last digit where a neighbour in the batch does.
        np.testing.assert_allclose(perceived(other)[seen], first[seen], atol=1e-5)
    other = raw.copy()
    other[parts["train"]] = 255 - other[parts["train"]]
    assert np.abs(perceived(other)[parts["test"]] - first[parts["test"]]).max() > 1e-3


def test_rank_zero_and_other_trunks_have_their_head_alone():
    frozen = world()
    plain = see("self_supervised", "speech", frozen)
    assert np.array_equal(see("self_supervised@adapters=4", "speech", frozen), plain)
    changed = disturbed(frozen, ("train",))
    assert not np.array_equal(see("self_supervised@adapters=4", "speech", changed), plain)
    sense = perceptors.get("self_supervised@adapters=4")()
    assert isinstance(sense, SelfSupervised) and sense.parameters()["adapters"] == 4
    assert "adapters" not in perceptors.get("self_supervised")().parameters()
    assert [name for name, _ in sense.parts(PICTURES, "art")] == [
        *("frozen", "raw", "efficientnet_lite0")
    ]
