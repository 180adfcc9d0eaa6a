"""What is missing tells the class: missing not at random."""

from __future__ import annotations

import numpy as np

from mglib.missing.draws import restored, uniforms
from mglib.missing.law import Law
from mglib.missing.subsets import Shares, independent_shares, restored_shares
from mglib.registry import Setting, laws


@laws.register("by_label")
class ByLabel(Law):
    """A modality is lost more often in every second class, by `strength` of what there is room for.

    Ours. The modality at place m of a row with label y is lost with probability rate + d where
    y + m is even and rate - d where it is odd, d = strength * min(rate, 1 - rate): which modality
    is missing tells something of the class, and where M is even no class loses more on the whole. A
    row that loses everything gets one modality back, each as likely. `shares` are averaged over a
    label that is even or odd with equal probability, as a uniform one of an even number of classes
    is.
    """

    title = "by class"
    labelled = True
    settings = {"strength": Setting(float, 0.5, 0, 1)}

    def losses(self, modalities: int, rate: float) -> np.ndarray:
        """The rate of each modality in even and odd classes, before a row gets one back: [2, M]."""
        room = self.values()["strength"] * min(rate, 1 - rate)
        even = (np.arange(2)[:, None] + np.arange(modalities)) % 2 == 0
        return np.clip(np.where(even, rate + room, rate - room), 0, 1)

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        parity = np.asarray(labels) % 2
        table = uniforms(random, rows, modalities) >= self.losses(modalities, rate)[parity]
        return restored(random, table)

    def odds(self, modalities: int, rate: float) -> Shares:
        even, odd = map(independent_shares, self.losses(modalities, rate).tolist())
        return restored_shares({subset: (even[subset] + odd[subset]) / 2 for subset in even})
