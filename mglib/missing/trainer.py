"""Trials with missing modalities under the run loop: the same rows, states and workers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mglib import paths
from mglib.arrays import about_arrays, load_arrays, save_arrays
from mglib.features import recipe, state
from mglib.missing.bank import load_bank
from mglib.missing.kept import keep_fusions
from mglib.missing.measuring import metrics_of
from mglib.missing.training import MissingTraining, build
from mglib.missing.trial import MissingTrial
from mglib.perceptors.prepare import prepare
from mglib.registry import datasets, perceptors
from mglib.rows import part_path
from mglib.trials.stacked import check_sources
from mglib.trials.trainer import Trainer

ANSWERS = ".missing.safetensors"


class Fused(Trainer):
    """Trains any number of fusion models of equal shapes as one stack."""

    def check(self, trials: Sequence[MissingTrial]) -> None:
        """Prepare what is fitted, and views of what is there, such as pictures.

        Raises MglibError for other features that are missing, or damaged.
        """
        asked = {
            (datasets.get(t.dataset).features_of or t.dataset, t.perceptor, m, t.split_seed)
            for t in trials
            for m in t.modalities
        }
        views = {own[:3] for own in asked if not perceptors.get(own[1]).fitted}
        for dataset, name, modality in sorted(views):
            if not ready(dataset, name, modality) and is_view(dataset, name, modality):
                prepare(dataset, [name], [modality])
        check_sources(asked)

    def weight_bytes(self, trial: MissingTrial) -> int:
        """Bytes of one trial's weights."""
        model = build([trial], load_bank([trial]))
        return sum(p.numel() * p.element_size() for p in model.state_dict().values())

    def shared_splits(self, trials: Sequence[MissingTrial]) -> dict[object, tuple[int, ...]]:
        """None: a stack reads the splits of its own trials."""
        return {}

    def begin(
        self,
        trials: Sequence[MissingTrial],
        device: str,
        split_seeds: Sequence[int],
        weights: bool,
    ) -> MissingTraining:
        """A new stack at its first step."""
        return MissingTraining(trials, load_bank(trials, device), weights)

    def write(self, experiment: str, training: MissingTraining) -> None:
        """Write the answers to the test part under every observed subset, and what was kept."""
        keys = [trial.key for trial in training.trials]
        arrays, about = {}, {}
        for trial, own, shown in zip(
            training.trials, training.bank.paired, training.found, strict=True
        ):
            arrays[f"{trial.key}.answers"] = shown.answers.astype(np.float16)
            arrays[f"{trial.key}.truth"] = own.answers[own.parts["test"]]
            about[trial.key] = {
                "chosen": trial.checkpoints[shown.chosen] if shown.chosen >= 0 else None,
                "metrics": metrics_of(training.bank.classes),
            }
        save_arrays(part_path(experiment, keys).with_suffix(ANSWERS), arrays, about)
        keep_fusions(experiment, training)


FUSED = Fused()


def is_view(dataset: str, perceptor: str, modality: str) -> bool:
    """Whether features that are not fitted need nothing but what is prepared already."""
    data, sense = datasets.get(dataset)(), perceptors.get(perceptor)()
    if perceptor == "raw" or sense.carriers(data, modality):
        return False
    return all(
        ready(dataset, name, m) or is_view(dataset, name, m)
        for name, m in sense.inputs(data, modality)
    )


def ready(dataset: str, perceptor: str, modality: str) -> bool:
    """Whether features that are not fitted are prepared."""
    return state(recipe(dataset, perceptor, modality, None)) == "ready"


@dataclass(frozen=True)
class Said:
    """What a trial said of its test part: answers [S, P, C] under each subset, truth [P]."""

    answers: np.ndarray
    truth: np.ndarray
    chosen: int | None


def read_said(experiment: str, keys: Collection[str]) -> dict[str, Said]:
    """Answers by key, of those keys that have some; raises MglibError for a damaged file."""
    found: dict[str, Said] = {}
    for path in sorted((paths.rows() / experiment).glob(f"*{ANSWERS}")):
        about = about_arrays(path)
        wanted = set(about) & set(keys) - set(found)
        arrays = load_arrays(path) if wanted else {}
        for key in wanted:
            found[key] = Said(
                arrays[f"{key}.answers"].astype(np.float32),
                arrays[f"{key}.truth"],
                about[key]["chosen"],
            )
    return found
