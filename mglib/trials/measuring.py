"""What is measured at a checkpoint: which instances are right, and accuracies by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mglib.trials.algorithm import Algorithm
from mglib.trials.bank import EVALUATED, FeatureBank
from mglib.trials.trial import Trial

METRICS = ("accuracy", "balanced_accuracy")
# Rows of one evaluation pass; fixed, so that no prediction hangs on what is beside it.
EVALUATION_ROWS = 256


def evaluated(bank: FeatureBank, trial: Trial) -> np.ndarray:
    """The instances that a trial is measured on, in order: all parts but the binding one."""
    return np.sort(np.concatenate([bank.splits[trial.split_seed][part] for part in EVALUATED]))


def predict(
    model: Algorithm,
    bank: FeatureBank,
    modality: str,
    trials: Sequence[Trial],
    instances: Sequence[np.ndarray],
) -> list[torch.Tensor]:
    """For each trial the logits [N, C] of some instances of one modality, on the CPU."""
    blocks = bank.blocks(modality, trials)[:, None]
    longest = max(len(own) for own in instances)
    padded = -(-longest // EVALUATION_ROWS) * EVALUATION_ROWS
    index = torch.stack([torch.from_numpy(np.resize(own, padded)) for own in instances])
    index = index.to(bank.values.device)
    with torch.no_grad():
        logits = torch.cat(
            [
                model.predict(bank.values[blocks, rows])
                for rows in index.split(EVALUATION_ROWS, dim=1)
            ],
            dim=1,
        ).cpu()
    return [own[: len(rows)] for own, rows in zip(logits, instances, strict=True)]


@dataclass
class Measurements:
    """What one trial has shown so far: K checkpoints, E evaluated modalities, P test instances.

    `values` [K, E, parts, metrics], NaN where diverged; `hits` [K, E, P] of the test part, False
    where diverged; `logits` [E, P, C] of the test part at the checkpoint `chosen`, the one that
    the training modalities' validation accuracy prefers (-1: none yet).
    """

    values: np.ndarray
    hits: np.ndarray
    logits: np.ndarray
    chosen: int = -1
    score: float = -np.inf

    @classmethod
    def empty(cls, trial: Trial, bank: FeatureBank) -> Measurements:
        """Room for all checkpoints of a trial, none taken yet."""
        checkpoints, modalities = len(trial.checkpoints), len(trial.evaluate)
        tested = len(bank.splits[trial.split_seed]["test"])
        return cls(
            np.full((checkpoints, modalities, len(EVALUATED), len(METRICS)), np.nan),
            np.zeros((checkpoints, modalities, tested), bool),
            np.full((modalities, tested, bank.classes), np.nan, np.float32),
        )


def measure(
    model: Algorithm,
    bank: FeatureBank,
    trials: Sequence[Trial],
    found: Sequence[Measurements],
    checkpoint: int,
) -> list[bool]:
    """Fill in one checkpoint of some trials; say for which it is the best so far."""
    labels = bank.labels.cpu().numpy()
    instances = [evaluated(bank, trial) for trial in trials]
    test_logits: list[list[np.ndarray]] = [[] for _ in trials]
    for number, modality in enumerate(trials[0].evaluate):
        logits = predict(model, bank, modality, trials, instances)
        for trial, own, rows, seen, kept in zip(
            trials, found, instances, logits, test_logits, strict=True
        ):
            sound = torch.isfinite(seen).all(-1).numpy()
            right = (seen.argmax(-1).numpy() == labels[rows]) & sound
            for part, name in enumerate(EVALUATED):
                place = np.searchsorted(rows, bank.splits[trial.split_seed][name])
                if sound[place].all():
                    own.values[checkpoint, number, part] = accuracies(
                        right[place], labels[rows[place]]
                    )
                if name == "test":
                    own.hits[checkpoint, number] = right[place]
                    kept.append(seen[torch.from_numpy(place)].numpy())
    better = []
    for trial, own, kept in zip(trials, found, test_logits, strict=True):
        score = validation_score(trial, own.values[checkpoint])
        better.append(own.chosen < 0 or score > own.score or score == np.inf)
        if better[-1]:
            own.chosen, own.score, own.logits = checkpoint, score, np.stack(kept)
    return better


def accuracies(right: np.ndarray, of: np.ndarray) -> tuple[float, float]:
    """The share of right answers [N] over instances of classes `of` [N], and over classes."""
    counts = np.bincount(of)
    recalls = np.bincount(of, weights=right)[counts > 0] / counts[counts > 0]
    return float(right.mean()), float(recalls.mean())


def validation_score(trial: Trial, values: np.ndarray) -> float:
    """Mean validation accuracy over the training modalities of one checkpoint's values; -1 if NaN.

    What the first selection rule compares within a trial. Infinite if no training modality is
    evaluated: then the last checkpoint is the choice.
    """
    own = [number for number, name in enumerate(trial.evaluate) if name in trial.train]
    scores = values[own, EVALUATED.index("validation"), METRICS.index("accuracy")]
    return float(np.where(np.isnan(scores), -1.0, scores).mean()) if own else np.inf


def rows_of(trial: Trial, bank: FeatureBank, found: Measurements) -> Iterator[dict[str, Any]]:
    """The rows of a finished trial: one for each checkpoint, modality, part and metric."""
    columns = trial.columns()
    sizes = {part: len(bank.splits[trial.split_seed][part]) for part in EVALUATED}
    for step, by_modality in zip(trial.checkpoints, found.values, strict=True):
        for modality, by_part in zip(trial.evaluate, by_modality, strict=True):
            for part, by_metric in zip(EVALUATED, by_part, strict=True):
                for metric, value in zip(METRICS, by_metric, strict=True):
                    sound = bool(np.isfinite(value))
                    yield {
                        **columns,
                        "step": step,
                        "modality": modality,
                        "split": part,
                        "metric": metric,
                        "value": float(value) if sound else None,
                        "n": sizes[part],
                        "status": "ok" if sound else "diverged",
                    }
