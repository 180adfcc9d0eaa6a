"""What is measured at a checkpoint: which instances are right, and accuracies by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


@dataclass(frozen=True)
class View:
    """One way of testing a trial: a modality alone, or a pattern of testing and its modalities."""

    modalities: tuple[str, ...]
    pattern: str | None = None

    @property
    def label(self) -> str:
        """What the column `modality` says."""
        return "+".join(self.modalities)


def views(trial: Trial) -> list[View]:
    """The ways in which a trial is tested: each evaluated modality alone, then its patterns."""
    found = [View((modality,)) for modality in trial.evaluate]
    for pattern in trial.patterns:
        if pattern == "by_slot":
            found += [View((modality,), pattern) for modality in trial.evaluate]
        else:
            found.append(View(trial.train if pattern == "seen" else trial.evaluate, pattern))
    return found


def evaluated(bank: FeatureBank, trial: Trial, modality: str) -> np.ndarray:
    """The instances that a trial is measured on, in order: all parts but the binding one."""
    parts = bank.parts(trial, modality)
    return np.unique(np.concatenate([parts[part] for part in EVALUATED[trial.splits].names]))


def predict(
    model: Algorithm,
    bank: FeatureBank,
    of: Sequence[View],
    trials: Sequence[Trial],
    instances: Sequence[np.ndarray],
) -> list[torch.Tensor]:
    """For each trial the logits [N, C] of some instances under its own view, on the CPU."""
    device = bank.values.device
    pattern = of[0].pattern
    # [T, 1] for a modality alone, else [T, K, 1]: as many modalities as the view has
    blocks = torch.stack(
        [
            torch.cat([bank.blocks(m, [trial]) for m in view.modalities])
            for view, trial in zip(of, trials, strict=True)
        ]
    )
    slots = torch.tensor(
        [
            [trial.train.index(m) if m in trial.train else -1 for m in view.modalities]
            for view, trial in zip(of, trials, strict=True)
        ],
        device=device,
    )
    longest = max(len(own) for own in instances)
    padded = -(-longest // EVALUATION_ROWS) * EVALUATION_ROWS
    index = torch.stack([torch.from_numpy(np.resize(own, padded)) for own in instances])

    def of_rows(rows: torch.Tensor) -> torch.Tensor:
        if pattern in ("seen", "all"):
            x = bank.rows(blocks[:, :, None], rows[:, None])
            return model.predict_together(x, slots)
        x = bank.rows(blocks, rows)
        return model.predict_by_slot(x) if pattern == "by_slot" else model.predict(x)

    with torch.no_grad():
        logits = torch.cat(
            [of_rows(rows) for rows in index.to(device).split(EVALUATION_ROWS, dim=1)], dim=1
        ).cpu()
    return [own[: len(rows)] for own, rows in zip(logits, instances, strict=True)]


@dataclass
class Measurements:
    """What one trial has shown so far: K checkpoints, V views, E modalities, P reported instances.

    `values` [K, V, parts, metrics], NaN where diverged; of the modalities alone `hits` [K, E, P] of
    the reported part, False where diverged, and its `logits` [E, P, C] at the checkpoint `chosen`,
    the one that the training modalities' validation accuracy prefers (-1: none yet).
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
        parts = EVALUATED[trial.splits]
        reported = len(bank.parts(trial, trial.evaluate[0])[parts.reported])
        shape = (checkpoints, len(views(trial)), len(parts.names), len(METRICS))
        return cls(
            np.full(shape, np.nan),
            np.zeros((checkpoints, modalities, reported), bool),
            np.full((modalities, reported, bank.classes), np.nan, np.float32),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """What a saved state keeps, by name."""
        return {"values": self.values, "hits": self.hits, "logits": self.logits}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to what `arrays` gave."""
        self.values, self.hits, self.logits = (arrays[name] for name in self.arrays())

    def artifact_bytes(self) -> int:
        """About what its predictions take on disk."""
        return self.logits.nbytes + self.hits.nbytes // 8


def measure(
    model: Algorithm,
    bank: FeatureBank,
    trials: Sequence[Trial],
    found: Sequence[Measurements],
    checkpoint: int,
) -> list[bool]:
    """Fill in one checkpoint of some trials; say for which it is the best so far."""
    labels = bank.labels.cpu().numpy()
    parts = EVALUATED[trials[0].splits]
    reported: list[list[np.ndarray]] = [[] for _ in trials]
    for number, of in enumerate(zip(*(views(trial) for trial in trials), strict=True)):
        instances = [
            evaluated(bank, trial, view.modalities[0])
            for view, trial in zip(of, trials, strict=True)
        ]
        logits = predict(model, bank, of, trials, instances)
        for view, trial, own, rows, seen, kept in zip(
            of, trials, found, instances, logits, reported, strict=True
        ):
            sound = torch.isfinite(seen).all(-1).numpy()
            right = (seen.argmax(-1).numpy() == labels[rows]) & sound
            split = bank.parts(trial, view.modalities[0])
            for part, name in enumerate(parts.names):
                place = np.searchsorted(rows, split[name])
                if sound[place].all():
                    own.values[checkpoint, number, part] = accuracies(
                        right[place], labels[rows[place]]
                    )
                if name == parts.reported and view.pattern is None:
                    own.hits[checkpoint, number] = right[place]
                    kept.append(seen[torch.from_numpy(place)].numpy())
    better = []
    for trial, own, kept in zip(trials, found, reported, strict=True):
        score = validation_score(trial, own.values[checkpoint])
        better.append(score > own.score or score == np.inf)
        if better[-1]:
            own.chosen, own.score, own.logits = checkpoint, score, np.stack(kept)
    return better


def accuracies(right: np.ndarray, of: np.ndarray) -> tuple[float, float]:
    """The share of right answers [N] over instances of classes `of` [N], and over classes."""
    counts = np.bincount(of)
    recalls = np.bincount(of, weights=right)[counts > 0] / counts[counts > 0]
    return float(right.mean()), float(recalls.mean())


def validation_score(trial: Trial, values: np.ndarray) -> float:
    """Mean validation accuracy over the training modalities of one checkpoint's values.

    What the first selection rule compares within a trial. Below all others, and never kept, if one
    of them is not finite. Infinite if no training modality is evaluated: then the last checkpoint
    is the choice.
    """
    own = [number for number, name in enumerate(trial.evaluate) if name in trial.train]
    parts = EVALUATED[trial.splits]
    scores = values[own, parts.names.index(parts.chosen_by), METRICS.index("accuracy")]
    if not own:
        return np.inf
    return -np.inf if np.isnan(scores).any() else float(scores.mean())


def rows_of(trial: Trial, bank: FeatureBank, found: Measurements) -> Iterator[dict[str, Any]]:
    """The rows of a finished trial: one for each checkpoint, view, part and metric."""
    columns = trial.columns()
    of, parts = views(trial), EVALUATED[trial.splits].names
    for step, by_view in zip(trial.checkpoints, found.values, strict=True):
        for view, by_part in zip(of, by_view, strict=True):
            split = bank.parts(trial, view.modalities[0])
            for part, by_metric in zip(parts, by_part, strict=True):
                for metric, value in zip(METRICS, by_metric, strict=True):
                    sound = bool(np.isfinite(value))
                    yield {
                        **columns,
                        "test_pattern": view.pattern,
                        "step": step,
                        "modality": view.label,
                        "split": part,
                        "metric": metric,
                        "value": float(value) if sound else None,
                        "n": len(split[part]),
                        "status": "ok" if sound else "diverged",
                    }
