"""First how many modalities are observed is drawn, then which."""

from __future__ import annotations

import math

import numpy as np

from mglib.missing.draws import places, ranks
from mglib.missing.law import Law
from mglib.missing.subsets import Shares, subsets
from mglib.registry import Setting, laws

BATCH = 64  # ours: ShaSpec's released commands have batches of one row


@laws.register("random_count")
class RandomCount(Law):
    """k is uniform in 1..M and a row observes a random k of the modalities; the only rate is 1.

    ShaSpec (https://arxiv.org/abs/2307.14126), whose code draws once per batch, after training on
    complete data. `per` "batch" lets 64 consecutive rows share a draw, "sample" none.
    """

    title = "random number of modalities"
    settings = {"per": Setting(str, "sample", words=("sample", "batch"))}

    def rates(self, modalities: int) -> tuple[float, float]:
        return 1.0, 1.0

    def together(self) -> int:
        return BATCH if self.values()["per"] == "batch" else 1

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        draws = -(-rows // self.together())
        count = places(random, draws, modalities) + 1
        table = ranks(random, draws, modalities) < count[:, None]
        return np.repeat(table, self.together(), axis=0)[:rows]

    def odds(self, modalities: int, rate: float) -> Shares:
        return {
            subset: 1 / (modalities * math.comb(modalities, sum(subset)))
            for subset in subsets(modalities)
        }
