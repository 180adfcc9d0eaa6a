"""Independent digits whose sum is the label: all modalities are needed."""

from __future__ import annotations

import numpy as np

from mglib.missing.ceilings import known_laws
from mglib.missing.pairings._base import Pairing, spread
from mglib.registry import Setting, pairings


@pairings.register("xor")
class Xor(Pairing):
    """Independent digits, label their sum modulo `classes`: parity, or with 10 the last digit.

    Without one modality the others know nothing. Ours.
    """

    least = 2
    settings = {"classes": Setting(int, 2, 2, 10, why="a sum of digits has 2 or 10 classes")}

    @classmethod
    def check_settings(cls) -> None:
        """Raise MglibError for classes that are neither 2 nor 10."""
        known_laws.check_classes(cls.values()["classes"])

    def joint(self, modalities: int) -> np.ndarray:
        """[10, ..., 10, classes]; raises MglibError for less than 2 or more than 5 modalities."""
        self.check_modalities(modalities)
        return known_laws.xor(modalities, self.values()["classes"])

    def draw(
        self, own: np.ndarray, modalities: int, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Every digit after the first is drawn by itself."""
        even = np.full(known_laws.DIGITS, 1 / known_laws.DIGITS)
        others = [spread(even, own, random) for _ in range(modalities - 1)]
        digits = np.stack([own, *others])
        return digits, digits.sum(axis=0) % self.values()["classes"]

    def classes(self, labels: np.ndarray) -> int:
        """2 or 10."""
        return int(self.values()["classes"])
