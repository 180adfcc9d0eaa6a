"""Items as they are paired already."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mglib.missing.ceilings.known_laws import same_digit
from mglib.missing.pairings._base import Paired, Pairing, check_parts
from mglib.registry import pairings


@pairings.register("instance")
class Instance(Pairing):
    """Instance i takes item i of every modality, with the label as given.

    Of any dataset: labels that are no whole numbers have 0 classes. Its law is that of digits.
    """

    def joint(self, modalities: int) -> np.ndarray:
        """One digit in all modalities, and the label."""
        return same_digit(modalities)

    def draw(
        self, own: np.ndarray, modalities: int, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same in all modalities."""
        return np.tile(own, (modalities, 1)), own

    def pair(
        self, labels: np.ndarray, parts: Mapping[str, np.ndarray], modalities: int, seed: int
    ) -> Paired:
        """The items as they are; `labels` [N] may be any targets, and `seed` decides nothing."""
        self.check_modalities(modalities)
        items = np.asarray(labels)
        check_parts(parts, len(items))
        index = np.tile(np.arange(len(items), dtype=np.int64), (modalities, 1))
        return Paired(index, items, items[index], self.classes(items))

    def classes(self, labels: np.ndarray) -> int:
        """One more than the last of the labels, or 0 if they are no whole numbers."""
        whole = np.issubdtype(labels.dtype, np.integer)
        return int(labels.max(initial=-1)) + 1 if whole else 0
