"""A trial with lost frames: one temporal encoder under one law of loss, as a question."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mglib.errors import unknown
from mglib.features import data_identity
from mglib.missing.sequences.laws import NONE, check_law
from mglib.missing.sequences.question import SequenceQuestion, check_grid
from mglib.missing.sequences.ways import WAYS
from mglib.missing.trial import MISSING_VERSION
from mglib.trials.networks import rung
from mglib.trials.trial import ENGINE_VERSION

SEQUENCES_VERSION = 1
HPARAMS = {"lr": 3e-3, "weight_decay": 1e-4, "batch_size": 64, "hidden": 64}


@dataclass(frozen=True)
class SequenceTrial(SequenceQuestion):
    """One (way with lost frames, law of loss in training, seed, split) on sequences of frames.

    In every minibatch `law` loses frames anew at `rate`, in each modality by itself; on the
    validation part it lost them once. The test part is measured whole and under each of `laws` at
    each of `rates`. `hparams` is the JSON of learning rate, weight decay, batch size and hidden
    width. The validation part is measured each `every` steps and after the last.
    """

    dataset: str
    perceptor: str
    modalities: tuple[str, ...]
    target: str
    way: str
    law: str
    rate: float
    seed: int
    split_seed: int
    steps: int
    every: int
    hparams: str
    laws: tuple[str, ...]
    rates: tuple[float, ...]
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise unknown("way with lost frames", self.way, WAYS)
        for law, rate in ((self.law, self.rate), *self.tested):
            check_law(law, rate)
        self.check_hidden()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the key stands for: the question, declared versions, data and source hashes."""
        return {
            "question": asdict(self),
            "engine": ENGINE_VERSION,
            "missing": MISSING_VERSION,  # whose answers and metrics are used
            "sequences": SEQUENCES_VERSION,
            "data": data_identity(self.dataset, self.perceptor),
        }

    @property
    def tested(self) -> tuple[tuple[str, float], ...]:
        """The laws and rates under which the test part is measured, the whole of it first."""
        return ((NONE, 0.0), *((law, rate) for law in self.laws for rate in self.rates))

    @property
    def held(self) -> tuple[str, float]:
        """The law and rate under which the validation part is measured: those of training."""
        return self.law, self.rate

    @property
    def stack(self) -> tuple[Any, ...]:
        """Trials with equal stacks have tensors of equal shapes and can train together."""
        return (
            self.source,
            self.target,
            self.way,
            self.steps,
            self.every,
            rung(self.rows),
            self.hidden,
            self.tested,
            self.precision,
        )

    def columns(self) -> dict[str, Any]:
        """The columns of the result table that this trial fills alike in all its rows."""
        return {
            **self.shared_columns(),
            "algorithm": self.way,
            "modality": "+".join(self.modalities),
            "train_pattern": self.law,
            "train_rate": self.rate,
        }


def sequence_trials(
    *,
    dataset: str,
    perceptor: str,
    modalities: Sequence[str],
    ways: Iterable[str],
    trained: Iterable[tuple[str, float]],
    laws: Sequence[str],
    rates: Sequence[float],
    seeds: Iterable[int],
    split_seeds: Iterable[int],
    steps: int,
    every: int,
    target: str = "class",
    hparams: Mapping[str, float] = HPARAMS,
) -> list[SequenceTrial]:
    """Every combination of ways, (law, rate) in training, seeds and splits, as trials.

    Raises MglibError for an unknown name, an empty or repeated list, numbers out of range, and a
    perceptor that is fitted per split.
    """
    own: dict[str, list[Any]] = {
        "modalities": [*modalities],
        "ways": [*ways],
        "laws of loss in training": [*trained],
        "laws of loss at test": [*laws],
        "rates of loss at test": [float(rate) for rate in rates],
        "seeds": [*seeds],
        "split seeds": [*split_seeds],
    }
    check_grid(own, dataset, perceptor, target, steps, every)
    told = json.dumps(dict(hparams), sort_keys=True)
    return [
        SequenceTrial(
            dataset,
            perceptor,
            tuple(own["modalities"]),
            target,
            way,
            law,
            float(rate),
            int(seed),
            int(split_seed),
            steps,
            every,
            told,
            tuple(own["laws of loss at test"]),
            tuple(own["rates of loss at test"]),
        )
        for way in own["ways"]
        for law, rate in own["laws of loss in training"]
        for seed in own["seeds"]
        for split_seed in own["split seeds"]
    ]
