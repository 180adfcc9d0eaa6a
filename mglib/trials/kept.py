"""Weights that were kept on request: beside the place of their rows, found by the key of a trial.

`<part>.weights.safetensors` holds the weights of every trial of a part at its chosen checkpoint,
and the question that each is the answer to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from mglib import paths
from mglib.arrays import about_arrays, load_arrays, save_arrays
from mglib.errors import MglibError, unknown_key
from mglib.rows import part_path
from mglib.trials.trainer import InTraining

WEIGHTS = ".weights.safetensors"
BENCHMARK = "benchmark"
Question = TypeVar("Question")


@dataclass(frozen=True)
class Kept:
    """What is kept under a key: the file, what it says of the key, and the weights themselves."""

    key: str
    path: Path
    about: Mapping[str, Any]

    @property
    def sort(self) -> str:
        """The sort of trial, which says how a learner is made of it."""
        return str(self.about.get("sort", BENCHMARK))

    def question(self, kind: type[Question]) -> Question:
        """The trial of the key, of a kind of trial.

        Raises MglibError if it diverged, or if another version of the code or data made it.
        """
        if self.about["diverged"]:
            raise MglibError(f"the learner of key {self.key} diverged before its first checkpoint")
        asked: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self.about["trial"].items()
        }
        try:
            trial: Any = kind(**asked)
            present = trial.key
        except (TypeError, MglibError) as error:
            raise MglibError(f"key {self.key} is of another version of mglib: {error}") from error
        if present != self.key:
            raise MglibError(
                f"the weights of key {self.key} were made by another version of the method, the "
                f"engine or the data; `mglib why {self.key}` says which"
            )
        found: Question = trial
        return found

    def weights(self) -> dict[str, Tensor]:
        """The weights, and what is beside them, by name; raises MglibError for a damaged file."""
        prefix = f"{self.key}."
        return {
            name.removeprefix(prefix): torch.from_numpy(array)
            for name, array in load_arrays(self.path).items()
            if name.startswith(prefix)
        }


def write_weights(
    experiment: str,
    training: InTraining,
    sort: str,
    about: Sequence[Mapping[str, Any]],
    beside: Sequence[Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Write the weights that some trials kept, if they did.

    `about` says more of each trial, `beside` holds further arrays of it, by names of their own.
    """
    if not training.weights:
        return
    arrays: dict[str, np.ndarray] = {}
    told = {}
    for place, (trial, found, more) in enumerate(
        zip(training.trials, training.found, about, strict=True)
    ):
        diverged = found.chosen < 0
        told[trial.key] = {"sort": sort, "trial": asdict(trial), "diverged": diverged, **more}
        own = {name: value[place].cpu().numpy() for name, value in training.weights.items()}
        own |= beside[place] if beside else {}
        for name, value in () if diverged else own.items():
            arrays[f"{trial.key}.{name}"] = value
    keys = [trial.key for trial in training.trials]
    save_arrays(part_path(experiment, keys).with_suffix(WEIGHTS), arrays, told)


def _files(experiment: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each file of weights of an experiment with what it says of its keys."""
    for path in sorted((paths.rows() / experiment).glob(f"*{WEIGHTS}")):
        yield path, about_arrays(path)


def with_weights(experiment: str) -> set[str]:
    """The keys of an experiment whose weights are kept, or known to have diverged."""
    return {key for _, about in _files(experiment) for key in about}


def find_kept(key: str) -> Kept:
    """What is kept under a key, or under an unambiguous beginning of one.

    Raises MglibError if there is nothing, or more than one.
    """
    known: dict[str, Kept] = {}
    for experiment in sorted(folder.name for folder in paths.rows().glob("*") if folder.is_dir()):
        for path, about in _files(experiment):
            known |= {name: Kept(name, path, own) for name, own in about.items()}
    fitting = [name for name in known if name.startswith(key)] if key else []
    if len(fitting) == 1:
        return known[fitting[0]]
    if fitting:
        raise MglibError(f"key '{key}' begins {len(fitting)} keys: {', '.join(fitting[:5])}")
    raise MglibError(
        f"{unknown_key('kept weights under key', key, known)}; run with the notebook's parameter "
        "`weights` set to true to keep them"
    )
