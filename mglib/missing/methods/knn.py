"""What the nearest training items have where something is missing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from mglib.missing.imputing import Imputation
from mglib.missing.method import Features, MissingTask
from mglib.missing.subspaces import RANK, Subspaces
from mglib.registry import Setting, missing_methods
from mglib.trials.networks import Streams

POOL = 1024  # training items at most among which neighbours are sought
SAME = 1e-5  # this near to a cosine of 1 it is the item itself


@missing_methods.register("knn")
class NearestNeighbours(Imputation):
    """Imputes the mean of the `neighbours` training items of largest cosine in what is seen.

    Cosines are taken about each modality's training mean and averaged over the modalities that
    both have; an item must have what is missing. Without any it is the training mean.
    Source: the usual retrieval baseline. Ours: `rank` principal coordinates; POOL items spread
    over the training part; in training a row does not find itself (nor its equals).
    """

    title = "Nearest neighbours"
    settings = {
        "neighbours": Setting(int, 5, 1, 256),
        "rank": Setting(int, RANK, 2),
        **Imputation.settings,
    }

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        self.subspaces = Subspaces(len(streams), task.widths, self.own["rank"])
        for place, rank in enumerate(self.subspaces.ranks):
            for name in ("items", "directions"):
                self.register_buffer(f"{name}{place}", torch.zeros(len(streams), POOL, rank))
        self.there: Tensor
        there = torch.zeros(len(streams), POOL, task.modalities, dtype=torch.bool)
        self.register_buffer("there", there)

    def fit(self, x: Features, seen: Tensor, y: Tensor) -> None:
        """Take the items' coordinates."""
        self.subspaces.fit(x, seen)
        self.there.zero_()
        for trial in range(len(seen)):
            rows = seen[trial].any(-1).nonzero().squeeze(1)
            kept = min(POOL, len(rows))
            rows = rows[torch.arange(kept, device=rows.device) * len(rows) // max(1, kept)]
            self.there[trial, :kept] = seen[trial, rows]
            for place, own in enumerate(self.subspaces.rows(x, trial, rows)):
                getattr(self, f"items{place}")[trial, :kept] = own
                unit = functional.normalize(own, dim=-1)
                getattr(self, f"directions{place}")[trial, :kept] = unit

    def imputed(self, x: Features, seen: Tensor, learning: bool) -> list[Tensor]:
        """The mean of the neighbours' coordinates, as features."""
        nearness = self.nearness(self.subspaces.project(x), seen)
        if learning:
            nearness = nearness.masked_fill(nearness > 1 - SAME, -torch.inf)
        found = []
        for m, own in enumerate(x):
            lacking = ~seen[..., m]  # only there are neighbours sought: it takes the time
            trial = lacking.nonzero()[:, 0]
            may = nearness[lacking].masked_fill(~self.there[trial, :, m], -torch.inf)
            near, which = may.topk(self.own["neighbours"], -1)
            counts = near > -torch.inf
            items = getattr(self, f"items{m}")
            chosen = (items[trial[:, None], which] * counts[..., None]).sum(1)
            coordinates = items.new_zeros(*own.shape[:2], items.shape[-1])
            coordinates[lacking] = chosen / counts.sum(-1, keepdim=True).clamp(min=1)
            found.append(coordinates)
        return self.subspaces.lift(found)

    def nearness(self, z: Features, seen: Tensor) -> Tensor:
        """Mean cosine [T, B, POOL] over what both have; minus infinity where that is nothing."""
        total = seen.new_zeros((*seen.shape[:2], POOL), dtype=z[0].dtype)
        counts = torch.zeros_like(total)
        for m, own in enumerate(z):
            a, b = functional.normalize(own, dim=-1), getattr(self, f"directions{m}")
            both = seen[..., m, None] & self.there[:, None, :, m]
            total += torch.where(both, a @ b.mT, 0)
            counts += both
        return torch.where(counts > 0, total / counts.clamp(min=1), -torch.inf)
