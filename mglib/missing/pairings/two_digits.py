"""Two digits, the second a shift of the first, and the label half their sum."""

from __future__ import annotations

import numpy as np

from mglib.missing.ceilings import known_laws
from mglib.missing.pairings._base import Pairing, spread
from mglib.registry import Setting, pairings


@pairings.register("two_digits")
class TwoDigits(Pairing):
    """Digits x and y = (x + rounded Normal(0, sigma)) mod 10, label round((x + y) / 2).

    `sigma` is the standard deviation: 0 is redundant, and the larger, the more the two modalities
    complement each other. Source: AAV-MNIST of UME-MMA's ancestor (openreview gfHLOC35Zh, section
    5.2); halves to even are our reading.
    """

    least, most = 2, 2
    settings = {"sigma": Setting(float, 1.0, 0.0, 8.0)}

    def joint(self, modalities: int) -> np.ndarray:
        """[10, 10, 10]; raises MglibError unless of 2 modalities."""
        self.check_modalities(modalities)
        return known_laws.two_digits(self.values()["sigma"])

    def draw(
        self, own: np.ndarray, modalities: int, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """The second digit is the first and a shift."""
        shifts = spread(known_laws.shift_law(self.values()["sigma"]), own, random)
        second = (own + shifts) % known_laws.DIGITS
        return np.stack([own, second]), known_laws.half_sum(own, second)
