"""A rotation from the space of what is seen to that of what is missing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mglib.missing.imputing import Imputation
from mglib.missing.method import Features, MissingTask
from mglib.missing.subspaces import RANK, LinearMaps
from mglib.registry import Setting, missing_methods
from mglib.trials.networks import Streams


@missing_methods.register("procrustes")
class Procrustes(Imputation):
    """Imputes by the orthogonal map between two modalities' centred principal coordinates.

    Source: Schoenemann 1966, doi 10.1007/BF02289451: U V' of the singular value decomposition of
    A'B. Ours: `rank` coordinates of each; directions that the rows do not tell map to 0, and where
    ranks differ the map is a partial isometry; the mean over the seen modalities.
    """

    title = "Procrustes imputation"
    settings = {"rank": Setting(int, RANK, 2), **Imputation.settings}

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        self.maps = LinearMaps(len(streams), task.widths, self.own["rank"], joint=False)

    def fit(self, x: Features, seen: Tensor, y: Tensor) -> None:
        """Take the rotations."""

        def solve(trial: int, a: Tensor, b: Tensor) -> Tensor:
            left, sizes, right = torch.linalg.svd(a.T @ b, full_matrices=False)
            told = sizes > 1e-9 * sizes.amax()
            return (left * told) @ right

        self.maps.fit(x, seen, solve)

    def imputed(self, x: Features, seen: Tensor, learning: bool) -> list[Tensor]:
        """The mean of what the seen modalities turn to."""
        made: list[Tensor] = self.maps(x, seen)
        return made
