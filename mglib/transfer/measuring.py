"""What is measured of a transfer trial: the target's error, what is known of the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mglib.analysis.cka import linear_cka
from mglib.analysis.cluster_indices import davies_bouldin_index
from mglib.analysis.linear_probe import fit_probes
from mglib.transfer.model import TransferModel
from mglib.transfer.source import PROBED, Source
from mglib.transfer.target import Target
from mglib.transfer.trial import TransferTrial

ROWS = 64  # of one pass
# Of the target: its metric by part. Of the source's test part, as its embedder and the present
# encoder see it: accuracy of a linear probe, how well classes cluster, likeness to before training.
TARGET = ("validation", "test")
SOURCE = ("probe_accuracy", "davies_bouldin", "cka")


# Of the penalty on the probe's weights, for standardised features; the best by validation counts.
STRENGTHS = tuple(10.0**power for power in range(4, -1, -1))


def probe_accuracy(features: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> float:
    """Test accuracy of a linear probe of features [N, D], all by part.

    Multinomial logistic regression on standardised features of the part "train"; the strength with
    the best accuracy on "validation" is taken, the strongest penalty of equals.
    """
    centre, scale = features["train"].mean(0), np.maximum(features["train"].std(0), 1e-6)
    tensors = {part: torch.from_numpy((own - centre) / scale) for part, own in features.items()}
    fitted = fit_probes(
        tensors["train"], torch.from_numpy(labels["train"]), torch.tensor(STRENGTHS)
    )
    right = {}
    for part in ("validation", "test"):
        scores = tensors[part].double() @ fitted.weights + fitted.bias[:, None]
        right[part] = (scores.argmax(-1).numpy() == labels[part]).mean(-1)
    return float(right["test"][int(right["validation"].argmax())])


@dataclass
class Shown:
    """What a transfer trial has shown so far: K checkpoints, Q quantities (of TARGET and SOURCE).

    `values` [K, Q], NaN where it diverged or does not apply; `misses` [P] of the target's test
    instances at the checkpoint `chosen` (the least validation error; -1: none yet); `features`
    [S, D] of the source's test part at the last checkpoint measured, float16.
    """

    values: np.ndarray
    misses: np.ndarray
    features: np.ndarray
    chosen: int = -1
    score: float = -np.inf

    def arrays(self) -> dict[str, np.ndarray]:
        """What a saved state keeps, by name."""
        return {"values": self.values, "misses": self.misses, "features": self.features}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to what `arrays` gave."""
        self.values, self.misses, self.features = (arrays[name] for name in self.arrays())

    def artifact_bytes(self) -> int:
        """About what it leaves on disk beside its rows."""
        return self.misses.nbytes + self.features.nbytes


def nothing_shown(trial: TransferTrial, target: Target, source: Source, width: int) -> Shown:
    """Room for all checkpoints of a trial, none taken yet."""
    return Shown(
        np.full((len(trial.checkpoints), len(TARGET) + len(SOURCE)), np.nan),
        np.full(len(target.parts["test"]), np.nan, np.float32),
        np.zeros((len(source.parts["test"]), width), np.float16),
    )


def answers(model: TransferModel, target: Target, index: np.ndarray) -> torch.Tensor:
    """What a model says of some instances of its target, on the CPU."""
    device = next(model.predictor.parameters()).device
    with torch.no_grad():
        passes = [
            model.answer(target.rows(index[start : start + ROWS])[0].to(device)).cpu()
            for start in range(0, len(index), ROWS)
        ]
    return torch.cat(passes)


def measure(
    model: TransferModel,
    target: Target,
    source: Source,
    before: Mapping[str, np.ndarray],
    shown: Shown,
    checkpoint: int,
) -> None:
    """Fill in one checkpoint; `before` are the source's features before training.

    They are those of checkpoint 0, too.
    """
    values = shown.values[checkpoint]
    for place, part in enumerate(TARGET):
        index = target.parts[part]
        wanted = target.answers[torch.from_numpy(index)]
        misses = target.misses(answers(model, target, index), wanted)
        values[place] = float(misses.mean())
    features = source.features(model) if checkpoint else before
    labels = {part: source.labels.numpy()[source.parts[part]] for part in PROBED}
    if all(np.isfinite(own).all() for own in features.values()):
        values[len(TARGET) :] = (
            probe_accuracy(features, labels),
            davies_bouldin_index(features["test"], labels["test"])[0],
            linear_cka(features["test"], before["test"]),
        )
        shown.features = features["test"].astype(np.float16)
    score = -float(values[0])
    if np.isfinite(score) and score > shown.score:
        shown.chosen, shown.score = checkpoint, score
        shown.misses = misses.numpy()


def rows_of(
    trial: TransferTrial, target: Target, source: Source, shown: Shown, seen: str
) -> Iterator[dict[str, Any]]:
    """The rows of a finished trial, one for each checkpoint and quantity; `seen`: the source."""
    columns = trial.columns()
    for step, by_quantity in zip(trial.checkpoints, shown.values, strict=True):
        for place, value in enumerate(by_quantity):
            of_target = place < len(TARGET)
            part = TARGET[place] if of_target else "test"
            sound = bool(np.isfinite(value))
            yield {
                **columns,
                "step": step,
                "modality": trial.modality if of_target else seen,
                "split": part,
                "metric": target.metric if of_target else SOURCE[place - len(TARGET)],
                "value": float(value) if sound else None,
                "n": len((target if of_target else source).parts[part]),
                "status": "ok" if sound else "diverged",
            }
