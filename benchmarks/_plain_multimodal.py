"""The multimodal learners one trial at a time in plain PyTorch: as in `_plain`.

Every minibatch shows the same instances in all modalities.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, mse_loss

from benchmarks._plain import Noise, Plain, Rows, stacked


class Concat(Plain):
    """One classifier of the features side by side."""

    decay = "wc"

    def slots(self, rows: Rows) -> list[Tensor]:
        """The features of each modality."""
        return list(self.featurizer(stacked(rows)).chunk(len(rows)))

    def risk(self, slots: list[Tensor], rows: Rows) -> Tensor:
        """Cross-entropy of the features side by side."""
        return cross_entropy(self.classifier(torch.cat(slots, 1)), rows[0][1])

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        return self.risk(self.slots(rows), rows)

    def shares(self, slots: list[Tensor]) -> list[Tensor]:
        """What each modality adds to the logits."""
        weights = self.classifier.weight.chunk(len(slots), 1)
        return [z @ w.T for z, w in zip(slots, weights, strict=True)]

    def sgd(self) -> torch.optim.Optimizer:
        """SGD with momentum on everything."""
        values = self.values
        return torch.optim.SGD(
            self.network.parameters(),
            lr=values["lr"],
            momentum=values["momentum"],
            weight_decay=values["wc"],
        )


class DLMG(Concat):
    """Concat and the gap between what the modalities say, in a balance that falls."""

    def build(self) -> None:
        super().build()
        self.optimiser = self.sgd()

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        slots = self.slots(rows)
        logits = [len(rows) * own + self.classifier.bias for own in self.shares(slots)]
        gap = torch.zeros(()).to(logits[0])
        pairs = list(combinations([own.log_softmax(1) for own in logits], 2))
        for p, q in pairs:
            middle = torch.logaddexp(p, q) - math.log(2)
            # kl_div(input, target) is the divergence of the target from the input.
            for own in (p, q):
                gap = gap + kl_div(own, middle, reduction="batchmean", log_target=True) / 2
        epoch = self.count * len(rows[0][1]) / float(self.model.task.class_counts.sum())
        share = min(0.95, max(0.05, math.exp(-0.3 * epoch)))
        apart = gap / max(len(pairs), 1)
        return 2 * (share * apart + (1 - share) * self.risk(slots, rows))


class OGM(Concat):
    """Concat that slows the modality that is ahead."""

    def build(self) -> None:
        super().build()
        self.optimiser = self.sgd()

    @torch.no_grad()
    def coefficients(self, slots: list[Tensor], y: Tensor) -> list[float]:
        """The factor of each modality's gradient."""
        bias = self.classifier.bias / len(slots)
        right = [(own + bias).softmax(1)[torch.arange(len(y)), y] for own in self.shares(slots)]
        scores = torch.stack(right).sum(1).tolist()
        found = []
        for score in scores:
            others = sum(scores) - score
            ratio = score * (len(scores) - 1) / others if others else 0.0
            found.append(1 - math.tanh(self.values["alpha"] * ratio) if ratio > 1 else 1.0)
        return found

    def modulated(self, slots: list[Tensor], rows: Rows) -> Tensor:
        """The risk, whose gradient through each modality's features is scaled."""
        scaled = [
            z.detach() + k * (z - z.detach())
            for z, k in zip(slots, self.coefficients(slots, rows[0][1]), strict=True)
        ]
        return self.risk(scaled, rows)

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        return self.modulated(self.slots(rows), rows)


class OGMGE(OGM):
    """OGM with noise on the gradients of the featurizer's weights."""

    def update(self, rows: Rows, noise: Noise | None = None) -> Tensor:
        slots = self.slots(rows)
        weights = [p for p in self.featurizer.parameters() if p.ndim == 2]
        plain = torch.autograd.grad(self.risk(slots, rows), weights, retain_graph=True)
        loss = self.modulated(slots, rows)
        self.optimiser.zero_grad()
        loss.backward()
        with torch.no_grad():
            for n, (weight, gradient) in enumerate(zip(weights, plain, strict=True)):
                drawn = noise["enhancement"][n] if noise else torch.randn_like(gradient)
                weight.grad.add_((gradient.std() + 1e-8) * drawn)
        self.optimiser.step()
        self.count += 1
        return loss.detach()


class Alone(Plain):
    """A featurizer and a classifier for each modality."""

    decay = "wc"

    def networks(self, place: str) -> list[nn.Sequential]:
        """Those that lie at a place of the model."""
        return [
            nn.Sequential(self.take(f"{place}.featurizers.{m}"), self.take(f"{place}.heads.{m}"))
            for m in range(self.model.task.modalities)
        ]


def alone(networks: list[nn.Sequential], rows: Rows) -> Tensor:
    """The sum of the modalities' cross-entropies."""
    losses = [cross_entropy(own(x), y) for own, (x, y) in zip(networks, rows, strict=True)]
    return torch.stack(losses).sum()


class LateAverage(Alone):
    """Each modality learns by itself."""

    def build(self) -> None:
        self.learners = self.networks("learners")
        self.optimiser = self.adam(*self.learners)

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        return alone(self.learners, rows)


class UMT(Alone):
    """Concat whose encoders imitate teachers that learned alone."""

    def build(self) -> None:
        number = self.model.task.modalities
        self.featurizers = [self.take(f"featurizers.{m}") for m in range(number)]
        self.classifier = self.take("classifier")
        self.teachers = self.networks("teachers")
        self.of_teachers = self.adam(*self.teachers)
        self.optimiser = self.adam(*self.featurizers, self.classifier)

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        slots = [f(x) for f, (x, _) in zip(self.featurizers, rows, strict=True)]
        loss = cross_entropy(self.classifier(torch.cat(slots, 1)), rows[0][1])
        if self.count < self.values["umt_teacher_steps"]:
            return loss
        with torch.no_grad():
            taught = [own[0](x) for own, (x, _) in zip(self.teachers, rows, strict=True)]
        imitation = [mse_loss(z, other) for z, other in zip(slots, taught, strict=True)]
        return loss + self.values["umt_lambda"] * torch.stack(imitation).sum()

    def update(self, rows: Rows, noise: Noise | None = None) -> Tensor:
        if self.count < self.values["umt_teacher_steps"]:
            self.descend(alone(self.teachers, rows), self.of_teachers)
        return super().update(rows, noise)


LEARNERS: dict[str, type[Plain]] = {
    "concat": Concat,
    "dlmg": DLMG,
    "late_average": LateAverage,
    "ogm": OGM,
    "ogm_ge": OGMGE,
    "umt": UMT,
}
