"""What fusion models share: an encoder and a head for every modality, and dropped modalities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mglib.missing.convolution import Shape, encoder
from mglib.missing.heads import Answerer, head
from mglib.missing.method import Features
from mglib.trials.counter import uniforms
from mglib.trials.networks import Streams


class Branches(nn.Module):
    """M encoders D -> H with ReLU, each with a linear head H -> C; equal for all methods.

    An encoder is one layer; with `shapes` those of pictures are convolutional, see `convolution`.
    Without `outputs` there are no heads.
    """

    def __init__(
        self,
        streams: Streams,
        widths: Sequence[int],
        hidden: int,
        outputs: int = 0,
        shapes: Sequence[Shape] = (),
    ):
        super().__init__()
        self.encoders = nn.ModuleList(
            encoder(streams, shape, hidden) for shape in shapes or [(width,) for width in widths]
        )
        self.heads = nn.ModuleList(head(streams, hidden, outputs) for _ in widths if outputs)

    def encode(self, x: Features) -> list[Tensor]:
        """Encoded features by modality, each [T, B, H]."""
        return [encoder(own).relu() for encoder, own in zip(self.encoders, x, strict=True)]

    def read(self, z: Sequence[Tensor]) -> Tensor:
        """What each modality's head says alone, [T, B, M, C]."""
        return torch.stack([head(own) for head, own in zip(self.heads, z, strict=True)], 2)


class Masked(nn.Module):
    """Branches, whose features are zeros where a modality is not seen, and a perceptron on all.

    Each branch has a head of its own only if there are `heads`.
    """

    def __init__(
        self,
        streams: Streams,
        widths: Sequence[int],
        hidden: int,
        outputs: int,
        *,
        heads: bool = False,
    ):
        super().__init__()
        self.branches = Branches(streams, widths, hidden, outputs if heads else 0)
        self.perceptron = Answerer(streams, [len(widths) * hidden, hidden, outputs])

    def forward(self, x: Features, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden features [T, B, H] and answers [T, B, C]."""
        z = [own * seen[..., m, None] for m, own in enumerate(self.branches.encode(x))]
        inner, outer = self.perceptron.layers
        features = inner(torch.cat(z, -1)).relu()
        return features, outer(features)


def drop(
    seen: Tensor, seeds: Tensor, probability: Tensor, law: str, *, together: bool = False
) -> Tensor:
    """What is still seen [T, B, M] after modalities were dropped at random; never all of a row.

    `law` "one": with `probability` [T] one of the seen modalities, uniformly; "independent": each
    with that probability. `together` drops the same in all rows. `seeds` are int64 [T].
    """
    rows = 1 if together else seen.shape[1]
    drawn = uniforms(seeds, (rows, seen.shape[2] + 1)).expand(-1, seen.shape[1], -1)
    order = torch.where(seen, 1 + drawn[..., 1:], 0)
    last = order == order.amax(-1, keepdim=True)  # one of the seen, uniformly
    chance = probability[:, None, None]
    if law == "one":
        several = seen.sum(-1, keepdim=True) > 1
        return seen & ~((drawn[..., :1] < chance) & last & several)
    kept = seen & (uniforms(seeds, (rows, seen.shape[2]), 1).expand_as(seen) >= chance)
    return torch.where(kept.any(-1, keepdim=True), kept, seen & last)


def uniform_subsets(seen: Tensor, seeds: Tensor, *, proper: bool = False) -> Tensor:
    """For each row one of the non-empty subsets of what is seen [T, B, M], all equally likely.

    A `proper` one leaves something out, unless a row has one modality only.
    """
    count = 2 ** seen.sum(-1, keepdim=True) - 1 - int(proper)
    chosen = 1 + (uniforms(seeds, (*seen.shape[1:2], 1)) * count).long()
    return seen & (chosen.bitwise_right_shift(seen.cumsum(-1) - seen.long()) % 2 == 1)


def tempered(logits: Tensor, y: Tensor, rows: Tensor) -> Tensor:
    """The temperature [T] in 0.1 to 10 that fits logits [T, P, C] to labels [T, P] best.

    Of the rows where `rows` [T, P]; the likelihood is concave in its reciprocal, so golden-section
    search finds it (Guo et al. 2017, arXiv 1706.04599); 1 where there are no rows.
    """
    # Each trial by itself: sums must not hang on how many rows the others have.
    found = [
        _tempered(own[used], labels[used]) if used.any() else 1.0
        for own, labels, used in zip(logits, y, rows, strict=True)
    ]
    return torch.tensor(found, device=y.device)


def _tempered(logits: Tensor, y: Tensor) -> float:
    low, high, step = math.log(0.1), math.log(10.0), (5**0.5 - 1) / 2

    def cost(at: float) -> float:
        return float(functional.cross_entropy(logits.detach() * math.exp(-at), y))

    for _ in range(40):
        left, right = high - step * (high - low), low + step * (high - low)
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)
    return math.exp((low + high) / 2)
