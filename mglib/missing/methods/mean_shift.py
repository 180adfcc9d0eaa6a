"""The modality-gap vector: what is seen, moved to where the missing modality lies."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mglib.missing.generating import mean_of_others
from mglib.missing.imputing import Imputation
from mglib.missing.method import Features, MissingTask
from mglib.missing.subspaces import RANK, LinearMaps
from mglib.registry import Setting, missing_methods
from mglib.trials.networks import Streams


@missing_methods.register("mean_shift")
class MeanShift(Imputation):
    """Imputes x_m = x_j + mean_m - mean_j, the mean over the seen modalities j.

    Source: the modality gap of Liang et al. 2022 (arXiv 2203.02053); made for spaces that were
    bound. Ours: spaces of different widths have no common coordinates; there the k-th of the
    `rank` principal ones goes with the k-th, with the sign that rows seen in both correlate with.
    """

    title = "Mean shift"
    settings = {"rank": Setting(int, RANK, 2), **Imputation.settings}

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        self.common = len(set(task.widths)) == 1
        if self.common:
            for place, width in enumerate(task.widths):
                self.register_buffer(f"mean{place}", torch.zeros(len(streams), 1, width))
        else:
            self.maps = LinearMaps(len(streams), task.widths, self.own["rank"], joint=False)

    def fit(self, x: Features, seen: Tensor, y: Tensor) -> None:
        """Take the means, or coordinates and their signs."""

        def solve(trial: int, a: Tensor, b: Tensor) -> Tensor:
            found = torch.zeros(a.shape[1], b.shape[1], dtype=a.dtype, device=a.device)
            found.fill_diagonal_(1)
            return found * torch.where(a.T @ b < 0, -1, 1)

        if not self.common:
            self.maps.fit(x, seen, solve)
            return
        for place, own in enumerate(x):
            for trial in range(len(own)):
                rows = own[trial, seen[trial, :, place]]
                if len(rows):
                    getattr(self, f"mean{place}")[trial] = rows.mean(0)

    def imputed(self, x: Features, seen: Tensor, learning: bool) -> list[Tensor]:
        """The mean of the seen modalities, moved."""
        made: list[Tensor]
        if not self.common:
            made = self.maps(x, seen)
            return made
        means = [getattr(self, f"mean{m}") for m in range(len(x))]
        centred = {m: own - means[m] for m, own in enumerate(x)}
        return [mean_of_others(centred, seen, m) + mean for m, mean in enumerate(means)]
