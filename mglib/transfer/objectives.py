"""Losses on features and on answers: alignment, uniformity, and what a target task minimises.

Source: Wang and Isola, arXiv 2005.10242, equations 1 and 2 (a = 2, t = 2); MoNA (arXiv 2406.18864)
takes their sum on source features as its outer loss. What MoNA takes as a positive pair could not
be found: ours are two instances of one class.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def alignment(features: Tensor, labels: Tensor) -> Tensor:
    """Mean squared distance of unit vectors of one class, over all such pairs; a scalar.

    features [B, D] of any norm, labels [B]. Zero if no two instances share a class.
    """
    unit = functional.normalize(features, dim=-1)
    same = (labels[:, None] == labels[None, :]).triu(diagonal=1).to(unit.dtype)
    squared = (2 - 2 * unit @ unit.T).clamp_min(0)
    return (squared * same).sum() / same.sum().clamp_min(1)


def uniformity(features: Tensor) -> Tensor:
    """Logarithm of the mean of exp(-2 * squared distance) over all pairs of unit vectors."""
    unit = functional.normalize(features, dim=-1)
    squared = (2 - 2 * unit @ unit.T).clamp_min(0)
    count = len(unit)
    places = features.new_ones(count, count).triu(diagonal=1).bool()
    return (-2 * squared[places]).exp().mean().log()


def source_loss(features: Tensor, labels: Tensor, align: float = 1.0, unify: float = 1.0) -> Tensor:
    """MoNA's outer loss: weighted sum of alignment and uniformity of source features [B, D]."""
    return align * alignment(features, labels) + unify * uniformity(features)


def relative_error(answer: Tensor, wanted: Tensor) -> Tensor:
    """Mean over the batch of the norm of the error by the norm of what was wanted [B, ...].

    The loss of fields (relative L2, as in the Fourier neural operator's and ORCA's Darcy task).
    """
    error = (answer - wanted).flatten(1).norm(dim=1)
    return (error / wanted.flatten(1).norm(dim=1).clamp_min(1e-12)).mean()
