"""Ridge regression from what is seen to what is missing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mglib.errors import MglibError
from mglib.missing.imputing import Imputation
from mglib.missing.method import Features, MissingTask
from mglib.missing.subspaces import RANK, LinearMaps
from mglib.registry import Setting, missing_methods
from mglib.trials.networks import Streams

MOST = 4  # modalities of which all sets are mapped


@missing_methods.register("ridge")
class Ridge(Imputation):
    """Imputes by ridge regression, min |Z_m - Z_S W|^2 + strength * n |W|^2 over the n rows.

    `maps`: "joint" for each set S of seen modalities, "pairwise" for each one, and then the mean.
    Source: the usual linear baseline of generators. Ours: it works between each modality's `rank`
    principal coordinates, so that features of 1280 numbers stay cheap; the fusion and its training
    are those of every imputation here.
    """

    title = "Ridge imputation"
    settings = {
        "strength": Setting(float, 1.0, 1e-6, 1e6, why="it is a share of the rows' number"),
        "maps": Setting(str, "joint", words=("joint", "pairwise")),
        "rank": Setting(int, RANK, 2),
        **Imputation.settings,
    }

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        joint = self.own["maps"] == "joint"
        self.maps = LinearMaps(len(streams), task.widths, self.own["rank"], joint)

    @classmethod
    def check_task(cls, modalities: int, classes: int) -> None:
        """There are too many sets of many modalities."""
        super().check_task(modalities, classes)
        if cls.values()["maps"] == "joint" and modalities > MOST:
            raise MglibError(
                f"joint maps are for at most {MOST} modalities, not {modalities}: use "
                f"'{cls.name}@maps=pairwise'"
            )

    def fit(self, x: Features, seen: Tensor, y: Tensor) -> None:
        """Solve the normal equations."""

        def solve(trial: int, a: Tensor, b: Tensor) -> Tensor:
            penalty = self.hparams["strength"][trial].double() * len(a)
            inner = a.T @ a + penalty * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
            return torch.linalg.solve(inner, a.T @ b)

        self.maps.fit(x, seen, solve)

    def imputed(self, x: Features, seen: Tensor, learning: bool) -> list[Tensor]:
        """By the map for what is seen."""
        made: list[Tensor] = self.maps(x, seen)
        return made
