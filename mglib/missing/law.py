"""What a law of missing data is: which modalities of which rows are lost, and how likely."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from mglib.errors import MglibError
from mglib.missing.checks import number, sound_labels, whole
from mglib.missing.subsets import Shares
from mglib.registry import Configured

SLACK = 1e-9  # by which a rate may miss a bound or a grid, so that 1 - 0.9 is a rate of 0.1


class Law(Configured, ABC):
    """A law of missing data; subclasses carry `@laws.register`, and write `draw` and `odds`.

    It is for `least` to `most` modalities. `labelled` says that a table needs the labels.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    least: ClassVar[int] = 2
    most: ClassVar[int] = 12  # every subset is listed, and there are 2^M
    labelled: ClassVar[bool] = False

    @abstractmethod
    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        """A mask table of checked rows, modalities, rate and labels: bool [N, M]."""

    @abstractmethod
    def odds(self, modalities: int, rate: float) -> Shares:
        """The probabilities of subsets at a checked rate; those of zero may be there."""

    def rates(self, modalities: int) -> tuple[float, float]:
        """The lowest and the highest rate that the law has for M modalities."""
        return 0.0, 1.0

    def together(self) -> int:
        """How many rows share one draw: N divided by it are independent."""
        return 1

    def check(self, modalities: int, rate: float) -> None:
        """Raise MglibError for a number of modalities or a rate that the convention lacks."""
        if not whole(modalities, self.least, self.most):
            span = f"{self.least} to {self.most}" if self.least < self.most else f"{self.least}"
            raise MglibError(f"law '{self.name}' is for {span} modalities, not {modalities!r}")
        low, high = self.rates(modalities)
        if not number(rate, low - SLACK, high + SLACK):
            span = f"a rate from {low:g} to {high:.4g}" if low < high else f"no rate but {low:g}"
            raise MglibError(
                f"law '{self.name}' of {modalities} modalities has {span}, not {rate!r}"
            )
        place = self.values().get("place", 0)
        if place >= modalities:
            raise MglibError(
                f"place of law '{self.name}' must be a whole number from 0 to {modalities - 1} "
                f"for {modalities} modalities, not {place}"
            )

    def nominal(self, modalities: int, rate: float) -> float:
        """A rate to 12 digits and within the law's bounds; raises MglibError as `check` does."""
        self.check(modalities, rate)
        low, high = self.rates(modalities)
        return min(max(float(f"{rate:.12g}"), low), high) + 0.0  # no -0.0

    def table(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Draw a mask table: bool [N, M], True = observed; labels [N] are integers from 0.

        Equal on every machine and numpy version for equal streams of a 64-bit generator. Raises
        MglibError as `check` does, for rows that are not a whole number from 0, and for labels that
        are needed and absent, or are not of these rows.
        """
        rate = self.nominal(modalities, rate)
        if not whole(rows, 0):
            raise MglibError(f"rows of a mask table must be a whole number from 0, not {rows!r}")
        if self.labelled:
            labels = sound_labels(self.name, labels, rows)
        return self.draw(random, rows, modalities, rate, labels)

    def shares(self, modalities: int, rate: float) -> Shares:
        """The exact probability of every observed subset that has one; they sum to 1.

        Raises MglibError as `check` does.
        """
        found = self.odds(modalities, self.nominal(modalities, rate))
        return {subset: found[subset] for subset in sorted(found, reverse=True) if found[subset]}
