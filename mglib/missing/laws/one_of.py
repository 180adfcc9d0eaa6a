"""At most one modality of a row is lost."""

from __future__ import annotations

import numpy as np

from mglib.missing.draws import places, uniforms
from mglib.missing.law import Law
from mglib.missing.subsets import Shares, full, without
from mglib.registry import laws


@laws.register("one_of")
class OneOf(Law):
    """With probability `rate` a row loses exactly one modality, each as likely as the others.

    Our reading of UME-MMA's augmentation (https://arxiv.org/abs/2310.06383), which drops one
    modality at random; its probability and whether it is drawn per row are not published.
    """

    title = "one of them"

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        hit = uniforms(random, rows) < rate
        table = np.ones((rows, modalities), dtype=bool)
        table[np.flatnonzero(hit), places(random, rows, modalities)[hit]] = False
        return table

    def odds(self, modalities: int, rate: float) -> Shares:
        losses = {without(modalities, place): rate / modalities for place in range(modalities)}
        return {full(modalities): 1 - rate, **losses}
