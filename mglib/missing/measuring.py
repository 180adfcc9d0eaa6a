"""What is measured at a checkpoint: the answers under every observed subset, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mglib.missing.bank import MEASURED, MissingBank, Paired
from mglib.missing.further import OF_ALSO, measure_further
from mglib.missing.method import MissingMethod, hide
from mglib.missing.metrics import probability_scores, sentiment_scores
from mglib.missing.subsets import subset_label, subsets
from mglib.missing.trial import MissingTrial

OF_CLASSES = ("accuracy", "cross_entropy", "brier", "calibration_error")
OF_REAL = ("mae", "correlation", "acc7", "acc2_has0", "f1_has0", "acc2_non0", "f1_non0")
SCALE = 3.0  # brings answers in [-1, 1] to the range of MMSA's scores
# Rows of one evaluation pass; fixed, so that no answer hangs on what is beside it.
EVALUATION_ROWS = 256


def metrics_of(classes: int, also: str = "") -> tuple[str, ...]:
    """The names of what is measured of classes, or of a real answer (0), and what is `also`."""
    return (OF_CLASSES if classes else OF_REAL) + OF_ALSO[also]


def scores(answers: np.ndarray, truth: np.ndarray, classes: int) -> Mapping[str, Any]:
    """Every metric of answers [P, C] against the truth [P], by name."""
    if not classes:
        return sentiment_scores(answers[:, 0], truth, SCALE)
    shifted = np.exp(answers - answers.max(1, keepdims=True), dtype=np.float64)
    return probability_scores(shifted / shifted.sum(1, keepdims=True), truth)


@dataclass
class Shown:
    """What one trial has shown so far: K checkpoints, S non-empty observed subsets, P test rows.

    `values` [K, S, parts, metrics], NaN where diverged, undefined, or where no instance is seen so;
    `counts` [S, parts] are the instances that are;
    `answers` [S, P, C] of the test part at the checkpoint `chosen`, the one with the best mean
    validation score over subsets (-1: none yet).
    """

    values: np.ndarray
    answers: np.ndarray
    counts: np.ndarray
    chosen: int = -1
    score: float = -np.inf

    @classmethod
    def empty(cls, trial: MissingTrial, own: Paired, classes: int) -> Shown:
        """Room for all checkpoints of a trial, none taken yet."""
        patterns = len(subsets(len(trial.modalities)))
        metrics = metrics_of(classes, trial.also)
        shape = (len(trial.checkpoints), patterns, len(MEASURED), len(metrics))
        rows = len(own.parts["test"])
        return cls(
            np.full(shape, np.nan),
            np.full((patterns, rows, max(1, classes)), np.nan, np.float32),
            np.zeros((patterns, len(MEASURED)), np.int64),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """What a saved state keeps, by name."""
        return {"values": self.values, "answers": self.answers, "counts": self.counts}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to what `arrays` gave."""
        self.values, self.answers, self.counts = (arrays[name] for name in self.arrays())

    def artifact_bytes(self) -> int:
        """About what its answers take on disk."""
        return self.answers.nbytes


