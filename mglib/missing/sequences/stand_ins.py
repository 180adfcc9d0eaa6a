"""What stands in for a modality that is wholly missing, by name, and frames in relative time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

ALONE, ZEROS, MEAN, POOLED, FRAMES = "alone", "zeros", "mean", "pooled", "frames"
STAND_INS = {
    ALONE: "present modality alone",
    ZEROS: "zeros",
    MEAN: "mean summary",
    POOLED: "generated summary",
    FRAMES: "generated frames",
}
UNMATCHED = "none"
# By stand-in, the levels at which it can be matched with what it stands in for.
LEVELS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((ALONE, ZEROS, MEAN), (UNMATCHED,)),
    POOLED: (UNMATCHED, "pooled"),
    FRAMES: (UNMATCHED, "pooled", "frames"),
}


def title_of(stand_in: str, matching: str) -> str:
    """What tables call a stand-in that is matched at this level."""
    if matching == UNMATCHED:
        return STAND_INS[stand_in]
    return f"{STAND_INS[stand_in]}, matched {'by frames' if matching == FRAMES else matching}"


def lengths_in(inside: Tensor, frames: int) -> Tensor:
    """Frames [T, B] of a sequence that fills as much of `frames` as another does of its own F.

    `inside` [T, B, F] are the other's; one at least. Ours: sequences that are padded to their
    longest are taken to run in one time.
    """
    share = inside.sum(-1) / inside.shape[-1]
    return (share * frames).round().long().clamp(min=1)


def in_relative_time(states: Tensor, lengths: Tensor, wanted: Tensor, frames: int) -> Tensor:
    """States [T, B, F, H] of `lengths` [T, B] at the times of `wanted` [T, B] frames of `frames`.

    [T, B, frames, H]: linear between the middles of frames, where both sequences run from 0 to 1;
    beyond the outer middles, and beyond `wanted`, as at the nearest one. Ours. Of sequences of one
    length these are the states themselves.
    """
    place = torch.arange(frames, device=states.device).minimum(wanted[..., None] - 1)
    most = (lengths[..., None] - 1).clamp(min=0)
    at = (place + 0.5) * (lengths / wanted)[..., None] - 0.5
    at = at.clamp(min=0).minimum(most)
    left = at.floor().long()
    right = (left + 1).minimum(most)
    shape = (*left.shape, states.shape[-1])
    one, other = (states.gather(2, own[..., None].expand(shape)) for own in (left, right))
    return one + (other - one) * (at - left)[..., None]


def whole_sequence(frames: Tensor, inside: Tensor) -> Tensor:
    """Frames [T, B, F, D] as one vector [T, B, F D], each with norm 1, or zeros if not inside.

    The cosine of two of these is the mean cosine of their frames at equal places, weighted by the
    root of their lengths where those differ.
    """
    own = functional.normalize(frames, dim=-1) * inside[..., None]
    return own.flatten(2)
