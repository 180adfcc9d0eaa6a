"""Transfer trials under the benchmark's run loop: the same rows, states and workers, at T = 1."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mglib import paths
from mglib.arrays import about_arrays, load_arrays, save_arrays
from mglib.features import load_features, recipe, state
from mglib.perceptors.prepare import prepare
from mglib.registry import datasets
from mglib.rows import part_path
from mglib.transfer.kept import keep_body
from mglib.transfer.named import body_named
from mglib.transfer.training import TransferTraining
from mglib.transfer.trial import TransferTrial
from mglib.trials.trainer import Trainer

ANSWERS = ".answers.safetensors"
LARGE = 2**30  # a body is never stacked, whatever it weighs


class OneBody(Trainer):
    """Trains one body at a time, in as many processes as there are cores."""

    def check(self, trials: Sequence[TransferTrial]) -> None:
        """Make pictures of raw data that is there, and generated data; else raise MglibError."""
        asked = {(t.dataset, t.perceptor, t.modality) for t in trials}
        for question in sorted(asked | {body_named(t.body).source for t in trials}):
            if state(recipe(*question, None)) != "ready":
                make(*question)

    def weight_bytes(self, trial: TransferTrial) -> int:
        """So many that no two of them are stacked."""
        return LARGE

    def shared_splits(self, trials: Sequence[TransferTrial]) -> dict[object, tuple[int, ...]]:
        """None: a target is read for each trial."""
        return {}

    def begin(
        self,
        trials: Sequence[TransferTrial],
        device: str,
        split_seeds: Sequence[int],
        weights: bool,
    ) -> TransferTraining:
        """One trial at its first step."""
        (trial,) = trials
        return TransferTraining(trial, device, weights)

    def write(self, experiment: str, training: TransferTraining) -> None:
        """Write the test instances that were missed, the source's features, and what was kept."""
        trial, shown = training.trial, training.found[0]
        test = training.source.parts["test"]
        save_arrays(
            part_path(experiment, [trial.key]).with_suffix(ANSWERS),
            {
                "misses": shown.misses,
                "instances": training.target.parts["test"].astype(np.int32),
                "before": training.before["test"].astype(np.float16),
                "after": shown.features,
                "labels": training.source.labels.numpy()[test].astype(np.int32),
                "groups": training.source.groups[test].astype(np.int32),
            },
            {trial.key: {"chosen": trial.checkpoints[shown.chosen] if shown.chosen >= 0 else None}},
        )
        keep_body(experiment, training)


ONE_BODY = OneBody()


def make(dataset: str, perceptor: str, modality: str) -> None:
    """Prepare what needs nothing to be fetched: views of raw data that is there, generated fields.

    Raises MglibError, which names the command, for all else that is missing or damaged.
    """
    raw = recipe(dataset, "raw", modality, None)
    if not datasets.get(dataset).CARRIERS or (perceptor != "raw" and state(raw) == "ready"):
        prepare(dataset, [perceptor], [modality])
    load_features(dataset, perceptor, modality)


@dataclass(frozen=True)
class Answers:
    """What a transfer trial left: misses [P] of test instances, and the source's features [S, D].

    Those of the source's test part are from `before` training and from the last checkpoint
    measured; with classes `labels` [S] and `groups` [S].
    """

    instances: np.ndarray
    misses: np.ndarray
    before: np.ndarray
    after: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def read_answers(experiment: str, keys: Collection[str]) -> dict[str, Answers]:
    """Answers by key, of those keys that have some; raises MglibError for a damaged file."""
    found = {}
    for path in sorted((paths.rows() / experiment).glob(f"*{ANSWERS}")):
        for key in set(about_arrays(path)) & set(keys):
            own = load_arrays(path)
            found[key] = Answers(
                own["instances"],
                own["misses"],
                own["before"].astype(np.float32),
                own["after"].astype(np.float32),
                own["labels"],
                own["groups"],
            )
    return found
