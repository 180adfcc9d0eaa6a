"""A made-up world with a known answer, small enough to train on in a second."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from mglib.data.splits import split_indices
from mglib.registry import algorithms
from mglib.trials.bank import FeatureBank
from mglib.trials.hyperparameters import draw_hparams
from mglib.trials.trial import Trial

MODALITIES = ("art", "glyph", "speech", "text")


def make_bank(
    width: int = 16,
    instances: int = 300,
    classes: int = 4,
    noise: float = 0.3,
    split_seeds: tuple[int, ...] = (0, 1),
) -> FeatureBank:
    """Class centres plus noise, the same centres in every modality: separable and transferable."""
    random = np.random.RandomState(0)
    labels = np.arange(instances) % classes
    centres = random.randn(classes, width)
    values = centres[labels] + noise * random.randn(len(MODALITIES), instances, width)
    return FeatureBank(
        values=torch.from_numpy(values.astype(np.float32)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        classes=classes,
        block={(m, s): i for i, m in enumerate(MODALITIES) for s in split_seeds},
        splits={s: split_indices(np.arange(instances), s) for s in split_seeds},
    )


def make_trial(
    algorithm: str = "erm",
    *,
    seed: int = 0,
    split_seed: int = 0,
    steps: int = 20,
    train: tuple[str, ...] = MODALITIES[:3],
    every: int | None = None,
    **hparams: float,
) -> Trial:
    """A trial on the made-up world (its dataset's name is only a name here)."""
    values = draw_hparams(algorithms.get(algorithm).search, 0, seed)
    values.update(
        {k: v for k, v in {"lr": 1e-3, "batch_size": 8, **hparams}.items() if k in values}
    )
    return Trial(
        "emoji_concepts",
        "bound",
        algorithm,
        "corrected",
        train,
        MODALITIES,
        seed,
        split_seed,
        0,
        steps,
        every or steps,
        json.dumps(values, sort_keys=True),
    )


def values_of(rows: list[dict[str, Any]], key: str) -> list[Any]:
    """What a trial's rows say, in order."""
    return [
        (r["step"], r["modality"], r["split"], r["metric"], r["value"], r["status"])
        for r in rows
        if r["key"] == key
    ]
