"""What a trial leaves beside its rows: predictions of its test part, and weights on request.

`<part>.predictions.safetensors` holds for every key which test instances were right at every
checkpoint, and the logits of the chosen one; `<part>.weights.safetensors` the learner itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mglib import paths
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
    at the step `chosen` (the best validation accuracy over the training modalities).
    """

    instances: np.ndarray
    groups: np.ndarray
    steps: tuple[int, ...]
    evaluate: tuple[str, ...]
    hits: np.ndarray
    chosen: int
    logits: np.ndarray


def write_artifacts(experiment: str, training: Training) -> None:
    """Write predictions, and the weights that a stack kept, beside the place of its rows."""
    tensors: dict[str, np.ndarray] = {}
    about: dict[str, Any] = {}
    bank = training.bank
    for trial, found in zip(training.trials, training.found, strict=True):
        test = bank.splits[trial.split_seed]["test"]
        split = f"split{trial.split_seed}"
        tensors[f"{split}.instances"] = test.astype(np.int32)
        tensors[f"{split}.groups"] = bank.groups[test].astype(np.int32)
        tensors[f"{trial.key}.hits"] = np.packbits(found.hits, axis=-1)
        tensors[f"{trial.key}.logits"] = found.logits
        about[trial.key] = {
            "split": split,
            "steps": trial.checkpoints,
            "evaluate": trial.evaluate,
            "chosen": trial.checkpoints[found.chosen],
        }
    keys = [trial.key for trial in training.trials]
    _write(part_path(experiment, keys).with_suffix(PREDICTIONS), tensors, about)
    if training.weights:
        learned = {
            f"{key}.{name}": value[place].cpu().numpy()
            for place, key in enumerate(keys)
            for name, value in training.weights.items()
        }
        task = training.model.task
        models = {
            trial.key: {
                "trial": asdict(trial),
                "features": task.features,
                "classes": task.classes,
            }
            for trial in training.trials
        }
        _write(part_path(experiment, keys).with_suffix(WEIGHTS), learned, models)


def _write(path: Path, tensors: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    content = save(
        {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
        {"keys": json.dumps(about)},
    )
    with paths.writing(path, "MGLIB_ROWS"):
        paths.replace(path, content)


def _files(experiment: str, ending: str) -> Iterator[tuple[Path, Any, dict[str, Any]]]:
    """Each artifact file of an experiment, opened, with what it says of its keys."""
    for path in sorted((paths.rows() / experiment).glob(f"*{ending}")):
        if not path.name.startswith("."):
            try:
                with safe_open(path, "np") as file:
                    yield path, file, json.loads(file.metadata()["keys"])
            except (SafetensorError, OSError) as error:
                raise MglibError(
                    f"damaged artifact {path}: {error}; delete the part "
                    f"{path.name.removesuffix(ending)}.* and run again"
                ) from error


def with_weights(experiment: str) -> set[str]:
    """The keys of an experiment whose weights are kept."""
    return {key for _, _, about in _files(experiment, WEIGHTS) for key in about}


def read_predictions(experiment: str, keys: Collection[str]) -> dict[str, Predictions]:
    """Predictions by key, of those keys that have some."""
    found: dict[str, Predictions] = {}
    for _, file, about in _files(experiment, PREDICTIONS):
        for key in set(about) & set(keys) - set(found):
            own = about[key]
            instances = file.get_tensor(f"{own['split']}.instances")
            found[key] = Predictions(
                instances,
                file.get_tensor(f"{own['split']}.groups"),
                tuple(own["steps"]),
                tuple(own["evaluate"]),
                np.unpackbits(file.get_tensor(f"{key}.hits"), axis=-1, count=len(instances)).astype(
                    bool
                ),
                own["chosen"],
                file.get_tensor(f"{key}.logits"),
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
        for path, _, about in _files(experiment, WEIGHTS):
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
    trial = Trial(**asked)
    counts = torch.zeros(1, own["classes"])
    task = Task(own["features"], own["classes"], len(trial.train), counts)
    model = algorithms.get(trial.algorithm)(
        task, stack_hparams([trial.values]), initial_streams([trial]), trial.variant
    )
    with safe_open(path, "pt") as file:
        model.load_state_dict(
            {name: file.get_tensor(f"{fitting[0]}.{name}")[None] for name in model.state_dict()}
        )
    return Learner(trial, model)
