"""Items of one digit joined anew, as AV-MNIST joins them."""

from __future__ import annotations

import numpy as np

from mglib.missing.ceilings.known_laws import same_digit
from mglib.missing.pairings._base import Pairing
from mglib.registry import pairings


@pairings.register("same_class")
class SameClass(Pairing):
    """Items of the same class joined anew at random, each once in each modality; label the class.

    Of any classes; its law is that of digits.
    Source: AV-MNIST (Vielzeuf et al., arXiv 1808.07275) pairs by class.
    """

    digits_only = False

    def joint(self, modalities: int) -> np.ndarray:
        """One digit in all modalities, and the label."""
        return same_digit(modalities)

    def draw(
        self, own: np.ndarray, modalities: int, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same class in all modalities."""
        return np.tile(own, (modalities, 1)), own

    def classes(self, labels: np.ndarray) -> int:
        """One more than the last of the labels."""
        return int(labels.max(initial=-1)) + 1
