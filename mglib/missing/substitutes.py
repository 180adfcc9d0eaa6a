"""What stands in for a modality that is not seen, on the scale of its features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mglib.missing.method import Features
from mglib.trials.counter import bits, normals
from mglib.trials.networks import Streams

WORDS = ("mean", "zeros", "noise", "another", "token", "drop")
POOL = 64  # training items of which "another" is one


class Substitute(nn.Module):
    """Fills what is not seen by one of WORDS; "drop" leaves zeros, and fusion must leave it out.

    "mean" is the training mean, "zeros" what a vector of zeros is before it is put on the common
    scale, "noise" normal with the training mean and deviations, "another" an item of the training
    part, "token" learned. Noise and items are chosen anew for every row, from `seeds`.
    Source: UME-MMA's substitute is not known; the mean is its authors' ancestor's (section 5). The
    words are ours.
    """

    def __init__(self, streams: Streams, widths: Sequence[int], zeros: Sequence[Tensor], word: str):
        super().__init__()
        self.word = word
        self.tokens = nn.ParameterList()
        for place, width in enumerate(widths):
            if word == "token":
                drawn = [torch.randn(1, width, generator=stream) for stream in streams]
                self.tokens.append(nn.Parameter(torch.stack(drawn)))
            self.register_buffer(f"zeros{place}", zeros[place][:, None].clone())
            for name in ("mean", "deviation"):
                self.register_buffer(f"{name}{place}", torch.zeros(len(streams), 1, width))
            pool = torch.zeros(len(streams), POOL if word == "another" else 0, width)
            self.register_buffer(f"pool{place}", pool)

    def fit(self, x: Features, seen: Tensor) -> None:
        """Take means, deviations and items from the training part, [T, P, D] by modality."""
        for place, everything in enumerate(x):
            for trial, whole in enumerate(everything):
                own = whole[seen[trial, :, place]]  # by itself: sums must not hang on company
                if not len(own):
                    continue
                mean = own.mean(0)
                getattr(self, f"mean{place}")[trial, 0] = mean
                getattr(self, f"deviation{place}")[trial, 0] = (own - mean).square().mean(0).sqrt()
                if self.word == "another":
                    # The training part is in the order of instances: take from all over it.
                    order = bits(torch.zeros(1, dtype=torch.int64), (len(own),))[0].argsort()
                    chosen = order[torch.arange(POOL) % len(own)].to(own.device)
                    getattr(self, f"pool{place}")[trial] = own[chosen]

    def forward(self, x: Features, seen: Tensor, seeds: Tensor) -> list[Tensor]:
        """Features by modality [T, B, D] with what is not seen [T, B, M] filled."""
        return [
            torch.where(seen[..., place, None], own, self._instead(place, own, seeds))
            for place, own in enumerate(x)
        ]

    def _instead(self, place: int, like: Tensor, seeds: Tensor) -> Tensor:
        mean = getattr(self, f"mean{place}")
        if self.word == "token":
            return self.tokens[place].expand_as(like)
        if self.word == "noise":
            drawn = normals(seeds, like.shape[1:], 2 + place)
            return mean + getattr(self, f"deviation{place}") * drawn
        if self.word == "another":
            pool = getattr(self, f"pool{place}")
            chosen = bits(seeds, like.shape[1:2], 2 + place) % pool.shape[1]
            return pool.gather(1, chosen[..., None].expand_as(like))
        found = {"zeros": getattr(self, f"zeros{place}"), "mean": mean}.get(self.word)
        return torch.zeros_like(like) if found is None else found.expand_as(like)
