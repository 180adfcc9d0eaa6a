"""An exact share of the rows is incomplete: the protocol of missing-aware prompts."""

from __future__ import annotations

import numpy as np

from mglib.errors import MglibError
from mglib.missing.draws import order
from mglib.missing.law import Law
from mglib.missing.subsets import Shares, alone, full, without
from mglib.registry import Setting, laws


@laws.register("incomplete")
class Incomplete(Law):
    """Exactly int(rate * N) rows are incomplete: they lose the modality `type`, or all but one.

    The eta of missing-aware prompts (https://arxiv.org/abs/2303.03369) and DCP
    (https://arxiv.org/abs/2410.06558), published for two modalities. With "both" the incomplete
    rows are split evenly by the one modality that they keep; what an even split leaves over keeps
    the first. Ours for M > 2: the same, in M parts. A `type` from 0 is the place of the modality
    that they all lose.
    """

    title = "share of incomplete rows"
    settings = {"type": Setting(int, "both", 0, words=("both",))}

    def check(self, modalities: int, rate: float) -> None:
        super().check(modalities, rate)
        kind = self.values()["type"]
        if kind != "both" and kind >= modalities:
            raise MglibError(
                f"type of law '{self.name}' must be 'both' or a whole number from 0 to "
                f"{modalities - 1} for {modalities} modalities, not {kind}"
            )

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        lost = order(random, rows)[: int(rows * rate)]
        table = np.ones((rows, modalities), dtype=bool)
        if self.values()["type"] != "both":
            table[lost, self.values()["type"]] = False
            return table
        for place, part in enumerate(np.array_split(lost, modalities)):
            table[part] = alone(modalities, place)
        return table

    def odds(self, modalities: int, rate: float) -> Shares:
        if self.values()["type"] != "both":
            return {full(modalities): 1 - rate, without(modalities, self.values()["type"]): rate}
        kept = {alone(modalities, place): rate / modalities for place in range(modalities)}
        return {full(modalities): 1 - rate, **kept}
