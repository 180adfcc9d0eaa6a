"""Minibatch indices: each trial draws from streams of its own seed, so company changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mglib.trials.hyperparameters import seed_hash
from mglib.trials.trial import Trial

# Steps drawn at once; part of the engine's version because the streams are cut at its multiples.
BLOCK = 100


def initial_streams(trials: Sequence[Trial]) -> list[torch.Generator]:
    """The stream that draws each trial's initial weights; it hangs on seed and split alone."""
    return [
        torch.Generator().manual_seed(seed_hash("weights", t.seed, t.split_seed)) for t in trials
    ]


def minibatches(
    trials: Sequence[Trial],
    pools: Sequence[np.ndarray],
    modalities: int,
    rows: int,
    steps: int,
    aligned: bool,
    start: int = 0,
) -> Iterator[Tensor]:
    """Instance indices [T, M, B] of steps `start` to `steps`, uniform with replacement.

    Each trial draws from its pool of instances; `aligned` gives every modality the same instances.
    """
    columns = 1 if aligned else modalities
    for first in range(start - start % BLOCK, steps, BLOCK):
        drawn = []
        for trial, pool in zip(trials, pools, strict=True):
            seed = seed_hash("minibatches", trial.seed, trial.split_seed, first)
            positions = torch.randint(
                len(pool), (BLOCK, columns, rows), generator=torch.Generator().manual_seed(seed)
            )
            drawn.append(torch.from_numpy(pool)[positions])
        block = torch.stack(drawn, 1).expand(-1, -1, modalities, -1)
        for step in range(max(first, start), min(first + BLOCK, steps)):
            yield block[step - first]
