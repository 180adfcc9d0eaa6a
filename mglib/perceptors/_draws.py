"""Which pairs a perceptor may learn from, and its other random draws: by name, never by order."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from mglib.errors import MglibError


def random_by(*words: str | int) -> np.random.RandomState:
    """A stream of its own for each list of words; RandomState is frozen over numpy versions."""
    content = hashlib.sha256(json.dumps(words).encode()).digest()
    return np.random.RandomState(np.frombuffer(content, dtype="<u4"))


def draw_pairs(
    binding: np.ndarray, pairs: int | str, split_seed: int, seed: int, name: str
) -> np.ndarray:
    """Sorted indices of the pairs in use: 'all' binding instances, or the first of one permutation.

    So 20 pairs contain the 5 of the same split and seed, whatever the modality. Raises MglibError,
    which names the perceptor, for more pairs than there are.
    """
    if pairs == "all":
        return np.sort(binding)
    if int(pairs) > len(binding):
        raise MglibError(
            f"perceptor '{name}' asks for {pairs} pairs; the binding part of split {split_seed} "
            f"has {len(binding)}"
        )
    order = random_by("pairs", split_seed, seed).permutation(np.sort(binding))
    return np.sort(order[: int(pairs)])


def exchanged(
    pairs: np.ndarray, noise: float, modality: str, split_seed: int, seed: int, name: str
) -> np.ndarray:
    """The partner of each pair [P]: its own instance, or for a share `noise` that of another.

    The wrong ones go round in one random cycle, so none keeps its own; each modality has its own
    wrong ones, and those of a larger share contain those of a smaller. Raises MglibError, which
    names the perceptor, where the share is fewer than two pairs.
    """
    partners = pairs.copy()
    wrong = int(np.rint(noise * len(pairs)))
    if noise and wrong < 2:
        raise MglibError(
            f"perceptor '{name}': a share {noise:g} of {len(pairs)} pairs is {wrong}; two pairs at "
            "least exchange their partners"
        )
    cycle = random_by("noise", modality, split_seed, seed).permutation(len(pairs))[:wrong]
    partners[cycle] = pairs[np.roll(cycle, 1)]
    return partners
