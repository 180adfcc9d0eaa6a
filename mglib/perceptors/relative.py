"""Each instance by its likeness to the same few anchors in every modality.

Moschella et al., arXiv 2209.15430: spaces that differ by a rotation have equal relative vectors, so
modalities share a space without a map, if the same instances are the anchors in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.perceptors._binding import WIDTH
from mglib.perceptors._draws import draw_pairs
from mglib.perceptors._linear import padded, unit_rows
from mglib.perceptors.frozen import ENCODERS
from mglib.registry import Setting, perceptors


@perceptors.register("relative")
class Relative(Perceptor):
    """Cosines to `pairs` anchor instances, the same in every modality, in a space of its own.

    The anchors are drawn from the binding part of a split, as pairs are for `bound`: `seed` says
    which, and more contain fewer. `source` is the perceptor in whose space cosines are taken. Both
    ours: rows are scaled to norm 1, and columns beyond the anchors are zero, so that a learner is
    as wide as in the other shared spaces.
    """

    version = "2"
    kinds = frozenset(ENCODERS)
    unit_norm = True
    fitted = True
    settings = {
        "pairs": Setting(int, 256, 2, why="likeness to one instance alone has no direction"),
        "source": Setting(str, "self_supervised", words=("self_supervised", "bound")),
        "seed": Setting(int, 0, 0),
    }

    def space(self, dataset: Dataset, modality: str) -> str:
        """One for all modalities: a column is the likeness to one instance."""
        return f"{self.name}/instances"

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The modality in the space of the source."""
        return [(self.values()["source"], modality)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Unit vectors [N, WIDTH], or [N, pairs] where there are more pairs than that."""
        from threadpoolctl import threadpool_limits

        if split_seed is None:
            raise MglibError(f"relative vectors of {modality} need a split")
        chosen: dict[str, Any] = self.values()
        own = inputs[0]
        binding = split_indices(own.groups, split_seed)["binding"]
        anchors = draw_pairs(binding, chosen["pairs"], split_seed, chosen["seed"], self.name)
        rows = unit_rows(own.values.astype(np.float64)).astype(np.float64)
        with threadpool_limits(limits=1):  # sums must not hang on the number of cores
            alike = rows @ rows[anchors].T
            return unit_rows(padded(alike, max(WIDTH, len(anchors)))), None
