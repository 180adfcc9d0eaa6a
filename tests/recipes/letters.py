"""Letters: how often each byte occurs in a text (ours)."""

import numpy as np

from mglib.perceptors._base import Perceptor
from mglib.registry import perceptors


@perceptors.register("letters")
class Letters(Perceptor):
    """Counts of the byte values in a text, 256 wide."""

    version, kinds, unit_norm = "1", frozenset({"text"}), False

    def inputs(self, dataset, modality):
        return [("raw", modality)]

    def perceive(self, dataset, modality, inputs, split_seed, advance):  # values [N, D], lengths
        counts = [np.bincount(row[row > 0], minlength=256) for row in inputs[0].values]
        return np.stack(counts).astype(np.float32), None
