"""How encoders learn before they are fused: from labels, from masked copies, from pairs."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

from mglib.missing.branches import Branches
from mglib.missing.matching import contrast, matching
from mglib.missing.method import MissingBatch, losses
from mglib.trials.counter import uniforms

WORDS = ("labels", "masked", "pairs")
MASKED, TEMPERATURE = 0.3, 0.2  # ModalBed's, for its self-supervised heads
STREAM = 16  # of the seeds; dropping and substitutes use the first ones


def losses_alone(branches: Branches, batch: MissingBatch, classes: int) -> Tensor:
    """Mean over modalities of the losses of each branch alone, on the rows that have it, [T]."""
    said = branches.read(branches.encode(batch.x))
    own = [
        batch.mean(losses(said[:, :, m], batch.y, classes), batch.seen[..., m])
        for m in range(said.shape[2])
    ]
    return torch.stack(own).mean(0)


def masked_copies(branches: Branches, batch: MissingBatch) -> Tensor:
    """Mean over modalities of an InfoNCE loss between items and their masked copies, [T].

    MASKED of a copy's entries are zero; cosines of the encodings over TEMPERATURE; the other rows
    that have the modality are the negatives. Source: ModalBed (arXiv 2412.18277) trains its
    self-supervised perceptors so; on encodings of frozen features it is ours.
    """
    kept = [
        uniforms(batch.noise["seed"], own.shape[1:], STREAM + m) >= MASKED
        for m, own in enumerate(batch.x)
    ]
    z = branches.encode(batch.x)
    copies = branches.encode([own * keep for own, keep in zip(batch.x, kept, strict=True)])
    found = []
    for m, (one, other) in enumerate(zip(z, copies, strict=True)):
        a, b = (functional.normalize(own, dim=-1) for own in (one, other))
        rows = batch.seen[..., m] & (batch.used > 0)
        found.append(contrast(a @ b.mT / TEMPERATURE, rows))
    return torch.stack(found).mean(0)


def paired(branches: Branches, batch: MissingBatch) -> Tensor:
    """Mean over pairs of modalities of an InfoNCE loss between the two of an instance, [T].

    Both ways, on the rows that have both, as CLIP learns (arXiv 2103.00020), at TEMPERATURE.
    """
    z = branches.encode(batch.x)
    temperature = torch.full_like(batch.used[:, 0], TEMPERATURE)
    found = [
        matching(
            z[one],
            z[other],
            batch.seen[..., one] & batch.seen[..., other] & (batch.used > 0),
            "both",
            temperature,
        )
        for one, other in combinations(range(len(z)), 2)
    ]
    return torch.stack(found).mean(0)


def pretext_loss(branches: Branches, batch: MissingBatch, word: str, classes: int) -> Tensor:
    """The loss [T] of encoders, and with "labels" of their heads, by one of WORDS."""
    if word == "masked":
        return masked_copies(branches, batch)
    return paired(branches, batch) if word == "pairs" else losses_alone(branches, batch, classes)
