"""Random draws that never change: from the raw bits of a generator, which numpy keeps frozen.

numpy may change what its own distributions draw from one version to the next, but not these bits.
"""

from __future__ import annotations

import math

import numpy as np

from mglib.errors import MglibError


def uniforms(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers in [0, 1) of a shape, 53 bits each; MglibError for a generator of 32-bit words."""
    if isinstance(random.bit_generator, np.random.MT19937):
        raise MglibError(
            "masks are drawn from 64-bit generators as np.random.default_rng gives, not MT19937"
        )
    raw = random.bit_generator.random_raw(math.prod(shape))
    return (np.asarray(raw, dtype=np.uint64) >> np.uint64(11)).reshape(shape) * 2.0**-53


def places(random: np.random.Generator, rows: int, modalities: int) -> np.ndarray:
    """One modality per row, each as likely as the others: int64 [N] in 0..M-1."""
    return (uniforms(random, rows) * modalities).astype(np.int64)


def order(random: np.random.Generator, rows: int) -> np.ndarray:
    """All rows in random order: int64 [N]."""
    return np.argsort(uniforms(random, rows), kind="stable")


def ranks(random: np.random.Generator, rows: int, modalities: int) -> np.ndarray:
    """A random order of the modalities per row, as the rank of each: int64 [N, M] in 0..M-1."""
    return np.argsort(np.argsort(uniforms(random, rows, modalities), axis=1), axis=1)


def restored(random: np.random.Generator, table: np.ndarray) -> np.ndarray:
    """A mask table [N, M] in which rows that lost everything get one modality back, uniformly."""
    spare = places(random, *table.shape)
    found = table.copy()
    empty = ~table.any(axis=1)
    found[empty, spare[empty]] = True
    return found
