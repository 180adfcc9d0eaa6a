"""A made-up world with a known answer, small enough to train on in a second."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from mglib.data.splits import split_indices
from mglib.registry import algorithms
from mglib.trials.algorithm import Algorithm, Batch
from mglib.trials.bank import FeatureBank
from mglib.trials.engine import Training
from mglib.trials.hyperparameters import Pace, draw_hparams
from mglib.trials.sampling import minibatches, rows_in_use
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
        groups=np.arange(instances),
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
    variant: str = "corrected",
    hurried: bool = False,
    **hparams: float,
) -> Trial:
    """A trial on the made-up world (its dataset's name is only a name here).

    `hurried`: what begins after so many steps begins at the same share of `steps`, and every
    learning rate is `lr`.
    """
    search = algorithms.get(algorithm).search
    pace = Pace(iterations=steps / 5000) if hurried else Pace()
    values = draw_hparams(search, 0, seed, pace=pace)
    asked = {"lr": 1e-3, "batch_size": 8, **hparams}
    rates = [name for name, item in search.items() if item.role == "rate"] if hurried else []
    values.update(
        {**dict.fromkeys(rates, asked["lr"]), **{k: v for k, v in asked.items() if k in values}}
    )
    return Trial(
        "emoji_concepts",
        "bound",
        algorithm,
        variant,
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


def batch_of(bank: FeatureBank, trials: list[Trial], step: int = 1) -> Batch:
    """The minibatch that some trials of one stack are given at a step."""
    method = algorithms.get(trials[0].algorithm)
    pools = [bank.splits[t.split_seed]["train"] for t in trials]
    draw = next(iter(minibatches(method, trials, pools, step, step - 1)))
    blocks = torch.stack(
        [torch.tensor([bank.block[m, t.split_seed] for m in t.train]) for t in trials]
    )
    x, y = bank.values[blocks[:, :, None], draw.index], bank.labels[draw.index]
    return Batch(x, y, rows_in_use(trials), draw.step, draw.noise)


def accuracies_of(model: Algorithm, bank: FeatureBank, trial: Trial) -> list[dict[str, Any]]:
    """The rows of a model as it is, measured once."""
    training = Training([trial], bank)
    training.model.load_state_dict(model.state_dict())
    training.step = trial.checkpoints[0]
    training.measure_now()
    return [row for row in training.rows() if row["step"] == trial.checkpoints[0]]
