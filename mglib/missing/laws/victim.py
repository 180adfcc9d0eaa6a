"""One modality is the victim: complete in an exact share of the rows, lost in all others."""

from __future__ import annotations

import numpy as np

from mglib.missing.draws import order
from mglib.missing.law import Law
from mglib.missing.subsets import Shares, full, without
from mglib.registry import Setting, laws


@laws.register("victim")
class Victim(Law):
    """floor(N * p) rows are complete, p = 1 - rate; all others lose the modality at `place`.

    The p of MM-Align (https://arxiv.org/abs/2210.12798) and TRML
    (https://arxiv.org/abs/2401.13697). Its modes are the caller's: c is this law for training and
    a rate of 1 for validation and test, d is one rate for all three parts.
    """

    title = "one victim"
    settings = {"place": Setting(int, 0, 0)}

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        # p to 12 digits: 1 - 0.9 is a little below the 0.1 that was published, and floor tells.
        complete = int(np.floor(rows * round(1 - rate, 12)))
        table = np.ones((rows, modalities), dtype=bool)
        table[order(random, rows)[complete:], self.values()["place"]] = False
        return table

    def odds(self, modalities: int, rate: float) -> Shares:
        return {full(modalities): 1 - rate, without(modalities, self.values()["place"]): rate}
