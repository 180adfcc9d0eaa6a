"""What a temporal encoder does about lost frames, by name.

A way takes frames x [T, B, F, D] on the standardised scale, what is `seen` of them and what is
`inside` their sequences, bool [T, B, F], and gives the frames that the encoder reads and those at
which its state moves. What is not seen has no influence, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Way = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def zeros(x: Tensor, seen: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Lost frames are zeros, the training part's mean, and are read like all others.

    As MMSA, TFR-Net, EMT-DLFR and LNLN hand them to their models, on the scale of features there.
    """
    return torch.where(seen[..., None], x, 0), inside


def told(x: Tensor, seen: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Zeros, and one value more in every frame that is 1 where the frame was seen."""
    return torch.cat([zeros(x, seen, inside)[0], seen[..., None].to(x)], -1), inside


def skipped(x: Tensor, seen: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The state is carried over a lost frame, as if the sequence were shorter."""
    return zeros(x, seen, inside)[0], seen


def interpolated(x: Tensor, seen: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Between seen frames linear in time, before the first and after the last as these.

    Zeros where no frame was seen.
    """
    frames = x.shape[2]
    place = torch.arange(frames, device=x.device)
    before = torch.where(seen, place, -1).cummax(-1).values
    after = torch.where(seen, place, frames).flip(-1).cummin(-1).values.flip(-1)
    left = torch.where(before < 0, after, before).clamp(max=frames - 1)
    right = torch.where(after == frames, before, after).clamp(min=0)
    share = (place - left) / (right - left).clamp(min=1)
    clean = zeros(x, seen, inside)[0]
    shape = (*left.shape, x.shape[-1])
    one, other = (clean.gather(2, own[..., None].expand(shape)) for own in (left, right))
    return one + (other - one) * share[..., None], inside


def pooled(x: Tensor, seen: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """One frame, the mean of those that were seen: for an encoder without recurrence."""
    total = zeros(x, seen, inside)[0].sum(2, keepdim=True)
    count = seen.sum(-1)[..., None]
    return total / count.clamp(min=1)[..., None], count > 0


POOLED = "pooled"
WAYS: dict[str, Way] = {
    "zeros": zeros,
    "told": told,
    "skipped": skipped,
    "interpolated": interpolated,
    POOLED: pooled,
}
TITLES = {
    "zeros": "zeros",
    "told": "zeros with a bit",
    "skipped": "skipped",
    "interpolated": "interpolated",
    POOLED: "mean of frames",
}


def width_of(way: str, width: int) -> int:
    """D of the frames that the encoder reads, of frames of this width."""
    return width + 1 if way == "told" else width
