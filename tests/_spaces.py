"""Perceptors on made-up frozen features, in memory: three modalities of a world with known maps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from mglib.data.splits import split_indices
from mglib.features import FeatureSet
from mglib.registry import perceptors

INSTANCES = 300
WORLD = SimpleNamespace(
    name="made_up",
    kinds={"art": "image", "speech": "audio", "text": "text"},
    core=("art", "speech", "text"),
    anchor="text",
)
GROUPS = np.arange(INSTANCES) // 2
SPLIT = split_indices(GROUPS, 0)
IDS = [str(n) for n in range(INSTANCES)]


def rotation(width: int, seed: int = 0) -> np.ndarray:
    """A random orthogonal matrix [width, width]."""
    return np.linalg.qr(np.random.RandomState(seed).randn(width, width))[0]


def world(width: int = 16, noise: float = 0.0) -> dict[str, np.ndarray]:
    """Frozen features [N, width] by modality: the anchor's, turned, scaled and moved."""
    random = np.random.RandomState(1)
    text = random.randn(INSTANCES, width) * np.linspace(2, 0.5, width)
    found = {"text": text}
    for number, modality in enumerate(("art", "speech")):
        own = text @ rotation(width, number) * (number + 0.5) + random.randn(width)
        found[modality] = own + noise * random.randn(*own.shape)
    return {name: values.astype(np.float32) for name, values in found.items()}


def see(
    name: str, modality: str, frozen: dict[str, np.ndarray], split_seed: int = 0, groups=GROUPS
) -> np.ndarray:
    """What a perceptor makes of a modality, all that it is computed from made on the way."""
    if name == "frozen":
        return frozen[modality]
    sense = perceptors.get(name)()
    inputs = [
        FeatureSet(see(*source, frozen, split_seed, groups), None, {}, IDS, groups, {})
        for source in sense.inputs(WORLD, modality)
    ]
    return sense.perceive(WORLD, modality, inputs, split_seed, lambda share: None)[0]


def disturbed(frozen: dict[str, np.ndarray], parts: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The same features but for those of some parts of the split, which are noise."""
    random = np.random.RandomState(2)
    found = {name: values.copy() for name, values in frozen.items()}
    for values in found.values():
        for part in parts:
            values[SPLIT[part]] = 5 * random.randn(len(SPLIT[part]), values.shape[1])
    return found
