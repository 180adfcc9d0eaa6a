"""Hyper-parameters: a default and a random-search law each, drawn with a seed of its own name.

Seeding after DomainBed (Gulrajani & Lopez-Paz 2021, https://arxiv.org/abs/2007.01434): adding one
hyper-parameter never moves the draw of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mglib.errors import MglibError, unknown

Law = Callable[[np.random.RandomState], float]


@dataclass(frozen=True)
class Hyperparameter:
    """A default value and the law of its random draws (draws 1, 2, ...).

    Its `role` says what a run of another length does to it: "rate" for a learning rate,
    "iterations" for a number of steps, nothing for all else.
    """

    default: float
    law: Law
    role: str = ""


@dataclass(frozen=True)
class Pace:
    """By how much a run differs from the published one of 5,001 steps; ours.

    Learning rates are multiplied by `rates` and numbers of steps by `iterations`, so that what is
    published to begin after a tenth of a run begins after a tenth of a shorter one.
    """

    rates: float = 1.0
    iterations: float = 1.0

    def of(self, item: Hyperparameter, value: float) -> float:
        """A value at this pace, of the type that it had; a whole number of steps stays whole."""
        if item.role == "rate":
            return value * self.rates
        if item.role == "iterations" and self.iterations != 1.0:
            scaled = value * self.iterations
            return type(value)(round(scaled)) if float(value).is_integer() else scaled
        return value


PUBLISHED = Pace()


def pace_of(steps: int, lr: float) -> Pace:
    """The pace of runs of so many steps at learning rate `lr` where 5,001 at 5e-5 are published."""
    return Pace(rates=lr / 5e-5, iterations=steps / 5000)


def uniform(low: float, high: float) -> Law:
    """A number drawn uniformly from [low, high)."""
    return lambda random: float(random.uniform(low, high))


def whole_uniform(low: float, high: float) -> Law:
    """A number drawn uniformly from [low, high), rounded down to a whole number."""
    return lambda random: int(random.uniform(low, high))


def choice(*values: float) -> Law:
    """One of the values, each as likely as the others."""
    return lambda random: values[int(random.choice(len(values)))]


def log10_uniform(low: float, high: float) -> Law:
    """10 to a power drawn uniformly from [low, high)."""
    return lambda random: float(10 ** random.uniform(low, high))


def whole_log2_uniform(low: float, high: float) -> Law:
    """2 to a power drawn uniformly from [low, high), rounded down to a whole number."""
    return lambda random: int(2 ** random.uniform(low, high))


def whole_log10_uniform(low: float, high: float) -> Law:
    """10 to a power drawn uniformly from [low, high), rounded down to a whole number."""
    return lambda random: int(10 ** random.uniform(low, high))


def seed_hash(*parts: object) -> int:
    """A seed in [0, 2**31) from any values: MD5 of their tuple's text, as DomainBed does it."""
    return int(hashlib.md5(str(parts).encode()).hexdigest(), 16) % 2**31


def draw_hparams(
    search: Mapping[str, Hyperparameter],
    draw: int,
    seed: int,
    fixed: Mapping[str, float] | None = None,
    pace: Pace = PUBLISHED,
) -> dict[str, float]:
    """The values of draw number `draw` (0: the defaults) for a trial seed, `fixed` ones replaced.

    Drawn values go at the given pace, fixed ones stay as they are. Raises MglibError for a fixed
    name that the search does not have or a negative draw.
    """
    if draw < 0:
        raise MglibError(f"draw {draw} is negative; 0 is the defaults, 1, 2, ... are random")
    for name in fixed or {}:
        if name not in search:
            raise unknown("hyper-parameter", name, search)
    base = seed_hash(draw, seed)
    values = {
        name: pace.of(
            item,
            item.default if draw == 0 else item.law(np.random.RandomState(seed_hash(base, name))),
        )
        for name, item in search.items()
    }
    # The default's type, so that lr 1 and 1.0 are one question.
    replaced = {name: type(search[name].default)(value) for name, value in (fixed or {}).items()}
    return {**values, **replaced}
