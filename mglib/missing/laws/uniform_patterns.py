"""Every subset with something observed is as likely as every other."""

from __future__ import annotations

import numpy as np

from mglib.missing.draws import places
from mglib.missing.law import Law
from mglib.missing.subsets import Shares, Subset, subsets
from mglib.registry import laws


@laws.register("uniform_patterns")
class UniformPatterns(Law):
    """A row observes one of the 2^M - 1 non-empty subsets, each as likely; the only rate is 1.

    MMANet's drop (CVPR 2023, "average" in its code, 1/7 each for three modalities), per row.
    """

    title = "uniform over patterns"

    def rates(self, modalities: int) -> tuple[float, float]:
        return 1.0, 1.0

    def patterns(self, modalities: int) -> list[Subset]:
        """The subsets that the law draws from, in their order."""
        return subsets(modalities)

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        found = np.array(self.patterns(modalities))
        return found[places(random, rows, len(found))]

    def odds(self, modalities: int, rate: float) -> Shares:
        found = self.patterns(modalities)
        return dict.fromkeys(found, 1 / len(found))
