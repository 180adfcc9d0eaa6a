"""Worst: the risk of the modality that does worst, and of no other (ours).

The limit of group distributionally robust optimisation at an infinite step of the weights.
"""

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import cross_entropies


@algorithms.register("worst")
class Worst(ERM):
    """The largest of the modalities' mean cross-entropies."""

    title = "Worst modality"

    def loss(self, batch):  # features x [T, M, B, D], labels y [T, M, B] -> [T]
        """The largest risk of any modality, [T]."""
        return batch.means(cross_entropies(self.predict(batch.x), batch.y)).amax(1)
