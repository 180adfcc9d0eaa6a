"""What a trial leaves beside its rows: predictions of its test part, and a learner on request.

`<part>.predictions.safetensors` holds for every key which test instances were right at every
checkpoint, and the logits of the chosen one; weights are kept as in `trials.kept`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mglib import paths
from mglib.arrays import about_arrays, load_arrays, save_arrays
from mglib.errors import MglibError
from mglib.registry import algorithms
from mglib.rows import part_path
from mglib.trials.algorithm import Algorithm, Task, stack_hparams
from mglib.trials.engine import Training
from mglib.trials.kept import BENCHMARK, Kept, write_weights
from mglib.trials.sampling import initial_streams
from mglib.trials.trial import Trial

PREDICTIONS = ".predictions.safetensors"


@dataclass(frozen=True)
class Predictions:
    """What a trial said of its test part: P instances (places in the dataset), their groups [P],

    `hits` [K, E, P] at the checkpoints `steps` on the modalities `evaluate`, and `logits` [E, P, C]
    at the step `chosen` (the best validation accuracy over the training modalities; None if the
    trial diverged before its first checkpoint).
    """

    instances: np.ndarray
    groups: np.ndarray
    steps: tuple[int, ...]
    evaluate: tuple[str, ...]
    hits: np.ndarray
    chosen: int | None
    logits: np.ndarray


def write_artifacts(experiment: str, training: Training) -> None:
    """Write predictions, and the weights that a stack kept, beside the place of its rows."""
    arrays: dict[str, np.ndarray] = {}
    about: dict[str, Any] = {}
    bank = training.bank
    for trial, found in zip(training.trials, training.found, strict=True):
        if trial.splits != "disjoint":
            continue  # each modality has other instances there; only rows are kept
        test = bank.splits[trial.split_seed]["test"]
        split = f"split{trial.split_seed}"
        arrays[f"{split}.instances"] = test.astype(np.int32)
        arrays[f"{split}.groups"] = bank.groups[test].astype(np.int32)
        arrays[f"{trial.key}.hits"] = np.packbits(found.hits, axis=-1)
        arrays[f"{trial.key}.logits"] = found.logits
        about[trial.key] = {
            "split": split,
            "steps": trial.checkpoints,
            "evaluate": trial.evaluate,
            "chosen": trial.checkpoints[found.chosen] if found.chosen >= 0 else None,
        }
    keys = [trial.key for trial in training.trials]
    save_arrays(part_path(experiment, keys).with_suffix(PREDICTIONS), arrays, about)
    task = training.model.task
    more = {"features": task.features, "classes": task.classes}
    write_weights(experiment, training, BENCHMARK, [more] * len(keys))


def read_predictions(experiment: str, keys: Collection[str]) -> dict[str, Predictions]:
    """Predictions by key, of those keys that have some; raises MglibError for a damaged file."""
    found: dict[str, Predictions] = {}
    for path in sorted((paths.rows() / experiment).glob(f"*{PREDICTIONS}")):
        about = about_arrays(path)
        wanted = set(about) & set(keys) - set(found)
        arrays = load_arrays(path) if wanted else {}
        for key in wanted:
            own = about[key]
            instances = arrays[f"{own['split']}.instances"]
            found[key] = Predictions(
                instances,
                arrays[f"{own['split']}.groups"],
                tuple(own["steps"]),
                tuple(own["evaluate"]),
                np.unpackbits(arrays[f"{key}.hits"], axis=-1, count=len(instances)).astype(bool),
                own["chosen"],
                arrays[f"{key}.logits"],
            )
    return found


@dataclass(frozen=True)
class Learner:
    """A trained learner: the trial it is the answer to, and the model of that one trial."""

    trial: Trial
    model: Algorithm

    def predict(self, x: np.ndarray | torch.Tensor) -> np.ndarray:
        """Logits [N, C] of features [N, D] of any one modality, as the learner's perceptor makes.

        Raises MglibError for another width.
        """
        rows = torch.as_tensor(x, dtype=torch.float32)
        width = self.model.task.features
        if rows.ndim != 2 or rows.shape[1] != width:
            raise MglibError(f"features must be [N, {width}], not {list(rows.shape)}")
        with torch.no_grad():
            return self.model.predict(rows[None])[0].numpy()


def load_learner(kept: Kept) -> Learner:
    """The learner of kept weights; raises MglibError if another version made them."""
    trial = kept.question(Trial)
    classes = kept.about["classes"]
    task = Task(kept.about["features"], classes, len(trial.train), torch.zeros(1, classes))
    model = algorithms.get(trial.algorithm)(
        task, stack_hparams([trial.values]), initial_streams([trial]), trial.variant
    )
    weights = kept.weights()
    model.load_state_dict({name: weights[name][None] for name in model.state_dict()})
    return Learner(trial, model)
