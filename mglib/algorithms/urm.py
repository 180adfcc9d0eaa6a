"""URM: features that a discriminator cannot tell from uniform noise.

"Uniformly Distributed Feature Representations for Fair and Robust Learning" (TMLR 2024),
https://openreview.net/forum?id=PgLbS5yp8n, in the form of DomainBed
(https://arxiv.org/abs/2007.01434), as in ModalBed (https://arxiv.org/abs/2412.18277).
`as_published` never applies the activation that would bound the features.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mglib.errors import MglibError
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Algorithm, Batch, Phase, Task, cross_entropies
from mglib.trials.counter import uniforms
from mglib.trials.hyperparameters import Hyperparameter, choice, log10_uniform, uniform
from mglib.trials.networks import StackedDiscriminator, StackedLinear, Streams, featurizer

# The generator's output by the number that `urm_generator_output` gives it.
TANH, RELU = 0, 1


@algorithms.register("urm")
class URM(Algorithm):
    """Cross-entropy plus the loss of a discriminator that is to take the features for noise.

    Features end in tanh against noise ~ U[-1, 1) (`urm_generator_output` 0) or in ReLU against
    noise ~ U[0, 1) (1). The discriminator learns second, from the features of before the step.
    """

    title: ClassVar[str] = "URM"
    variants: ClassVar[tuple[str, ...]] = ("corrected", "as_published")
    defects: ClassVar[Mapping[str, str]] = {
        "as_published": "the activation that bounds the features is attached but never applied"
    }
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "urm_adv_lambda": Hyperparameter(0.1, uniform(0, 0.2)),
        "urm_discriminator_hidden_layers": Hyperparameter(1, choice(1, 2, 3)),
        "urm_discriminator_lr": Hyperparameter(5e-5, log10_uniform(-6, -4.5), "rate"),
        "urm_generator_output": Hyperparameter(TANH, choice(TANH, RELU)),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        for value in hparams["urm_generator_output"].tolist():
            if value not in (TANH, RELU):
                raise MglibError(
                    f"urm_generator_output {value:g} is not known (0 is tanh, 1 is relu)"
                )
        self.featurizer = featurizer(streams, task.features)
        self.classifier = StackedLinear(streams, task.features, task.classes)
        hidden = int(hparams["urm_discriminator_hidden_layers"][0])
        self.discriminator = StackedDiscriminator(
            streams, task.features, 100, 1, depth=hidden + 2, slope=0.01
        )
        self._seen: tuple[Batch, Tensor] | None = None

    @classmethod
    def noise(
        cls,
        random: np.random.Generator,
        values: Mapping[str, float],
        modalities: int,
        rows: int,
        steps: int,
    ) -> dict[str, np.ndarray]:
        """The seed of the uniform noise that the discriminator sees, [steps]."""
        return {"uniform": random.integers(2**63, size=steps)}

    @classmethod
    def shape(cls, values: Mapping[str, float]) -> tuple[Hashable, ...]:
        """The padded batch size and the discriminator's depth."""
        return (*super().shape(values), int(values["urm_discriminator_hidden_layers"]))

    def _rectified(self, like: Tensor) -> Tensor:
        """Which trials' features end in ReLU, bool [T, 1, ...] of as many axes as `like`."""
        rectified: Tensor = self.hparams["urm_generator_output"] == RELU
        return rectified.view(-1, *[1] * (like.ndim - 1))

    def features(self, x: Tensor) -> Tensor:
        """Features [T, ..., D] of x [T, ..., D]: bounded by the activation, or as published."""
        z: Tensor = self.featurizer(x)
        if self.variant == "as_published":
            return z
        return torch.where(self._rectified(z), z.relu(), z.tanh())

    def judged(self, batch: Batch, z: Tensor, real: bool) -> Tensor:
        """Loss [T] of the discriminator's verdict that the rows z [T, M, B, D] are noise or not."""
        verdict = self.discriminator(z).squeeze(-1)
        return batch.mean(functional.softplus(-verdict if real else verdict))

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy plus the weighted loss of features that are not taken for noise, [T]."""
        z = self.features(batch.x)
        self._seen = batch, z.detach()
        risk = batch.mean(cross_entropies(self.classifier(z), batch.y))
        return risk + self.hparams["urm_adv_lambda"] * self.judged(batch, z, real=True)

    def discriminator_loss(self, batch: Batch) -> Tensor:
        """Loss of noise taken for features, and weighted of features taken for noise, [T].

        The features are those of before the step, as `loss` of the same minibatch left them.
        """
        if self._seen is None or self._seen[0] is not batch:
            raise MglibError("URM's discriminator learns after the learner, on the same minibatch")
        z = self._seen[1]
        drawn = uniforms(batch.noise["uniform"], z.shape[1:]).to(z)
        noise = torch.where(self._rectified(z), drawn, 2 * drawn - 1)
        weight = self.hparams["urm_adv_lambda"]
        return self.judged(batch, noise, real=True) + weight * self.judged(batch, z, real=False)

    def phases(self) -> list[Phase]:
        """Adam on featurizer and classifier, then another on the discriminator."""
        return [
            Phase(
                [*self.featurizer.parameters(), *self.classifier.parameters()],
                self.loss,
                self.hparams["lr"],
                self.hparams["weight_decay"],
            ),
            Phase(
                list(self.discriminator.parameters()),
                self.discriminator_loss,
                self.hparams["urm_discriminator_lr"],
                self.hparams["weight_decay"],
            ),
        ]

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D]."""
        return self.classifier(self.features(x))
