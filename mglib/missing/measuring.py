"""What is measured at a checkpoint: the answers under every observed subset, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mglib.errors import MglibError
from mglib.missing.bank import MissingBank, Paired, learned
from mglib.missing.fresh_heads import fresh_heads
from mglib.missing.method import MissingMethod, hide
from mglib.missing.metrics import probability_scores, sentiment_scores
from mglib.missing.subsets import subset_label, subsets
from mglib.missing.trial import MissingTrial

MEASURED = ("validation", "test")
OF_CLASSES = ("accuracy", "cross_entropy", "brier", "calibration_error")
OF_REAL = ("mae", "correlation", "acc7", "acc2_has0", "f1_has0", "acc2_non0", "f1_non0")
OF_ALSO = {
    "": (),
    "heads": ("head_accuracy", "head_cross_entropy"),
    "virtual": ("virtual_cosine", "virtual_recall"),
}
RECALLED = 10
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
        further = measure_heads if trials[0].also == "heads" else measure_virtual
        further(model, bank, trials, found, number, better)
    return better


def measure_heads(
    model: MissingMethod,
    bank: MissingBank,
    trials: Sequence[MissingTrial],
    found: Sequence[Shown],
    number: int,
    better: Sequence[bool],
) -> None:
    """Measure fresh heads on the encoders of the trials that got `better`, under every subset.

    Raises MglibError for a method that does not encode each modality by itself, and real answers.
    """
    everything = bank.items.shape[2]
    index = torch.arange(everything, device=bank.device).expand(len(trials), -1)
    z = model.encode(bank.rows(bank.blocks(trials), index)) if bank.classes else None
    if z is None:
        raise MglibError(
            f"fresh heads need classes and encoders of their own, which '{trials[0].method}' of "
            f"{trials[0].target} has not"
        )
    for place, pattern in enumerate(subsets(len(bank.values))):
        for trial, own in enumerate(bank.paired):
            parts = {**own.parts, "train": learned(trials[trial], own)}
            size = own.items.shape[1]
            values = [one[trial, :size].cpu() for one in z]
            if better[trial] and all(bool(torch.isfinite(one).all()) for one in values):
                labels = torch.from_numpy(own.answers)
                found[trial].values[number, place, :, -2:] = fresh_heads(
                    values, labels, parts, pattern
                )


def measure_virtual(
    model: MissingMethod,
    bank: MissingBank,
    trials: Sequence[MissingTrial],
    found: Sequence[Shown],
    number: int,
    better: Sequence[bool],
) -> None:
    """Measure how near virtual features are to the real ones, of the trials that got `better`.

    On the test part, under every subset that lacks a modality: the mean cosine, and how often the
    real one is among the RECALLED nearest real ones; means over what is missing. Raises MglibError
    for a method that makes no virtual features.
    """
    rows = [own.parts["test"] for own in bank.paired]
    index = torch.from_numpy(np.stack([np.resize(own, max(map(len, rows))) for own in rows]))
    x = bank.rows(bank.blocks(trials), index.to(bank.device))
    for place, pattern in enumerate(subsets(len(bank.values))):
        seen = torch.tensor(pattern, device=bank.device).expand(*index.shape, -1)
        made = model.fill(hide(x, seen), seen)
        if made is None:
            raise MglibError(f"'{trials[0].method}' makes no virtual features to measure")
        if any(own.shape != real.shape for own, real in zip(made, x, strict=True)):
            raise MglibError(
                f"virtual features of '{trials[0].method}' lie behind an encoder: there are no "
                "real ones beside which to measure them"
            )
        for trial, own in enumerate(rows):
            told = [
                nearness(made[m][trial, : len(own)].cpu(), x[m][trial, : len(own)].cpu())
                for m, there in enumerate(pattern)
                if not there
            ]
            if told and better[trial]:
                found[trial].values[number, place, MEASURED.index("test"), -2:] = np.mean(told, 0)


def nearness(made: Tensor, real: Tensor) -> tuple[float, float]:
    """Mean cosine of rows [N, D] with their own, and the share that finds it among RECALLED."""
    one, other = (torch.nn.functional.normalize(own, dim=-1) for own in (made, real))
    cosines = one @ other.T
    own = cosines.diagonal()
    better = (cosines > own[:, None]).sum(1)
    return float(own.mean()), float((better < RECALLED).double().mean())


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
