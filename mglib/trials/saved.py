"""The saved state of a running stack: a kill costs the steps since the last save, nothing else.

Beside the rows of the experiment stand `<name>.state.json` and the tensors that it names with their
sha256. Any part of a saved stack can be resumed: a trial's state does not hang on its company.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from mglib import paths
from mglib.questions import pack
from mglib.rows import part_path
from mglib.trials.trainer import InTraining

SECONDS = 60.0  # between two saves of a stack: what a kill costs at most
ENDING = ".state.json"
Code = Sequence[Sequence[str]]  # (part, digest) of what computes a stack


@dataclass(frozen=True)
class Saved:
    """What `<name>.state.json` says: which trials, how far, and where their tensors are."""

    keys: list[str]
    alive: list[int]
    step: int
    chosen: list[int]
    score: list[float]
    weights: bool
    seconds: float
    file: str
    sha256: str
    code: list[list[str]]
    questions: dict[str, Any]


def _head(experiment: str, keys: Sequence[str]) -> Path:
    return part_path(experiment, keys).with_suffix(ENDING)


def save_state(
    experiment: str, training: InTraining, seconds: float = 0.0, code: Code = ()
) -> None:
    """Save a stack between two steps, replacing its last state.

    `seconds` it took so far; `code` are the digests of what computes it.
    """
    keys = [trial.key for trial in training.trials]
    head = _head(experiment, keys)
    tensors = {f"moving.{name}": value for name, value in training.moving().items()}
    tensors |= {f"weights.{name}": value for name, value in training.weights.items()}
    for number, found in enumerate(training.found):
        for name, array in found.arrays().items():
            tensors[f"{name}.{number}"] = torch.from_numpy(array)
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    saved = Saved(
        keys=keys,
        alive=training.alive,
        step=training.step,
        chosen=[found.chosen for found in training.found],
        # JSON has no infinity.
        score=[min(max(found.score, -2.0), 2.0) for found in training.found],
        weights=bool(training.weights),
        seconds=seconds,
        file=f"{head.name.removesuffix(ENDING)}.step{training.step}.state.safetensors",
        sha256=hashlib.sha256(content).hexdigest(),
        code=[[*part] for part in code],
        questions=pack({trial.key: trial.identity for trial in training.trials}),
    )
    with paths.writing(head, "MGLIB_ROWS"):
        paths.replace(head.with_name(saved.file), content)
        paths.replace(head, json.dumps(asdict(saved)) + "\n")
    _remove_tensors(head, saved.file)


def _remove_tensors(head: Path, but: str = "") -> None:
    stem = head.name.removesuffix(ENDING)
    for old in head.parent.glob(f"{stem}.step*.state.safetensors"):
        if old.name != but:
            old.unlink(missing_ok=True)


def remove_state(experiment: str, keys: Sequence[str]) -> None:
    """Remove the saved state of a stack, if there is one."""
    head = _head(experiment, keys)
    head.unlink(missing_ok=True)
    _remove_tensors(head)


def remove_finished(experiment: str, finished: set[str]) -> None:
    """Remove the saved states of which every trial has its rows."""
    for keys in saved_stacks(experiment):
        if finished.issuperset(keys):
            remove_state(experiment, keys)


def saved_stacks(experiment: str) -> list[list[str]]:
    """The keys of each stack that has a saved state, the furthest first."""
    heads = sorted((paths.rows() / experiment).glob(f"*{ENDING}"))
    found = [saved for head in heads if (saved := _read(head)) is not None]
    return [saved.keys for saved in sorted(found, key=lambda saved: -saved.step)]


def _read(head: Path) -> Saved | None:
    try:
        return Saved(**json.loads(head.read_text(encoding="utf-8")))
    except FileNotFoundError:  # another run has just finished it
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError):
        _forget(head)
        return None


def _forget(head: Path, what: str = "damaged saved state") -> None:
    print(f"mglib: {what} {head}; its trials start anew", file=sys.stderr)
    head.unlink(missing_ok=True)
    _remove_tensors(head)


def resume_state(
    experiment: str, keys: Sequence[str], training: InTraining, code: Code = ()
) -> float:
    """Bring a new stack of trials, or of some of them, to where the stack of these keys was saved.

    Returns the seconds that it took to get there. Without a saved state, with a damaged one, or
    with one that other code made, the trials start at the beginning.
    """
    head = _head(experiment, keys)
    saved = _read(head)
    if saved is None or bool(training.weights) > saved.weights:
        return 0.0
    if saved.code != [[*part] for part in code]:
        _forget(head, "saved state by other code")
        return 0.0
    try:
        content = head.with_name(saved.file).read_bytes()
    except FileNotFoundError:
        _forget(head)
        return 0.0
    if hashlib.sha256(content).hexdigest() != saved.sha256:
        _forget(head)
        return 0.0
    tensors = load(content)
    places = [saved.keys.index(trial.key) for trial in training.trials]
    for found, place in zip(training.found, places, strict=True):
        found.chosen, found.score = saved.chosen[place], saved.score[place]
        found.restore({name: tensors[f"{name}.{place}"].numpy() for name in found.arrays()})
    for name in training.weights:
        training.weights[name].copy_(tensors[f"weights.{name}"][places])
    alive = [number for number, place in enumerate(places) if place in saved.alive]
    at = [saved.alive.index(places[number]) for number in alive]
    training.resume(saved.step, alive, _part(tensors, "moving.", at))
    return saved.seconds


def _part(tensors: dict[str, Tensor], prefix: str, places: list[int]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): tensor[places]
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
