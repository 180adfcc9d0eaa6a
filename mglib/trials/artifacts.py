"""What a trial leaves beside its rows: predictions of its test part, and weights on request.

`<part>.predictions.safetensors` holds for every key which test instances were right at every
checkpoint, and the logits of the chosen one; `<part>.weights.safetensors` the learner itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mglib import paths
from mglib.arrays import about_arrays, load_arrays, save_arrays
from mglib.errors import MglibError, unknown
from mglib.registry import algorithms
from mglib.rows import part_path
from mglib.trials.algorithm import Algorithm, Task, stack_hparams
from mglib.trials.engine import Training
from mglib.trials.sampling import initial_streams
from mglib.trials.trial import Trial

PREDICTIONS, WEIGHTS = ".predictions.safetensors", ".weights.safetensors"


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
    if training.weights:
        _write_weights(part_path(experiment, keys).with_suffix(WEIGHTS), training)


def _write_weights(path: Path, training: Training) -> None:
    learned, about = {}, {}
    task = training.model.task
    for place, (trial, found) in enumerate(zip(training.trials, training.found, strict=True)):
        diverged = found.chosen < 0
        about[trial.key] = {
            "trial": asdict(trial),
            "features": task.features,
            "classes": task.classes,
            "diverged": diverged,
        }
        if not diverged:
            for name, value in training.weights.items():
                learned[f"{trial.key}.{name}"] = value[place].cpu().numpy()
    save_arrays(path, learned, about)


def _files(experiment: str, ending: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each artifact file of an experiment with what it says of its keys."""
    for path in sorted((paths.rows() / experiment).glob(f"*{ending}")):
        if not path.name.startswith("."):
            yield path, about_arrays(path)


def with_weights(experiment: str) -> set[str]:
    """The keys of an experiment whose weights are kept, or known to have diverged."""
    return {key for _, about in _files(experiment, WEIGHTS) for key in about}


def read_predictions(experiment: str, keys: Collection[str]) -> dict[str, Predictions]:
    """Predictions by key, of those keys that have some; raises MglibError for a damaged file."""
    found: dict[str, Predictions] = {}
    for path, about in _files(experiment, PREDICTIONS):
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


def load_learner(key: str) -> Learner:
    """The learner of a key, or of an unambiguous beginning of one, with the weights it was kept at.

    Raises MglibError if no weights are kept under that key.
    """
    known: dict[str, tuple[Path, dict[str, Any]]] = {}
    experiments = sorted(folder.name for folder in paths.rows().glob("*") if folder.is_dir())
    for experiment in experiments:
        for path, about in _files(experiment, WEIGHTS):
            known |= {name: (path, own) for name, own in about.items()}
    fitting = [name for name in known if name.startswith(key)] if key else []
    if len(fitting) != 1:
        if fitting:
            raise MglibError(f"key '{key}' begins {len(fitting)} keys: {', '.join(fitting[:5])}")
        raise MglibError(
            f"{unknown('kept weights under key', key, known)}; run with the notebook's parameter "
            "`weights` set to true to keep them"
        )
    path, own = known[fitting[0]]
    asked: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in own["trial"].items()
    }
    if own["diverged"]:
        raise MglibError(f"the learner of key {fitting[0]} diverged before its first checkpoint")
    try:
        trial = Trial(**asked)
        present = trial.key
    except (TypeError, MglibError) as error:
        raise MglibError(f"key {fitting[0]} is of another version of mglib: {error}") from error
    if present != fitting[0]:
        raise MglibError(
            f"the weights of key {fitting[0]} were made by another version of the algorithm, the "
            f"engine or the data; `mglib why {fitting[0]}` says which"
        )
    counts = torch.zeros(1, own["classes"])
    task = Task(own["features"], own["classes"], len(trial.train), counts)
    model = algorithms.get(trial.algorithm)(
        task, stack_hparams([trial.values]), initial_streams([trial]), trial.variant
    )
    arrays = load_arrays(path)
    model.load_state_dict(
        {
            name: torch.from_numpy(arrays[f"{fitting[0]}.{name}"])[None]
            for name in model.state_dict()
        }
    )
    return Learner(trial, model)
