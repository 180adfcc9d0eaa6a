"""Minibatches: each trial draws from streams of its own seed, so company changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mglib.trials.algorithm import Algorithm
from mglib.trials.hyperparameters import seed_hash
from mglib.trials.networks import rung
from mglib.trials.trial import Trial

# Steps drawn at once; part of the engine's version because the streams are cut at its multiples.
BLOCK = 100


@dataclass(frozen=True)
class Draw:
    """What one step of a stack draws: instance indices [T, M, B] and noise, each [T, ...]."""

    step: int
    index: Tensor
    noise: dict[str, Tensor]


def initial_streams(trials: Sequence[Trial]) -> list[torch.Generator]:
    """The stream that draws each trial's initial weights; it hangs on seed and split alone."""
    return [
        torch.Generator().manual_seed(seed_hash("weights", t.seed, t.split_seed)) for t in trials
    ]


def rows_in_use(trials: Sequence[Trial]) -> Tensor:
    """Which rows [T, 1, B] of the padded minibatches count: 1, and 0 for padding."""
    sizes = [t.rows for t in trials]
    places = torch.arange(rung(max(sizes)))
    return (places < torch.tensor(sizes)[:, None]).float()[:, None]


def minibatches(
    method: type[Algorithm],
    trials: Sequence[Trial],
    pools: Sequence[np.ndarray],
    steps: int,
    start: int = 0,
) -> Iterator[Draw]:
    """The draws of steps `start` + 1 to `steps`: instances uniform with replacement, and noise.

    Each trial draws its own number of rows from its pools [M, P] (or one [P]) of instances, padded
    to a `rung`; an aligned method gets the same instances in every modality.
    """
    modalities = len(trials[0].train)
    columns = 1 if method.aligned else modalities
    rows = rows_in_use(trials).shape[-1]
    for first in range(start - start % BLOCK, steps, BLOCK):
        drawn, noises = [], []
        for trial, pool in zip(trials, map(np.atleast_2d, pools), strict=True):
            own = trial.rows
            seed = seed_hash("minibatches", trial.seed, trial.split_seed, first)
            positions = torch.randint(
                pool.shape[-1], (BLOCK, columns, own), generator=torch.Generator().manual_seed(seed)
            )
            # Padding repeats an instance of the pool; its weight is zero.
            padded = torch.nn.functional.pad(positions, (0, rows - own))
            column = torch.arange(columns)[:, None] % len(pool)
            drawn.append(torch.from_numpy(pool)[column, padded])
            random = np.random.default_rng(seed_hash("noise", trial.seed, trial.split_seed, first))
            noises.append(method.noise(random, trial.values, modalities, rows, BLOCK))
        block = torch.stack(drawn, 1).expand(-1, -1, modalities, -1)
        noise = {
            name: torch.from_numpy(np.stack([own[name] for own in noises], 1)) for name in noises[0]
        }
        for step in range(max(first, start), min(first + BLOCK, steps)):
            place = step - first
            yield Draw(
                step + 1, block[place], {name: values[place] for name, values in noise.items()}
            )
