"""Each modality's principal subspace, and linear maps between them, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mglib.missing.method import Features
from mglib.missing.subsets import subsets
from mglib.trials.counter import normals

RANK = 64
SPARE, ROUNDS = 8, 3  # of the subspace iteration
START = 20110609  # its start is drawn once for all
Solve = Callable[[int, Tensor, Tensor], Tensor]  # (trial, A [n, R], B [n, S]) -> [R, S]


def times(a: Tensor, b: Tensor) -> Tensor:
    """Products [T, B, S] of [T, B, R] and [T, R, S], the same alone and in company (see heads)."""
    return torch.bmm(a, b) if b.shape[-1] > 1 else (a * b.mT).sum(-1, keepdim=True)


def principal(x: Tensor, rank: int) -> Tensor:
    """About the first `rank` principal directions [D, rank] of centred x [n, D].

    By subspace iteration from a random start (Halko et al. 2011, arXiv 0909.4061, algorithm 4.4);
    exact if D is at most `rank` and SPARE more.
    """
    width = x.shape[1]
    spare = min(width, rank + SPARE)
    if spare == width:
        found = torch.eye(width, device=x.device)
    else:
        seed = torch.tensor([START], device=x.device)
        found = torch.linalg.qr(normals(seed, (width, spare))[0])[0]
        for _ in range(ROUNDS):
            found = torch.linalg.qr(x.T @ (x @ found))[0]
    inside = x @ found
    _, directions = torch.linalg.eigh((inside.T @ inside).double())
    return found @ directions.flip(1)[:, :rank].float()


class Subspaces(nn.Module):
    """Means and principal directions by modality, of the training part's items that are seen."""

    def __init__(self, trials: int, widths: Sequence[int], rank: int):
        super().__init__()
        self.ranks = [min(rank, width) for width in widths]
        for place, (width, own) in enumerate(zip(widths, self.ranks, strict=True)):
            self.register_buffer(f"mean{place}", torch.zeros(trials, 1, width))
            self.register_buffer(f"basis{place}", torch.zeros(trials, width, own))

    def fit(self, x: Features, seen: Tensor) -> None:
        """Take them trial by trial: of its own rows only, so company changes nothing."""
        for place, (own, rank) in enumerate(zip(x, self.ranks, strict=True)):
            for trial in range(len(own)):
                rows = own[trial, seen[trial, :, place]]
                if len(rows):
                    mean = rows.mean(0, keepdim=True)
                    getattr(self, f"mean{place}")[trial] = mean
                    getattr(self, f"basis{place}")[trial] = principal(rows - mean, rank)

    def project(self, x: Features) -> list[Tensor]:
        """Coordinates by modality, [T, B, R] of [T, B, D]."""
        return [
            times(own - getattr(self, f"mean{m}"), getattr(self, f"basis{m}"))
            for m, own in enumerate(x)
        ]

    def rows(self, x: Features, trial: int, chosen: Tensor) -> list[Tensor]:
        """Coordinates by modality, [n, R], of one trial's rows `chosen` [P]."""
        return [
            (own[trial, chosen] - getattr(self, f"mean{m}")[trial])
            @ getattr(self, f"basis{m}")[trial]
            for m, own in enumerate(x)
        ]

    def lift(self, z: Sequence[Tensor]) -> list[Tensor]:
        """Features by modality [T, B, D] of coordinates [T, B, R]."""
        return [
            times(own, getattr(self, f"basis{m}").mT) + getattr(self, f"mean{m}")
            for m, own in enumerate(z)
        ]


class LinearMaps(nn.Module):
    """Affine maps to each modality from the others, between their principal subspaces.

    `joint`: one map for each set of seen modalities; else one for each pair, and the mean over the
    seen ones. A map is fitted on the rows that have all of its modalities; without such rows it
    gives the training mean.
    """

    def __init__(self, trials: int, widths: Sequence[int], rank: int, joint: bool):
        super().__init__()
        self.subspaces = Subspaces(trials, widths, rank)
        self.joint, ranks = joint, self.subspaces.ranks
        self.sources = [
            [
                tuple(j for j, there in enumerate(pattern) if there)
                for pattern in subsets(len(widths))
                if not pattern[m] and (joint or sum(pattern) == 1)
            ]
            for m in range(len(widths))
        ]
        for m, sources in enumerate(self.sources):
            for number, source in enumerate(sources):
                inner = sum(ranks[j] for j in source)
                self.register_buffer(f"map{m}_{number}", torch.zeros(trials, inner, ranks[m]))
                self.register_buffer(f"offset{m}_{number}", torch.zeros(trials, 1, ranks[m]))

    def fit(self, x: Features, seen: Tensor, solve: Solve) -> None:
        """Take subspaces and maps; `solve` is given the centred coordinates of one map's rows."""
        self.subspaces.fit(x, seen)
        for trial in range(len(seen)):
            for m, sources in enumerate(self.sources):
                for number, source in enumerate(sources):
                    there = seen[trial][:, [*source, m]].all(-1)
                    if not there.any():
                        continue
                    z = self.subspaces.rows(x, trial, there)
                    a, b = torch.cat([z[j] for j in source], -1).double(), z[m].double()
                    found = solve(trial, a - a.mean(0), b - b.mean(0))
                    getattr(self, f"map{m}_{number}")[trial] = found
                    getattr(self, f"offset{m}_{number}")[trial] = b.mean(0) - a.mean(0) @ found

    def forward(self, x: Features, seen: Tensor) -> list[Tensor]:
        """By modality [T, B, D] what the others that are seen [T, B, M] tell of it."""
        z = self.subspaces.project(x)
        made = []
        for m, sources in enumerate(self.sources):
            total = torch.zeros_like(z[m])
            counts = torch.zeros_like(seen[..., :1], dtype=torch.long)
            for number, source in enumerate(sources):
                others = [j for j in range(len(z)) if j != m and j not in source]
                here = seen[..., source].all(-1, keepdim=True)
                if self.joint:
                    here = here & ~seen[..., others].any(-1, keepdim=True)
                own = times(
                    torch.cat([z[j] for j in source], -1), getattr(self, f"map{m}_{number}")
                )
                total = total + torch.where(here, own + getattr(self, f"offset{m}_{number}"), 0)
                counts = counts + here
            made.append(total / counts.clamp(min=1))
        return self.subspaces.lift(made)
