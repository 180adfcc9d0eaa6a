"""Three noisy copies of a digit whose sum is the label: from redundancy to synergy."""

from __future__ import annotations

import numpy as np

from mglib.missing.ceilings import known_laws
from mglib.missing.pairings._base import Pairing, spread
from mglib.registry import Setting, pairings


@pairings.register("three_digits")
class ThreeDigits(Pairing):
    """Three noisy copies of a hidden digit, label their sum modulo 10.

    Each is drawn anew with chance `synergy`: at 0 any modality knows the label, at 1 it takes all
    three. Ours.
    """

    least, most = 3, 3
    settings = {"synergy": Setting(float, 0.5, 0.0, 1.0)}

    def joint(self, modalities: int) -> np.ndarray:
        """[10, 10, 10, 10]; raises MglibError unless of 3 modalities."""
        self.check_modalities(modalities)
        return known_laws.three_digits(self.values()["synergy"])

    def draw(
        self, own: np.ndarray, modalities: int, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """The hidden digit is drawn from the first one, the others from the hidden digit."""
        law = known_laws.copy_law(self.values()["synergy"])
        hidden = own - spread(law, own, random)
        others = [hidden + spread(law, own, random) for _ in range(2)]
        digits = np.stack([own, *others]) % known_laws.DIGITS
        return digits, digits.sum(axis=0) % known_laws.DIGITS
