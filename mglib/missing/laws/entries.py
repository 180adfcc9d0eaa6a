"""A share of all entries of the table is missing, with something observed in every row."""

from __future__ import annotations

import numpy as np

from mglib.missing.draws import places, uniforms
from mglib.missing.law import Law
from mglib.missing.subsets import Shares, subsets
from mglib.registry import laws


@laws.register("entries")
class Entries(Law):
    """`rate` is the share of missing entries; one modality of a row is kept, the others at random.

    GCNet (https://arxiv.org/abs/2203.02177) after CPM-Nets: one modality is kept uniformly, every
    other with probability q = (M * (1 - rate) - 1) / (M - 1), so the highest rate is (M - 1) / M.
    GCNet's code rounds probabilities down to whole percents, draws again until the share is within
    0.005, and takes the 0.7 of three modalities for 2/3; ours is exact in expectation, and has no
    0.7.
    """

    title = "share of missing entries"

    def rates(self, modalities: int) -> tuple[float, float]:
        return 0.0, (modalities - 1) / modalities

    def kept(self, modalities: int, rate: float) -> float:
        """The probability that a modality is observed beside the one that is kept."""
        return max(modalities * (1 - rate) - 1, 0.0) / (modalities - 1)

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        table = uniforms(random, rows, modalities) < self.kept(modalities, rate)
        table[np.arange(rows), places(random, rows, modalities)] = True
        return table

    def odds(self, modalities: int, rate: float) -> Shares:
        q = self.kept(modalities, rate)
        return {
            subset: sum(subset)
            / modalities
            * q ** (sum(subset) - 1)
            * (1 - q) ** (modalities - sum(subset))
            for subset in subsets(modalities)
        }
