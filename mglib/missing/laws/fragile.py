"""One modality is lost more often than the others."""

from __future__ import annotations

import numpy as np

from mglib.missing.draws import restored, uniforms
from mglib.missing.law import Law
from mglib.missing.subsets import Shares, independent_shares, restored_shares
from mglib.registry import Setting, laws


@laws.register("fragile")
class Fragile(Law):
    """One modality, at a `place` from 0, is lost at `rate`, each of the others at `others`.

    Imbalanced rates after MissBench (https://arxiv.org/abs/2603.09874) and MCE
    (https://arxiv.org/abs/2510.10534), whose code loses exactly int(N * rate) entries of each
    modality and lets a row lose everything. Ours: Bernoulli losses, and a row that loses everything
    gets one modality back, each as likely.
    """

    title = "one fragile modality"
    settings = {"place": Setting(int, 0, 0), "others": Setting(float, 0.1, 0, 1)}

    def losses(self, modalities: int, rate: float) -> np.ndarray:
        """The rate of each modality before a row gets one back: [M]."""
        found = np.full(modalities, self.values()["others"])
        found[self.values()["place"]] = rate
        return found

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        table = uniforms(random, rows, modalities) >= self.losses(modalities, rate)
        return restored(random, table)

    def odds(self, modalities: int, rate: float) -> Shares:
        return restored_shares(independent_shares(self.losses(modalities, rate).tolist()))
