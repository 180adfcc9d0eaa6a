"""V-REx: penalise the variance of the modalities' risks.

Krueger et al. (2021), https://arxiv.org/abs/2003.00688.
"""

from mglib.algorithms.erm import ERM
from mglib.registry import algorithms
from mglib.trials.algorithm import cross_entropies


@algorithms.register("vrex")
class VREx(ERM):
    """ERM plus the variance of the modalities' mean cross-entropies."""

    title = "V-REx"

    def loss(self, batch):  # features x [T, M, B, D], labels y [T, M, B] -> [T]
        """Mean risk plus the variance of the risks, [T]."""
        risks = batch.means(cross_entropies(self.predict(batch.x), batch.y))
        return risks.mean(1) + risks.var(1, unbiased=False)
