"""OGM: on-the-fly gradient modulation; the modality that is ahead learns more slowly.

Peng et al. (2022), https://arxiv.org/abs/2203.15332, and its code (GeWu-Lab/OGM-GE_CVPR2022), for
two modalities with an encoder each; here for M modalities and the one featurizer of ModalBed
(https://arxiv.org/abs/2412.18277). Ours: a modality is compared with the mean of the others (the
same for two), what is slowed is its gradient through the shared featurizer, and modulation lasts
for all steps (the authors end it after half of their epochs). `as_published` is ModalBed's code,
where nothing is ever modulated; its patience and gamma have no effect and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mglib.algorithms.concat import Concat
from mglib.registry import algorithms
from mglib.trials.algorithm import Batch, Phase, Task
from mglib.trials.counter import normals
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform, uniform
from mglib.trials.multimodal import MULTIMODAL_SEARCH, each_slot
from mglib.trials.networks import StackedLinear, Streams

UNMODULATED = (
    "each modality passes a random linear layer that no optimiser is given, and its gradient alone "
    "would be modulated, by a ratio above 1 that is a share of a sum and so never above 1"
)


def fixed(layer: StackedLinear) -> StackedLinear:
    """The layer with buffers for weights: drawn once, given to no optimiser."""
    for name, weights in list(layer.named_parameters()):
        delattr(layer, name)
        layer.register_buffer(name, weights.detach())
    return layer


def deviations(gradient: Tensor) -> Tensor:
    """The standard deviation of each trial's entries [T, in, out], unbiased: [T, 1, 1]."""
    centred = gradient - gradient.mean((1, 2), keepdim=True)
    # torch.std takes one number after the other.
    spread = torch.linalg.vector_norm(centred, dim=(1, 2), keepdim=True)
    return spread / math.sqrt(gradient[0].numel() - 1)


@algorithms.register("ogm")
class OGM(Concat):
    """Concat whose gradient through f(x^m) is scaled by k_m = 1 - tanh(alpha rho_m) if rho_m > 1.

    rho_m is the sum of the probabilities that modality m alone gives to the labels of a minibatch,
    over the mean of the other modalities' sums; with rho_m <= 1, or no other modality, k_m is 1.
    """

    title: ClassVar[str] = "OGM"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("corrected", "aligned_rows", "as_published")
    defects: ClassVar[Mapping[str, str]] = {
        "aligned_rows": UNMODULATED,
        "as_published": f"{Concat.defects['as_published']}; {UNMODULATED}",
    }
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **MULTIMODAL_SEARCH,
        "lr": Hyperparameter(1e-3, log10_uniform(-4, -2), "rate"),
        "momentum": Hyperparameter(0.9, uniform(0.85, 0.95)),
        "alpha": Hyperparameter(0.1, uniform(0.1, 0.3)),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.projections = nn.ModuleList()
        if variant != "corrected":
            self.projections.extend(
                fixed(StackedLinear(streams, task.features, task.features))
                for _ in range(task.modalities)
            )

    def place(self, z: Tensor) -> Tensor:
        """The features [T, M, N, D] of all slots, through fixed layers in a variant with them."""
        return each_slot(self.projections, z) if self.projections else z

    @torch.no_grad()
    def coefficients(self, batch: Batch, z: Tensor) -> Tensor:
        """The factor k [T, M] of each modality's gradient, from its features z [T, M, B, D]."""
        modalities = self.task.modalities
        if modalities == 1:
            return z.new_ones(len(z), 1)
        logits = self.shares(z) + self.classifier.bias.unsqueeze(1) / modalities
        labels = batch.y[:, :1, :, None].expand(-1, modalities, -1, -1)
        right = logits.softmax(-1).gather(-1, labels).squeeze(-1)
        scores = (right * batch.used).sum(-1)
        ratio = scores * (modalities - 1) / (scores.sum(1, keepdim=True) - scores)
        slowed = 1 - torch.tanh(self.hparams["alpha"].unsqueeze(1) * ratio)
        return torch.where(ratio > 1, slowed, 1.0)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy averaged over the B instances, [T]; its gradient is the modulated one."""
        z = self.slots(batch)
        if self.variant == "corrected":
            factors = self.coefficients(batch, z)[:, :, None, None]
            # The value stays that of z to the bit.
            z = z.detach() + factors * (z - z.detach())
        return self.risk(batch, self.fuse(z))


@algorithms.register("ogm_ge")
class OGMGE(OGM):
    """OGM with generalization enhancement: Gaussian noise on the gradient of the featurizer.

    The noise of a weight matrix has the standard deviation of that matrix's gradient before
    modulation, as in the authors' code, which spares biases, too. Ours: one noise for the shared
    featurizer where the authors have one for each modality's encoder.
    """

    title: ClassVar[str] = "OGM-GE"
    variants: ClassVar[tuple[str, ...]] = ("corrected",)
    defects: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def noise(
        cls,
        random: np.random.Generator,
        values: Mapping[str, float],
        modalities: int,
        rows: int,
        steps: int,
    ) -> dict[str, np.ndarray]:
        """The seed of each step's noise, [steps]."""
        return {"enhancement": random.integers(2**63, size=steps)}

    def enhance(self, batch: Batch, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        """The gradients of all parameters, with noise on those of the featurizer's weights."""
        weights = [p for name, p in self.featurizer.named_parameters() if name.endswith("weight")]
        with torch.enable_grad():
            plain = torch.autograd.grad(
                self.risk(batch, self.fuse(self.slots(batch))).sum(), weights
            )
        place = {id(parameter): number for number, parameter in enumerate(self.parameters())}
        changed = list(gradients)
        for stream, (weight, gradient) in enumerate(zip(weights, plain, strict=True)):
            spread = deviations(gradient) + 1e-8
            drawn = normals(batch.noise["enhancement"], gradient.shape[1:], stream)
            changed[place[id(weight)]] = gradients[place[id(weight)]] + spread * drawn.to(spread)
        return changed

    def phases(self) -> list[Phase]:
        """OGM's SGD, with noise added between the backward pass and the update."""
        return [replace(phase, modulate=self.enhance) for phase in super().phases()]
