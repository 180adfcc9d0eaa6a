"""A trial with one of two sequences wholly missing at test, as a question."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mglib.errors import MglibError, unknown
from mglib.features import data_identity
from mglib.missing.checks import number
from mglib.missing.sequences.laws import NONE, VICTIM
from mglib.missing.sequences.question import SequenceQuestion, check_grid
from mglib.missing.sequences.stand_ins import LEVELS, UNMATCHED
from mglib.missing.sequences.trial import HPARAMS, SEQUENCES_VERSION
from mglib.missing.trial import MISSING_VERSION
from mglib.registry import laws
from mglib.trials.networks import rung
from mglib.trials.trial import ENGINE_VERSION

VIRTUAL_VERSION = 1
LAW = "victim@place=1"
# CLIP's first temperature, and a weight of one: TRML's are not known.
MATCHED = {**HPARAMS, "weight": 1.0, "temperature": 0.07}


@dataclass(frozen=True)
class VirtualTrial(SequenceQuestion):
    """One (stand-in, level of matching, share of incomplete rows, seed, split) on two sequences.

    Of the training part's instances a share `rate`, drawn once, lacks the second of the
    `modalities`; validation and test part lack it whole (mode c of MM-Align), and the test part is
    measured complete as well. `hparams` is the JSON of learning rate, weight decay, batch size,
    hidden width, and weight and temperature of the matching; with `stop` real summaries take no
    gradient from it. The validation part is measured each `every` steps and after the last.
    Raises MglibError for unknown names, rates out of range, and what would have no effect.
    """

    dataset: str
    perceptor: str
    modalities: tuple[str, ...]
    target: str
    stand_in: str
    matching: str
    stop: bool
    rate: float
    seed: int
    split_seed: int
    steps: int
    every: int
    hparams: str
    precision: str = "float32"

    def __post_init__(self) -> None:
        if len(self.modalities) != 2:
            raise MglibError(
                f"modalities must be two, the present and the missing one, not {self.modalities}"
            )
        check_stand_in(self.stand_in, self.matching)
        if not number(self.rate, 0, 1):
            raise MglibError(
                f"the share of incomplete rows must be a number from 0 to 1, not {self.rate}"
            )
        if self.rate == 1 and self.matching != UNMATCHED:
            raise MglibError(
                f"matching '{self.matching}' needs complete rows, of which rate 1 leaves none: "
                f"ask for '{UNMATCHED}'"
            )
        if not self.stop and self.matching != "pooled":
            raise MglibError(
                f"matching '{self.matching}' has no real summary to take a gradient: "
                "without `stop` ask for 'pooled'"
            )
        weight, temperature = self.values["weight"], self.values["temperature"]
        if not number(weight, 0, float("inf")) or not number(temperature, 1e-3, 1e6):
            raise MglibError(
                "the weight of the matching must be a number from 0, its temperature one from "
                f"0.001 to 1000000, not {weight} and {temperature}"
            )
        self.check_hidden()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the key stands for: the question, declared versions, data and source hashes."""
        return {
            "question": asdict(self),
            "engine": ENGINE_VERSION,
            "missing": MISSING_VERSION,  # whose answers and metrics are used
            "sequences": SEQUENCES_VERSION,
            "virtual": VIRTUAL_VERSION,
            "law": laws.get(LAW).version,
            "data": data_identity(self.dataset, self.perceptor),
        }

    @property
    def held(self) -> tuple[str, float]:
        """The validation part lacks the second sequence, as the test part does."""
        return VICTIM, 1.0

    @property
    def tested(self) -> tuple[tuple[str, float], ...]:
        """The test part is measured complete and without the second sequence."""
        return ((NONE, 0.0), (VICTIM, 1.0))

    @property
    def stack(self) -> tuple[Any, ...]:
        """Trials with equal stacks have tensors of equal shapes and can train together."""
        return (
            self.source,
            self.target,
            self.stand_in,
            self.matching,
            self.stop,
            self.steps,
            self.every,
            rung(self.rows),
            self.hidden,
            self.precision,
        )

    def columns(self) -> dict[str, Any]:
        """The columns of the result table that this trial fills alike in all its rows."""
        return {
            **self.shared_columns(),
            "algorithm": self.stand_in,
            "variant": self.matching,
            "modality": self.modalities[0],
            "train_pattern": LAW,
            "train_rate": self.rate,
        }


def check_stand_in(stand_in: str, matching: str) -> None:
    """Raise MglibError for an unknown stand-in, or a level at which it cannot be matched."""
    if stand_in not in LEVELS:
        raise unknown("stand-in for a sequence", stand_in, LEVELS)
    if matching not in LEVELS[stand_in]:
        raise unknown(f"level of matching for stand-in '{stand_in}'", matching, LEVELS[stand_in])


def virtual_trials(
    *,
    dataset: str,
    perceptor: str,
    present: str,
    missing: str,
    stand_ins: Iterable[tuple[str, str]],
    rates: Iterable[float],
    seeds: Iterable[int],
    split_seeds: Iterable[int],
    steps: int,
    every: int,
    target: str = "class",
    stop: bool = True,
    hparams: Mapping[str, float] = MATCHED,
) -> list[VirtualTrial]:
    """Every combination of (stand-in, level of matching), rates, seeds and splits, as trials.

    Raises MglibError for an unknown name, an empty or repeated list, numbers out of range, and a
    perceptor that is fitted per split.
    """
    own: dict[str, list[Any]] = {
        "modalities": [present, missing],
        "stand-ins": [*stand_ins],
        "rates of incomplete rows": [float(rate) for rate in rates],
        "seeds": [*seeds],
        "split seeds": [*split_seeds],
    }
    check_grid(own, dataset, perceptor, target, steps, every)
    told = json.dumps(dict(hparams), sort_keys=True)
    return [
        VirtualTrial(
            *(dataset, perceptor, (present, missing), target, stand_in, matching, stop),
            *(rate, int(seed), int(split_seed), steps, every, told),
        )
        for stand_in, matching in own["stand-ins"]
        for rate in own["rates of incomplete rows"]
        for seed in own["seeds"]
        for split_seed in own["split seeds"]
    ]
