"""Nothing is missing: the complete data that every other law is compared with."""

from __future__ import annotations

import numpy as np

from mglib.missing.law import Law
from mglib.missing.subsets import Shares, full
from mglib.registry import laws


@laws.register("none")
class Nothing(Law):
    """Everything is observed; the only rate is 0."""

    title = "complete"
    least = 1

    def rates(self, modalities: int) -> tuple[float, float]:
        return 0.0, 0.0

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        return np.ones((rows, modalities), dtype=bool)

    def odds(self, modalities: int, rate: float) -> Shares:
        return {full(modalities): 1.0}
