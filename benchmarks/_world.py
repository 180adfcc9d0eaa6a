"""Made-up features of real size, in a cache of their own, and the trials that are trained on them.

The one place where the benchmarks touch the engine.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mglib import paths
from mglib.features import FeatureSet, recipe, save_features
from mglib.trials import Trial, make_trials, run_trials
from mglib.trials.bank import FeatureBank, load_bank

DATASET, PERCEPTOR = "emoji_concepts", "bound"  # whose place in the store the features take
MODALITIES = ("art", "glyph", "speech", "text")
INSTANCES, CLASSES = 1629, 8
SPLITS = 4  # as in a real run, the trials of a stack stand on different splits
EXPERIMENT = "benchmark"


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for a while, for this process and its workers."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def made_up(width: int, instances: int = INSTANCES) -> Iterator[None]:
    """A cache with Gaussian features around class centres for every modality and split."""
    random = np.random.RandomState(0)
    labels = np.arange(instances) % CLASSES
    centres = random.randn(CLASSES, width)
    with tempfile.TemporaryDirectory() as folder, environment(MGLIB_CACHE=folder):
        for modality in MODALITIES:
            for split in range(SPLITS):
                values = centres[labels] + 2.0 * random.randn(instances, width)
                features = FeatureSet(
                    values.astype(np.float32),
                    None,
                    {"class": labels.astype(np.int64)},
                    [str(number) for number in range(instances)],
                    np.arange(instances),
                    {"class_names": {"class": [f"class {c}" for c in range(CLASSES)]}},
                )
                save_features(recipe(DATASET, PERCEPTOR, modality, split), features)
        yield


def trials_of(number: int, steps: int, every: int, drawn: bool = False) -> list[Trial]:
    """ERM trials over the splits in turn; `drawn`: each with a random draw of its own."""
    common = {
        "dataset": DATASET,
        "perceptor": PERCEPTOR,
        "algorithm": "erm",
        "train": [MODALITIES[:3]],
        "evaluate": MODALITIES,
        "steps": steps,
        "every": every,
    }
    trials: list[Trial] = []
    for split in range(min(SPLITS, number)):
        own = range(split, number, SPLITS)
        which = (
            {"draws": [1 + n for n in own], "seeds": [0]} if drawn else {"seeds": [n for n in own]}
        )
        trials += make_trials(split_seeds=[split], **common, **which)
    return trials


def bank_of(trials: list[Trial]) -> FeatureBank:
    """What the trials need, in memory."""
    return load_bank(trials)


def engine_seconds(trials: list[Trial], workers: int) -> tuple[float, float]:
    """Train through `run_trials`: seconds at work, and seconds of it all with start-up.

    At work: reading the features, building, training, measuring, as the records of the parts say,
    spread evenly over the workers (or the longest part, if that is more).
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        environment(MGLIB_ROWS=folder, MGLIB_PROGRESS="off"),
    ):
        start = time.perf_counter()
        run_trials(EXPERIMENT, "benchmark", trials, profile="quick", device="cpu", workers=workers)
        whole = time.perf_counter() - start
        parts = [
            json.loads(record.read_text(encoding="utf-8"))["wall_seconds"]
            for record in (paths.rows() / EXPERIMENT).glob("*.json")
        ]
    return max(sum(parts) / workers, max(parts)), whole


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many threads of torch for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