def answers_under(
    model: MissingMethod,
    bank: MissingBank,
    trials: Sequence[MissingTrial],
    pattern: tuple[bool, ...],
    rows: Sequence[np.ndarray],
) -> list[Tensor]:
    """For each trial the answers [P, C] of some instances if only `pattern` is seen, on the CPU."""
    longest = max(map(len, rows))
    padded = -(-longest // EVALUATION_ROWS) * EVALUATION_ROWS
    index = torch.stack([torch.from_numpy(np.resize(own, padded)) for own in rows])
    blocks = bank.blocks(trials)
    found = []
    for own in index.to(bank.device).split(EVALUATION_ROWS, dim=1):
        seen = torch.tensor(pattern, device=bank.device).expand(*own.shape, -1)
        found.append(model.answer(hide(bank.rows(blocks, own), seen), seen))
    answers = torch.cat(found, 1).cpu()
    return [own[: len(places)] for own, places in zip(answers, rows, strict=True)]


def measure(
    model: MissingMethod,
    bank: MissingBank,
    trials: Sequence[MissingTrial],
    found: Sequence[Shown],
    number: int,
) -> list[bool]:
    """Measure trials at checkpoint `number`; which of them are better than ever before.

    On the validation part a subset is measured on the instances whose law left at least that to
    see; on the test part on all.
    """
    kept: list[list[np.ndarray]] = [[] for _ in trials]
    seen = bank.seen.cpu().numpy()
    for place, pattern in enumerate(subsets(len(bank.values))):
        for part, name in enumerate(MEASURED):
            rows = [own.parts[name] for own in bank.paired]
            answers = answers_under(model, bank, trials, pattern, rows)
            for trial, (own, said) in enumerate(zip(bank.paired, answers, strict=True)):
                values = said.numpy()
                if name == "test":
                    kept[trial].append(values)
                truly = seen[trial, rows[trial]][:, list(pattern)].all(1)
                found[trial].counts[place, part] = truly.sum()
                if truly.any() and np.isfinite(values).all():
                    told = scores(values[truly], own.answers[rows[trial]][truly], bank.classes)
                    names = metrics_of(bank.classes)
                    found[trial].values[number, place, part, : len(names)] = [
                        told[metric] for metric in names
                    ]
    better = []
    for trial, shown in enumerate(found):
        score = validation_score(shown.values[number], shown.counts, bank.classes)
        better.append(score > shown.score)
        if better[-1]:
            shown.chosen, shown.score, shown.answers = number, score, np.stack(kept[trial])
    if trials[0].also and any(better):
        measure_further(model, bank, trials, [shown.values[number] for shown in found], better)
    return better


def validation_score(values: np.ndarray, counts: np.ndarray, classes: int) -> float:
    """What a checkpoint is chosen by: mean over subsets of its validation accuracy, or -MAE.

    values [S, parts, metrics], weighted by how many instances of the validation part hold each
    subset, `counts` [S, parts]. Minus infinity if the test part could not be answered.
    """
    if np.isnan(values[:, MEASURED.index("test"), 0]).any():
        return -np.inf
    metric = metrics_of(classes).index("accuracy" if classes else "mae")
    part = MEASURED.index("validation")
    own, weights = values[:, part, metric], counts[:, part]
    mean = float(np.average(own[weights > 0], weights=weights[weights > 0]))
    return mean if classes else -mean


def rows_of(
    trial: MissingTrial, own: Paired, classes: int, found: Shown
) -> Iterator[dict[str, Any]]:
    """The rows of a finished trial: one for each checkpoint, observed subset, part and metric.

    The column `modality` names the subset. A subset that the law never shows on the validation
    part has no row there.
    """
    columns = trial.columns()
    patterns = subsets(len(trial.modalities))
    for step, by_pattern in zip(trial.checkpoints, found.values, strict=True):
        for pattern, by_part, counts in zip(patterns, by_pattern, found.counts, strict=True):
            for part, by_metric, count in zip(MEASURED, by_part, counts, strict=True):
                if not count:
                    continue
                for metric, value in zip(metrics_of(classes, trial.also), by_metric, strict=True):
                    sound = bool(np.isfinite(value))
                    if metric in OF_ALSO[trial.also] and not sound:
                        continue  # measured where a checkpoint is better than those before
                    # A correlation with a constant is not defined, though nothing diverged.
                    lost = "undefined" if np.isfinite(by_metric).any() else "diverged"
                    yield {
                        **columns,
                        "step": step,
                        "modality": subset_label(pattern, trial.modalities),
                        "split": part,
                        "metric": metric,
                        "value": float(value) if sound else None,
                        "n": int(count),
                        "status": "ok" if sound else lost,
                    }
