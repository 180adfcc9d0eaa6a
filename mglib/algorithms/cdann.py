"""CDANN: features from which no discriminator can tell the modality, given the class.

Li et al. (2018), "Deep Domain Generalization via Conditional Invariant Adversarial Networks",
https://openaccess.thecvf.com/content_ECCV_2018/html/Ya_Li_Deep_Domain_Generalization_ECCV_2018_paper.html,
in the form of DomainBed (https://arxiv.org/abs/2007.01434), as in ModalBed
(https://arxiv.org/abs/2412.18277).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Algorithm, Batch, Phase, Task, cross_entropies
from mglib.trials.hyperparameters import (
    Hyperparameter,
    choice,
    log10_uniform,
    whole_log2_uniform,
)
from mglib.trials.networks import (
    StackedDiscriminator,
    StackedLinear,
    Streams,
    class_embeddings,
    featurizer,
    rung,
)


def class_weights(y: Tensor, used: Tensor, classes: int) -> Tensor:
    """Weights [T, M, B] that give the K classes of each trial's minibatch the same sum, 1 / K.

    Labels y [T, M, B], `used` [T, 1, B]. K is the largest class of the minibatch and one, so that
    the weights add up to less than 1 where a smaller class is absent (as DomainBed has it).
    """
    members = functional.one_hot(y, classes) * used.unsqueeze(-1)
    counts = members.sum((1, 2))
    largest = (counts > 0) * torch.arange(1, classes + 1, device=y.device)
    share = members @ (1 / counts.clamp(min=1)).unsqueeze(1).unsqueeze(-1)
    return share.squeeze(-1) / largest.amax(-1)[:, None, None]


@algorithms.register("cdann")
class CDANN(Algorithm):
    """Cross-entropy minus the weighted loss of a discriminator of z + E[y], E an embedding.

    Of 1 + `d_steps_per_g_step` steps all but one train the discriminator and E, one the featurizer
    and the classifier. One modality alone leaves nothing to tell: its discriminator loss is 0.
    """

    title: ClassVar[str] = "CDANN"
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        "batch_size": COMMON_SEARCH["batch_size"],
        "lr_g": Hyperparameter(5e-5, log10_uniform(-5, -3.5), "rate"),
        "lr_d": Hyperparameter(5e-5, log10_uniform(-5, -3.5), "rate"),
        "weight_decay_g": Hyperparameter(0.0, log10_uniform(-6, -2)),
        "weight_decay_d": Hyperparameter(0.0, log10_uniform(-6, -2)),
        "lambda": Hyperparameter(1.0, log10_uniform(-2, 2)),
        "d_steps_per_g_step": Hyperparameter(1, whole_log2_uniform(0, 3)),
        "grad_penalty": Hyperparameter(0.0, log10_uniform(-2, 1)),
        "beta1": Hyperparameter(0.5, choice(0.0, 0.5)),
        "mlp_width": Hyperparameter(256, whole_log2_uniform(6, 10)),
        "mlp_depth": Hyperparameter(3, choice(3, 4, 5)),
        "mlp_dropout": Hyperparameter(0.0, choice(0.0, 0.1, 0.5)),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.featurizer = featurizer(streams, task.features)
        self.classifier = StackedLinear(streams, task.features, task.classes)
        self.discriminator = StackedDiscriminator(
            streams,
            task.features,
            [int(width) for width in hparams["mlp_width"].tolist()],
            task.modalities,
            int(hparams["mlp_depth"][0]),
        )
        self.embeddings = class_embeddings(streams, task.classes, task.features)
        # Where no trial asks for them, neither masks nor second derivatives are computed.
        self.drops = bool((hparams["mlp_dropout"] > 0).any())
        self.penalised = bool((hparams["grad_penalty"] > 0).any())

    @classmethod
    def noise(
        cls,
        random: np.random.Generator,
        values: Mapping[str, float],
        modalities: int,
        rows: int,
        steps: int,
    ) -> dict[str, np.ndarray]:
        """The seed of the discriminator's dropout, [steps]."""
        return {"dropout": random.integers(2**63, size=steps)} if values["mlp_dropout"] else {}

    @classmethod
    def shape(cls, values: Mapping[str, float]) -> tuple[Hashable, ...]:
        """The padded batch size, and the discriminator's padded width, depth and dropout or not."""
        return (
            *super().shape(values),
            rung(int(values["mlp_width"])),
            int(values["mlp_depth"]),
            values["mlp_dropout"] > 0,
        )

    def adversary(self, batch: Batch, z: Tensor) -> Tensor:
        """The discriminator's loss [T] on features z [T, M, B, D]: which modality is it?"""
        trials = torch.arange(len(z), device=z.device)[:, None, None]
        u = z + self.embeddings[trials, batch.y]
        rates = self.hparams["mlp_dropout"] if self.drops else None
        logits = self.discriminator.dropped(u, rates, batch.noise.get("dropout"))
        modality = torch.arange(z.shape[1], device=z.device)[None, :, None].expand(batch.y.shape)
        losses = cross_entropies(logits, modality)
        weights = class_weights(batch.y, batch.used, self.task.classes)
        loss = (weights * losses).sum((1, 2))
        if self.penalised:
            (slope,) = torch.autograd.grad((losses * batch.used).sum(), u, create_graph=True)
            loss = loss + self.hparams["grad_penalty"] * batch.mean(slope.square().sum(-1))
        return loss

    def discriminator_loss(self, batch: Batch) -> Tensor:
        """The discriminator's own loss, on features as they are, [T]."""
        with torch.no_grad():
            z = self.featurizer(batch.x)
        return self.adversary(batch, z)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy minus lambda times the discriminator's loss, [T]."""
        z = self.featurizer(batch.x)
        risk = batch.mean(cross_entropies(self.classifier(z), batch.y))
        return risk - self.hparams["lambda"] * self.adversary(batch, z)

    def _adversary_moves(self, step: int) -> Tensor:
        waits = self.hparams["d_steps_per_g_step"]
        return step % (1 + waits) < waits

    def phases(self) -> list[Phase]:
        """Two Adams that take turns: the discriminator and E, the featurizer and the classifier."""
        settings = {"beta1": self.hparams["beta1"], "beta2": 0.9}
        return [
            Phase(
                [*self.discriminator.parameters(), self.embeddings],
                self.discriminator_loss,
                self.hparams["lr_d"],
                self.hparams["weight_decay_d"],
                settings=settings,
                active=self._adversary_moves,
            ),
            Phase(
                [*self.featurizer.parameters(), *self.classifier.parameters()],
                self.loss,
                self.hparams["lr_g"],
                self.hparams["weight_decay_g"],
                settings=settings,
                active=lambda step: ~self._adversary_moves(step),
            ),
        ]

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D]."""
        return self.featurizer.into(self.classifier, x)
