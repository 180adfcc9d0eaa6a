"""How what the modalities say becomes one answer: late, mid and early fusion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mglib.missing.heads import Answerer
from mglib.trials.networks import StackedLinear, Streams

LATE = ("sum", "mean", "weighted", "head", "product")
WORDS = (*LATE, "mid", "early")
DROPPING = ("sum", "mean", "weighted", "product")  # can leave a modality out


class Fusion(nn.Module):
    """One of WORDS, from encoded features and each modality's own answer.

    "sum" and "mean" of the answers of what counts; "weighted": a learned weight for each modality,
    1 at first; "head": a perceptron over all answers; "product" of posteriors, whose log is
    log p(y) + sum of (log p(y|x_m) - log p(y)), right if the modalities are independent given the
    label, with a temperature for each modality; "mid": a perceptron over all encoded features;
    "early" fuses before encoding and is not done here.
    Source: UME-MMA's operator is not known; "mean" is the uni-modal ensemble of Du et al. 2023
    (arXiv 2305.01233), the others are ours.
    """

    def __init__(self, streams: Streams, modalities: int, hidden: int, outputs: int, word: str):
        super().__init__()
        self.word = word
        trials = len(streams)
        if word == "weighted":
            self.weight = nn.Parameter(torch.ones(trials, 1, modalities, 1))
        if word == "head":
            self.perceptron = Answerer(streams, [modalities * outputs, hidden, outputs])
        if word == "mid":
            self.perceptron = Answerer(streams, [modalities * hidden, hidden, outputs])
        self.temperature: Tensor
        self.register_buffer("temperature", torch.ones(trials, modalities))

    def forward(self, z: Sequence[Tensor], said: Tensor, counts: Tensor, prior: Tensor) -> Tensor:
        """The fused answer [T, B, C] of z [T, B, H] by modality and `said` [T, B, M, C].

        `counts` [T, B, M] are the modalities that take part; `prior` [T, C].
        """
        if self.word in ("mid", "head"):
            together = torch.cat([*z], -1) if self.word == "mid" else said.flatten(2)
            fused: Tensor = self.perceptron(together)
            return fused
        taken = counts[..., None].to(said)
        if self.word == "product":
            log_prior = prior.clamp(min=1e-12).log()[:, None]
            own = (said / self.temperature[:, None, :, None]).log_softmax(-1)
            return log_prior + ((own - log_prior[:, :, None]) * taken).sum(2)
        if self.word == "weighted":
            said = said * self.weight
        total = (said * taken).sum(2)
        return total / taken.sum(2).clamp(min=1) if self.word == "mean" else total


def early_encoder(streams: Streams, widths: Sequence[int], hidden: int) -> StackedLinear:
    """The one encoder of early fusion, from all features side by side."""
    return StackedLinear(streams, sum(widths), hidden)
