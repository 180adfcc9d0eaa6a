"""A trial: one training run as a question with a key, and the grid that asks for many."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mglib.errors import MglibError, unknown
from mglib.features import data_identity
from mglib.provenance import digest
from mglib.registry import algorithms, datasets, perceptors
from mglib.trials.hyperparameters import draw_hparams

ENGINE_VERSION = 1


@dataclass(frozen=True)
class Trial:
    """One (algorithm variant, draw, seed, split, training modalities) on one dataset and perceptor.

    `hparams` is the JSON of the drawn values. The trial is evaluated on every modality of
    `evaluate` each `every` steps and after the last. `target` names the labels. The test modality
    is no part of it: any modality outside `train` is unseen.
    """

    dataset: str
    perceptor: str
    algorithm: str
    variant: str
    train: tuple[str, ...]
    evaluate: tuple[str, ...]
    seed: int
    split_seed: int
    draw: int
    steps: int
    every: int
    hparams: str
    target: str = "class"
    precision: str = "float32"

    @cached_property
    def key(self) -> str:
        """The result's name: the question, the declared versions and the data's source hashes."""
        return digest(
            {
                "question": asdict(self),
                "engine": ENGINE_VERSION,
                "algorithm": algorithms.get(self.algorithm).version,
                "data": data_identity(self.dataset, self.perceptor),
            }
        )

    @cached_property
    def values(self) -> dict[str, float]:
        """The hyper-parameters by name."""
        return dict(json.loads(self.hparams))

    @property
    def stack(self) -> tuple[Any, ...]:
        """Trials with equal stacks have tensors of equal shapes and can train together."""
        return (
            self.dataset,
            self.perceptor,
            self.target,
            self.algorithm,
            self.variant,
            len(self.train),
            self.evaluate,
            self.steps,
            self.every,
            self.values.get("batch_size"),
            self.precision,
        )

    def columns(self) -> dict[str, Any]:
        """The columns of the result table that this trial fills alike in all its rows."""
        return {
            "dataset": self.dataset,
            "perceptor": self.perceptor,
            "algorithm": self.algorithm,
            "variant": self.variant,
            "train": "+".join(self.train),
            "draw": self.draw,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "precision": self.precision,
            "key": self.key,
            "hparams": self.hparams,
        }


def make_trials(
    *,
    dataset: str,
    perceptor: str,
    algorithm: str,
    train: Iterable[Iterable[str]],
    evaluate: Iterable[str],
    seeds: Iterable[int],
    split_seeds: Iterable[int],
    steps: int,
    every: int,
    variant: str = "corrected",
    draws: Iterable[int] = (0,),
    fixed: Mapping[str, float] | None = None,
) -> list[Trial]:
    """Every combination of training sets, draws, seeds and splits of one algorithm, as trials.

    `fixed` hyper-parameters replace drawn ones where the algorithm has them. Raises MglibError for
    an unknown name, a repeated or empty list, a hyper-parameter out of range, or steps below 1.
    """
    data, method = datasets.get(dataset), algorithms.get(algorithm)
    perceptors.get(perceptor)
    if variant not in method.variants:
        raise unknown(f"variant of {algorithm}", variant, method.variants)
    if steps < 1 or every < 1:
        raise MglibError(f"steps ({steps}) and every ({every}) must be at least 1")
    sets = [tuple(modalities) for modalities in train]
    seeds, split_seeds, draws = [*seeds], [*split_seeds], [*draws]
    for name, number in (
        ("training sets", len(sets)),
        ("seeds", len(seeds)),
        ("split seeds", len(split_seeds)),
        ("draws", len(draws)),
    ):
        if not number:
            raise MglibError(f"no {name} are asked for, so there is nothing to train")
    evaluate = tuple(sorted(evaluate))
    for modalities in [*sets, evaluate]:
        if not modalities or len(set(modalities)) < len(modalities):
            raise MglibError(f"modalities {modalities} of {dataset} are empty or repeated")
        for modality in modalities:
            if modality not in data.kinds:
                raise unknown(f"modality of {dataset}", modality, data.kinds)
    for name, value in (fixed or {}).items():
        least = 1 if name == "batch_size" else 0
        if not math.isfinite(value) or value < least:
            raise MglibError(f"hyper-parameter '{name}' must be at least {least}, not {value}")
    relevant = {name: value for name, value in (fixed or {}).items() if name in method.search}
    return [
        Trial(
            dataset,
            perceptor,
            algorithm,
            variant,
            modalities,
            evaluate,
            seed,
            split_seed,
            draw,
            steps,
            every,
            json.dumps(draw_hparams(method.search, draw, seed, relevant), sort_keys=True),
        )
        for modalities in sets
        for draw in draws
        for seed in seeds
        for split_seed in split_seeds
    ]
