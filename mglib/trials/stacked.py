"""The benchmark's learners as a stack: what they need, what they weigh, how they begin."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch

from mglib.errors import MglibError
from mglib.features import feature_card, load_features, recipe, state
from mglib.registry import algorithms, datasets, perceptors
from mglib.trials.algorithm import Task, stack_hparams
from mglib.trials.artifacts import write_artifacts
from mglib.trials.bank import load_bank
from mglib.trials.engine import Training
from mglib.trials.sampling import initial_streams
from mglib.trials.trainer import Trainer
from mglib.trials.trial import Trial

BANK_MOST = 512 * 2**20  # bytes of features that a process keeps for stacks to come


class Stacked(Trainer):
    """Trains any number of trials of equal shapes as one stack."""

    def check(self, trials: Sequence[Trial]) -> None:
        """Prepare what is fitted; raises MglibError for features that are missing or damaged."""
        check_features(trials)

    def weight_bytes(self, trial: Trial) -> int:
        """Bytes of one trial's weights."""
        return weight_bytes(trial)

    def shared_splits(self, trials: Sequence[Trial]) -> dict[object, tuple[int, ...]]:
        """By dataset and perceptor, the splits that one reading of the features serves."""
        sources: dict[object, list[Trial]] = defaultdict(list)
        for trial in trials:
            sources[trial.source].append(trial)
        return {source: shared_splits(own) for source, own in sources.items()}

    def begin(
        self, trials: Sequence[Trial], device: str, split_seeds: Sequence[int], weights: bool
    ) -> Training:
        """A new stack at its first step."""
        return Training(trials, load_bank(trials, device, split_seeds), weights)

    def write(self, experiment: str, training: Training) -> None:
        """Write predictions, and weights if they were kept, beside the rows."""
        write_artifacts(experiment, training)


STACKED = Stacked()


def check_features(trials: Sequence[Trial]) -> None:
    """See to it before anything trains that the features are there; MglibError if they cannot be.

    What is fitted on a split (a common space) is computed here if it is missing or outdated and the
    features that it is computed from are prepared; those are made by `mglib prepare` alone.
    """
    check_sources(
        {
            (t.dataset, name, modality, t.split_seed)
            for t in trials
            for name in filter(None, (t.perceptor, t.unseen))
            for modality in (*t.train, *t.evaluate)
        }
    )


def check_sources(asked: Iterable[tuple[str, str, str, int]]) -> None:
    """The same for features named by dataset, perceptor, modality and split seed."""
    wanted = {
        (dataset, name, modality, split if perceptors.get(name).fitted else None)
        for dataset, name, modality, split in asked
    }
    lacking = [question for question in wanted if state(recipe(*question)) != "ready"]
    fitted: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    # The highest split first: the command that makes it makes the others, too.
    for question in sorted(lacking, key=lambda q: (-(q[3] or 0), q[:3])):
        if question[3] is None or not sources_ready(*question[:3]):
            load_features(*question)
        else:
            fitted[question[:3]].append(question[3])
    if fitted:
        from mglib.perceptors.prepare import prepare

        for (dataset, name, modality), seeds in sorted(fitted.items()):
            prepare(dataset, [name], [modality], sorted(seeds))


def sources_ready(dataset: str, perceptor: str, modality: str) -> bool:
    """Whether all that a fitted perceptor is computed from, but fits itself, is prepared."""
    data, pending, seen = datasets.get(dataset)(), [(perceptor, modality)], set()
    while pending:
        name, own = step = pending.pop()
        if step in seen:
            continue
        seen.add(step)
        sense = perceptors.get(name)
        if sense.fitted:
            pending += sense().inputs(data, own)
        elif state(recipe(dataset, name, own, None)) != "ready":
            return False
    return True


def weight_bytes(trial: Trial) -> int:
    """Bytes of one trial's weights, from its networks at the width of the prepared features."""
    fitted = perceptors.get(trial.perceptor).fitted
    card = feature_card(
        trial.dataset, trial.perceptor, trial.train[0], trial.split_seed if fitted else None
    )
    if len(card["shape"]) != 2:
        raise MglibError(
            f"learners take one vector per instance, but {trial.dataset}/{trial.perceptor}/"
            f"{trial.train[0]} has shape {card['shape']}; use another perceptor, such as 'bound'"
        )
    classes = len(card["class_names"][trial.target])
    task = Task(card["shape"][-1], classes, len(trial.train), torch.zeros(1, classes))
    model = algorithms.get(trial.algorithm)(
        task, stack_hparams([trial.values]), initial_streams([trial]), trial.variant
    )
    return sum(p.numel() * p.element_size() for p in model.state_dict().values())


def shared_splits(trials: Sequence[Trial]) -> tuple[int, ...]:
    """The splits of some trials of one dataset, if their features fit into `BANK_MOST` bytes."""
    seeds = sorted({t.split_seed for t in trials})
    first = trials[0]
    fitted = perceptors.get(first.perceptor).fitted
    card = feature_card(
        first.dataset, first.perceptor, first.train[0], seeds[0] if fitted else None
    )
    modalities = {m for t in trials for m in (*t.train, *t.evaluate)}
    size = 4 * math.prod(card["shape"]) * len(modalities) * (len(seeds) if fitted else 1)
    size *= 2 if first.unseen else 1
    return tuple(seeds) if size <= BANK_MOST else ()
