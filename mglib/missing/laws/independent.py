"""Every modality is lost by itself at the same rate: missing completely at random."""

from __future__ import annotations

import numpy as np

from mglib.missing.draws import restored, uniforms
from mglib.missing.law import Law
from mglib.missing.subsets import Shares, independent_shares, restored_shares
from mglib.registry import Setting, laws


@laws.register("independent")
class Independent(Law):
    """Each modality of each row is lost with probability `rate`, whatever else is.

    Plain modality dropout. A row that loses everything stays so where `empty` is "kept", so that
    the realised rate is the nominal one; with "one" it gets one modality back, each as likely, and
    a modality is missing with probability rate - rate^M / M. Of one stream, what is lost at a rate
    is also lost at every higher one.
    """

    title = "independent losses"
    least = 1
    settings = {"empty": Setting(str, "kept", words=("kept", "one"))}

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        table = uniforms(random, rows, modalities) >= rate
        return table if self.values()["empty"] == "kept" else restored(random, table)

    def odds(self, modalities: int, rate: float) -> Shares:
        found = independent_shares([rate] * modalities)
        return found if self.values()["empty"] == "kept" else restored_shares(found)
