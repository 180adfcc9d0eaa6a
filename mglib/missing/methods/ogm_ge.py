"""OGM-GE: the encoder of the modality that is ahead learns more slowly, and with noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mglib.errors import MglibError
from mglib.missing.late import READING, LateFusion
from mglib.missing.method import MissingBatch
from mglib.registry import Setting, missing_methods
from mglib.trials.algorithm import Phase
from mglib.trials.counter import normals

NOISE = 100  # the first stream of a step's seed that no substitute and no dropping uses


@missing_methods.register("ogm_ge")
class OGMGE(LateFusion):
    """Late fusion; encoder m's gradient is scaled by 1 - tanh(alpha rho_m) if rho_m > 1.

    rho_m is what the head of modality m gives to the labels of a minibatch, in the mean over the
    rows that have it, over the mean of the other modalities'. Encoders' weights get normal noise
    with the deviation of their unscaled gradient times `noise`. What is missing is zeros.
    Source: Peng et al. 2022 (arXiv 2203.15332) and its code, for two modalities, where noise is 1.
    Ours: as in this library's benchmark (`ogm_ge` there), M modalities, biases scaled too, in all
    steps; a head's own bias for a share of one; Adam as in all methods here, which divides
    lasting factors out again (`optimiser` "sgd", momentum 0.9, is the authors').
    """

    title = "OGM-GE"
    fixed = {"substitute": "zeros"}
    settings = {
        "alpha": Setting(float, 0.1, 0.0),
        "noise": Setting(float, 1.0, 0.0),
        "optimiser": Setting(str, "adam", words=("adam", "sgd")),
    }

    @classmethod
    def check_task(cls, modalities: int, classes: int) -> None:
        """What is ahead is told by probabilities of labels."""
        if not classes:
            raise MglibError("ogm_ge compares probabilities of classes and has no real answers")

    def coefficients(self, batch: MissingBatch) -> Tensor:
        """The factor of each encoder's gradient, [T, M]."""
        filled = self.substitute(
            batch.x, batch.seen, torch.full((len(batch.y),), READING, device=batch.y.device)
        )
        said = self.branches.read(self.branches.encode(filled)).softmax(-1)
        labels = batch.y[..., None, None].expand(*said.shape[:-1], 1)
        right = said.gather(-1, labels).squeeze(-1)
        rows = batch.used[..., None] * batch.seen
        scores = (right * rows).sum(1) / rows.sum(1).clamp(min=1)
        here = rows.any(1).to(scores)
        others = here.sum(1, keepdim=True) - here
        rest = (scores.sum(1, keepdim=True) - scores).clamp(min=1e-12)
        ratio = scores * others / rest
        return torch.where(ratio > 1, 1 - torch.tanh(self.hparams["alpha"][:, None] * ratio), 1.0)

    def modulate(self, batch: MissingBatch, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        """The gradients of all that learns, the encoders' scaled and with noise."""
        factors, changed = self.coefficients(batch), list(gradients)
        place = {id(parameter): number for number, parameter in enumerate(self.tuned())}
        for m, encoder in enumerate(self.branches.encoders):
            for name, parameter in encoder.named_parameters():
                at = place[id(parameter)]
                plain = gradients[at]
                changed[at] = factors[:, m, None, None] * plain
                if name == "weight":
                    spread = self.hparams["noise"] * (plain.flatten(1).std(1) + 1e-8)
                    drawn = normals(batch.noise["seed"], plain.shape[1:], NOISE + m)
                    changed[at] = changed[at] + spread[:, None, None] * drawn
        return changed

    def phases(self) -> list[Phase]:
        """One optimiser, its gradients changed between the backward pass and the update."""
        (phase,) = super().phases()
        word = self.own["optimiser"]
        settings = {"momentum": 0.9} if word == "sgd" else {}
        return [replace(phase, modulate=self.modulate, optimiser=word, settings=settings)]
