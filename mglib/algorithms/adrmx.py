"""ADRMX: features of the label minus features of the modality, and rows remixed from both.

Demirel, Aptoula & Ozkan (2023), https://arxiv.org/abs/2308.06624, in the form of DomainBed
(https://arxiv.org/abs/2007.01434), as in ModalBed (https://arxiv.org/abs/2412.18277).
`corrected` remixes two rows of one class in two modalities, as the paper's words have it;
`as_published` takes the places of a class's rows among themselves for places in the minibatch, and
so remixes any two of its first rows.
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
from mglib.trials.counter import bits
from mglib.trials.hyperparameters import Hyperparameter, choice
from mglib.trials.networks import (
    StackedDiscriminator,
    Streams,
    classifier,
    featurizer,
    rung,
)

TEMPERATURE = 0.07
# The share of positives and negatives of the own modality; the others have the rest.
OWN_SHARE = 0.5
LEAST = 1e-5


def contrast(z: Tensor, y: Tensor, modality: Tensor, used: Tensor) -> Tensor:
    """Supervised contrastive loss [T] of n rows z [T, n, D]; labels, modalities, `used` [T, n].

    Khosla et al. (2020), https://arxiv.org/abs/2004.11362, with the cosine over a temperature of
    0.07; 1e-5 is added to the denominator and to the fraction, rows without a positive are skipped,
    and the sum is divided by the rows not skipped and one, as DomainBed has it.
    """
    z = functional.normalize(z, dim=-1)
    rows = torch.arange(z.shape[1], device=z.device)
    other = used.unsqueeze(1) * (rows[:, None] != rows)
    own = modality.unsqueeze(-1) == modality.unsqueeze(-2)
    share = torch.where(own, OWN_SHARE, 1 - OWN_SHARE).to(z)
    scaled = share * (z @ z.mT / TEMPERATURE).exp() * other
    positive = (y.unsqueeze(-1) == y.unsqueeze(-2)) * other
    fraction = (scaled / (scaled.sum(-1, keepdim=True) + LEAST) + LEAST).log()
    positives = positive.sum(-1)
    losses = -(fraction * positive).sum(-1) / positives.clamp(min=1)
    counted = used * (positives > 0)
    return (losses * counted).sum(-1) / (counted.sum(-1) + 1)


def top(priority: Tensor, allowed: Tensor) -> Tensor:
    """The place [T, C] of the allowed row of highest priority, both [T, C, n]; 0 if there is none.

    Priorities are random bits, so that the place is uniform over the allowed rows.
    """
    return torch.where(allowed, priority, torch.iinfo(priority.dtype).min).argmax(-1)


@algorithms.register("adrmx")
class ADRMX(Algorithm):
    """Additive disentanglement: v = f_l(x) - f_d(x) keeps the label and hides the modality.

    Cross-entropies of the label by f_l and by v and of the modality by f_d, contrastive losses of
    f_l and v and a remix of v_i + f_d(x_j), minus the loss of a discriminator of v. That is one
    step in 1 + `d_steps_per_g_step`; in the others the discriminator learns. No optimiser decays
    weights, as published; `weight_decay` has no effect.
    """

    title: ClassVar[str] = "ADRMX"
    variants: ClassVar[tuple[str, ...]] = ("corrected", "as_published")
    defects: ClassVar[Mapping[str, str]] = {
        "as_published": "remixed rows come from the head of the minibatch instead of one class"
    }
    search: ClassVar[Mapping[str, Hyperparameter]] = {
        **COMMON_SEARCH,
        "lr": Hyperparameter(3e-5, choice(2e-5, 3e-5, 4e-5, 5e-5), "rate"),
        "cnt_lambda": Hyperparameter(1.0, choice(1.0)),
        "dclf_lambda": Hyperparameter(1.0, choice(1.0)),
        "disc_lambda": Hyperparameter(0.75, choice(0.75)),
        "rmxd_lambda": Hyperparameter(1.0, choice(1.0)),
        "d_steps_per_g_step": Hyperparameter(2, choice(2)),
        "beta1": Hyperparameter(0.5, choice(0.5)),
        "mlp_width": Hyperparameter(256, choice(256)),
        "mlp_depth": Hyperparameter(9, choice(8, 9, 10)),
        "mlp_dropout": Hyperparameter(0.0, choice(0.0)),
    }

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        self.label_featurizer = featurizer(streams, task.features)
        self.domain_featurizer = featurizer(streams, task.features)
        self.discriminator = StackedDiscriminator(
            streams,
            task.features,
            [int(width) for width in hparams["mlp_width"].tolist()],
            task.modalities,
            int(hparams["mlp_depth"][0]),
        )
        self.label_classifier = classifier(streams, task.features, task.classes)
        self.difference_classifier = classifier(streams, task.features, task.classes)
        self.domain_classifier = classifier(streams, task.features, task.modalities)
        self.drops = bool((hparams["mlp_dropout"] > 0).any())

    @classmethod
    def noise(
        cls,
        random: np.random.Generator,
        values: Mapping[str, float],
        modalities: int,
        rows: int,
        steps: int,
    ) -> dict[str, np.ndarray]:
        """The seeds of the remixed pairs and of the discriminator's dropout, [steps] each."""
        return {name: random.integers(2**63, size=steps) for name in ("remix", "dropout")}

    @classmethod
    def shape(cls, values: Mapping[str, float]) -> tuple[Hashable, ...]:
        """The padded batch size, the discriminator's padded width and its depth."""
        return (*super().shape(values), rung(int(values["mlp_width"])), int(values["mlp_depth"]))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f_l and f_d of x, each [T, M, B, D]."""
        return self.label_featurizer(x), self.domain_featurizer(x)

    def told(self, batch: Batch, logits: Tensor) -> Tensor:
        """Cross-entropy [T] of logits [T, M, B, M] against each row's modality."""
        modality = torch.arange(batch.y.shape[1], device=batch.y.device)[:, None]
        return batch.mean(cross_entropies(logits, modality.expand(batch.y.shape)))

    def adversary(self, batch: Batch, v: Tensor) -> Tensor:
        """The discriminator's loss [T] on v [T, M, B, D]: which modality is it?"""
        rates = self.hparams["mlp_dropout"] if self.drops else None
        return self.told(batch, self.discriminator.dropped(v, rates, batch.noise["dropout"]))

    def pairs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """For each class the places of two rows and whether there are two, [T, C] each."""
        modalities, rows = batch.y.shape[1:]
        used = batch.used.expand(batch.y.shape).flatten(1) > 0
        classes = torch.arange(self.task.classes, device=used.device)[:, None]
        of_class = (batch.y.flatten(1).unsqueeze(1) == classes) & used.unsqueeze(1)
        place = torch.arange(modalities * rows, device=used.device)
        modality = place // rows
        priority = bits(batch.noise["remix"], of_class.shape[1:])
        if self.variant == "as_published":
            own = batch.used.sum((1, 2)).long().view(-1, 1)
            allowed = (modality * own + place % rows).unsqueeze(1) < of_class.sum(-1, keepdim=True)
            allowed = allowed & used.unsqueeze(1)
            first = top(priority, allowed)
            partners = allowed & (place != first.unsqueeze(-1))
        else:
            first = top(priority, of_class)
            partners = of_class & (modality != modality[first].unsqueeze(-1))
        return first, top(priority, partners), partners.any(-1)

    def remix(self, batch: Batch, v: Tensor, domain: Tensor) -> Tensor:
        """Cross-entropy of v_i + f_d(x_j) against y_i, one pair for each class, over C: [T]."""
        first, second, found = self.pairs(batch)
        trials = torch.arange(len(v), device=v.device).unsqueeze(-1)
        remixed = v.flatten(1, 2)[trials, first] + domain.flatten(1, 2)[trials, second]
        losses = cross_entropies(self.label_classifier(remixed), batch.y.flatten(1)[trials, first])
        return (losses * found).sum(-1) / self.task.classes

    def loss(self, batch: Batch) -> Tensor:
        """The seven terms of everything but the discriminator, [T]."""
        label, domain = self.features(batch.x)
        v = label - domain
        modality = torch.arange(v.shape[1], device=v.device)[:, None].expand(batch.y.shape)
        rows = [t.flatten(1) for t in (batch.y, modality, batch.used.expand(batch.y.shape))]
        weights = self.hparams
        return (
            batch.mean(cross_entropies(self.label_classifier(label), batch.y))
            + batch.mean(cross_entropies(self.difference_classifier(v), batch.y))
            + weights["dclf_lambda"] * self.told(batch, self.domain_classifier(domain))
            + weights["rmxd_lambda"] * self.remix(batch, v, domain)
            + weights["cnt_lambda"]
            * (contrast(label.flatten(1, 2), *rows) + contrast(v.flatten(1, 2), *rows))
            - weights["disc_lambda"] * self.adversary(batch, v)
        )

    def discriminator_loss(self, batch: Batch) -> Tensor:
        """The discriminator's own loss, on features as they are, [T]."""
        with torch.no_grad():
            label, domain = self.features(batch.x)
        return self.adversary(batch, label - domain)

    def _adversary_moves(self, step: int) -> Tensor:
        waits = self.hparams["d_steps_per_g_step"]
        return step % (1 + waits) < waits

    def phases(self) -> list[Phase]:
        """Two Adams that take turns: the discriminator, and everything else."""
        judge = list(self.discriminator.parameters())
        places = {id(parameter) for parameter in judge}
        settings = {"beta1": self.hparams["beta1"], "beta2": 0.9}
        rate, still = self.hparams["lr"], torch.zeros_like(self.hparams["lr"])
        return [
            Phase(
                judge,
                self.discriminator_loss,
                rate,
                still,
                settings=settings,
                active=self._adversary_moves,
            ),
            Phase(
                [p for p in self.parameters() if id(p) not in places],
                self.loss,
                rate,
                still,
                settings=settings,
                active=lambda step: ~self._adversary_moves(step),
            ),
        ]

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, ..., C] of features [T, ..., D], by f_l alone."""
        return self.label_classifier(self.label_featurizer(x))
