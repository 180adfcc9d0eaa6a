"""SagNet: a classifier of content that must not hear the style, which its adversary listens to.

Nam et al. (2021), https://arxiv.org/abs/1910.11645, algorithm 1, on vectors as in DomainBed
(https://arxiv.org/abs/2007.01434) and ModalBed (https://arxiv.org/abs/2412.18277): the style of a
row is the mean and the variance of its features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mglib.errors import MglibError
from mglib.registry import algorithms
from mglib.trials.algorithm import COMMON_SEARCH, Algorithm, Batch, Phase, Task, cross_entropies
from mglib.trials.hyperparameters import Hyperparameter, log10_uniform
from mglib.trials.networks import StackedLinear, Streams, featurizer


def parted(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Content [..., D] of features z [..., D], and their style: mean and variance [..., 1]."""
    mean = z.mean(-1, keepdim=True)
    centred = z - mean
    # torch.var takes one number after the other.
    variance = centred.square().sum(-1, keepdim=True) / (z.shape[-1] - 1)
    return centred * (variance + 1e-5).rsqrt(), mean, variance


def joined(content: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Features [..., D] of content in a style."""
    return content * (variance + 1e-5).sqrt() + mean


def of_partners(values: Tensor, partners: Tensor) -> Tensor:
    """Rows [T, M, B, K] in the places [T, M x B] of their partners."""
    trials = torch.arange(len(values), device=values.device).unsqueeze(-1)
    return values.flatten(1, 2)[trials, partners].view_as(values)


@algorithms.register("sagnet")
class SagNet(Algorithm):
    """Cross-entropy of content features whose style is blended with that of another random row.

    A second head then learns the label from the style with another row's content, and the
    featurizer is turned against it: the head's mean -log softmax, weighted by `sag_w_adv`. Three
    Adams, that of the featurizer moves twice a step.
    """

    title: ClassVar[str] = "SagNet"
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "sag_w_adv": Hyperparameter(0.1, log10_uniform(-2, 1)),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.featurizer = featurizer(streams, task.features)
        self.classifier = StackedLinear(streams, task.features, task.classes)
        self.style_classifier = StackedLinear(streams, task.features, task.classes)
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
        """A partner for every row of any modality, three times, and shares, [steps, M x B] each.

        The rows in use are permuted among themselves, padding stays where it is.
        """
        places = np.arange(modalities * rows)
        own = places[places % rows < int(values["batch_size"])]
        drawn: dict[str, np.ndarray] = {}
        for name in ("style", "content", "adversary"):
            drawn[name] = np.tile(places, (steps, 1))
            drawn[name][:, own] = random.permuted(np.tile(own, (steps, 1)), axis=1)
        drawn["share"] = random.random((steps, len(places)), dtype=np.float32)
        return drawn

    def in_other_style(self, batch: Batch) -> Tensor:
        """Features [T, M, B, D] whose style is blended with their partner's."""
        content, mean, variance = parted(self.featurizer(batch.x))
        share = batch.noise["share"].view(*batch.y.shape, 1)
        partners = batch.noise["style"]
        return joined(
            content,
            share * mean + (1 - share) * of_partners(mean, partners),
            share * variance + (1 - share) * of_partners(variance, partners),
        )

    def with_other_content(self, batch: Batch, draw: str) -> Tensor:
        """Features [T, M, B, D] in their own style with the content, held still, of a partner."""
        content, mean, variance = parted(self.featurizer(batch.x))
        return joined(of_partners(content, batch.noise[draw]).detach(), mean, variance)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the content's classifier in blended style, [T]."""
        z = self.in_other_style(batch)
        self._seen = batch, z.detach()
        return batch.mean(cross_entropies(self.classifier(z), batch.y))

    def content_loss(self, batch: Batch) -> Tensor:
        """The same for the classifier, on the features of before the featurizer's step, [T]."""
        if self._seen is None or self._seen[0] is not batch:
            raise MglibError("SagNet's classifier learns with the featurizer, on its minibatch")
        return batch.mean(cross_entropies(self.classifier(self._seen[1]), batch.y))

    def style_loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the style's classifier with another row's content, [T]."""
        with torch.no_grad():
            z = self.with_other_content(batch, "content")
        return batch.mean(cross_entropies(self.style_classifier(z), batch.y))

    def adversary_loss(self, batch: Batch) -> Tensor:
        """Weighted mean over rows and classes of the style classifier's -log softmax, [T]."""
        logits = self.style_classifier(self.with_other_content(batch, "adversary"))
        surprise = -logits.log_softmax(-1).mean(-1)
        return self.hparams["sag_w_adv"] * batch.mean(surprise)

    def phases(self) -> list[Phase]:
        """Featurizer and classifier together, style classifier, and the featurizer against it."""
        rates = self.hparams["lr"], self.hparams["weight_decay"]
        body = list(self.featurizer.parameters())
        return [
            Phase(body, self.loss, *rates),
            Phase(list(self.classifier.parameters()), self.content_loss, *rates),
            Phase(list(self.style_classifier.parameters()), self.style_loss, *rates),
            Phase(body, self.adversary_loss, *rates, continues=0),
        ]

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D] as they are."""
        return self.featurizer.into(self.classifier, x)
