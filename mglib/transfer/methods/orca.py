"""ORCA: the target embedder is first aligned with the source's embedded instances, then all learns.

Source: Shen et al., "Cross-Modal Fine-Tuning: Align then Refine", ICML 2023 (arXiv 2302.05738),
section 3, and its public code. Ours: the published alignment takes one step per epoch, over all
target classes against up to 5,000 source instances; here each step takes one batch of the target,
all its classes, against one batch of the source. Classes of one instance are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mglib.errors import MglibError
from mglib.registry import Setting, transfers
from mglib.transfer.method import (
    Method,
    Stage,
    TransferBatch,
    all_names,
    filled,
    source_of,
    task_gradients,
)
from mglib.transfer.methods.warm_up import RATE, SHARE
from mglib.transfer.model import TransferModel
from mglib.transfer.otdd import otdd
from mglib.transfer.target import Target

CLUSTERS = 10
CLUSTERED = 2000  # training answers that pseudo-classes are found on, at most
ROUNDS = 20


def token_means(tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """Tokens [B, L, D], of which those in `mask` [B, L] are real, or maps [B, D, h, w] -> [B, D].

    The mean over tokens or places. Raises MglibError for tensors of other dimensions.
    """
    if tokens.ndim == 4:
        return tokens.mean((2, 3))
    if tokens.ndim != 3:
        raise MglibError(f"embedded inputs are [B, L, D] or [B, D, h, w], not {list(tokens.shape)}")
    if mask is None:
        return tokens.mean(1)
    weight = mask[:, :, None].to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1)


def k_means(points: Tensor, count: int, rounds: int = ROUNDS) -> Tensor:
    """Centres [K, D] of at most `count` clusters of points [N, D], without any random number.

    Lloyd's rounds from the point nearest to the mean and then always the point farthest from all
    centres so far; fewer clusters where points coincide.
    """
    chosen = [int((points - points.mean(0)).square().sum(1).argmin())]
    apart = (points - points[chosen[0]]).square().sum(1)
    while len(chosen) < count and float(apart.max()) > 0:
        chosen.append(int(apart.argmax()))
        apart = torch.minimum(apart, (points - points[chosen[-1]]).square().sum(1))
    centres = points[chosen]
    for _ in range(rounds):
        nearest = torch.cdist(points, centres).argmin(1)
        counts = torch.bincount(nearest, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add(0, nearest, points)
        # a cluster that lost all its points stays where it was
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    return centres


@transfers.register("orca")
class ORCA(Method):
    """Stage 1 moves the embedder alone, by OTDD to the source; stage 2 is plain fine-tuning.

    Stage 1 compares means over tokens of what the target embedder and the source embedder give: a
    target class at a time, weighted by its share of the batch. Fields have no classes: theirs are
    clusters of the training answers (k-means, k = 10, as in ORCA), found once.
    """

    title = "ORCA"
    settings = {
        "share": SHARE,
        "rate": RATE,
        "regularisation": Setting(float, 0.1, 0.001, 1000.0),
    }

    def __init__(self) -> None:
        self._found: tuple[Target, Tensor] | None = None

    def stages(self, model: TransferModel) -> list[Stage]:
        """Alignment and fine-tuning."""
        own = self.values()
        embedder = all_names(model, "embedder")
        return [
            Stage("alignment", own["share"], embedder, self.align, own["rate"], source=1.0),
            Stage("fine-tuning", 1 - own["share"], all_names(model), task_gradients),
        ]

    def classes(self, target: Target, answers: Tensor) -> Tensor:
        """Classes [B] of answers: themselves, or the clusters of fields [B, *output]."""
        if target.shape.classes:
            return answers
        if self._found is None or self._found[0] is not target:
            learned = torch.from_numpy(target.parts["train"])
            learned = learned[:: max(1, -(-len(learned) // CLUSTERED))]
            self._found = target, k_means(target.answers[learned].flatten(1).float(), CLUSTERS)
        centres = self._found[1].to(answers.device)
        return torch.cdist(answers.flatten(1).float(), centres).argmin(1)

    def distance(self, model: TransferModel, target: Target, batch: TransferBatch) -> Tensor:
        """OTDD of a target batch, class by class, to a source batch: a scalar."""
        source, labels = source_of(batch)
        return otdd(
            token_means(*model.body.source_tokens(source)),
            labels,
            token_means(model.embedder(batch.inputs)),
            self.classes(target, batch.answers),
            self.values()["regularisation"],
            by_class=True,
        )

    def align(
        self, model: TransferModel, target: Target, batch: TransferBatch, own: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The gradient of the OTDD for the embedder."""
        loss = self.distance(model, target, batch)
        found = torch.autograd.grad(loss, list(own.values()), allow_unused=True)
        return filled(found, own)
