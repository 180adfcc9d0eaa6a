"""The learners one trial at a time in plain PyTorch, as a good user would write them: ERM's kin.

After the published updates: lists of modalities, torch.nn, autograd and torch.optim at its
defaults. Each is built with the initial weights of a model of one trial. Adversaries and multimodal
learners have files of their own.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import cross_entropy, one_hot

from mglib.trials.algorithm import Algorithm
from mglib.trials.networks import StackedLinear, StackedMLP

Rows = list[tuple[Tensor, Tensor]]
Noise = Mapping[str, Any]


def linear(stacked: nn.Module) -> nn.Linear:
    """The layer of the first trial of a stack."""
    assert isinstance(stacked, StackedLinear)
    weight, bias = stacked.weight[0].detach().T, stacked.bias[0, 0].detach()
    layer = nn.Linear(*weight.shape[::-1]).to(weight)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def perceptron(stacked: StackedMLP, slope: float = 0.0) -> nn.Sequential:
    """The perceptron of the first trial of a stack, with (leaky) ReLU between its layers."""
    parts: list[nn.Module] = []
    for layer in stacked.layers:
        parts += [linear(layer), nn.LeakyReLU(slope) if slope else nn.ReLU()]
    return nn.Sequential(*parts[:-1])


class Plain:
    """One trial's learner after `count` updates; `update` makes one more and returns its loss.

    `parts` holds its networks by their name in the engine's model. What an update draws at random
    is drawn by torch, unless `noise` tells it, for tests.
    """

    decay: ClassVar[str] = "weight_decay"
    fused: ClassVar[bool | None] = None  # torch.optim's default

    def __init__(self, model: Algorithm, values: Mapping[str, float], count: int = 0):
        self.model, self.values, self.count = model, values, count
        self.parts: dict[str, nn.Module] = {}
        self.build()

    def take(self, name: str, slope: float = 0.0) -> nn.Module:
        """A network of the model as plain PyTorch."""
        part = self.model.get_submodule(name)
        mlp = isinstance(part, StackedMLP)
        self.parts[name] = perceptron(part, slope) if mlp else linear(part)
        return self.parts[name]

    def adam(
        self, *parts: nn.Module, lr: str = "lr", decay: str | None = None, **settings: Any
    ) -> torch.optim.Optimizer:
        """Adam on the parameters of some networks at the rate that is named `lr`."""
        return torch.optim.Adam(
            [p for part in parts for p in part.parameters()],
            lr=self.values[lr],
            weight_decay=self.values[decay or self.decay],
            fused=self.fused,
            **settings,
        )

    def build(self) -> None:
        """Take the networks and make the optimisers."""
        self.featurizer, self.classifier = self.take("featurizer"), self.take("classifier")
        self.network = nn.Sequential(self.featurizer, self.classifier)
        self.optimiser = self.adam(self.network)

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        """What an update descends: here the mean cross-entropy."""
        return cross_entropy(self.network(stacked(rows)), labels(rows))

    def descend(self, loss: Tensor, optimiser: torch.optim.Optimizer) -> Tensor:
        """One step of an optimiser."""
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    def optimiser_now(self) -> torch.optim.Optimizer:
        """The optimiser of this update."""
        return self.optimiser

    def update(self, rows: Rows, noise: Noise | None = None) -> Tensor:
        """One update on a minibatch: (features [B, D], labels [B]) of each modality."""
        loss = self.descend(self.objective(rows, noise or {}), self.optimiser_now())
        self.count += 1
        return loss


def stacked(rows: Rows) -> Tensor:
    """Features of all modalities, [M x B, D]."""
    return torch.cat([x for x, _ in rows])


def labels(rows: Rows) -> Tensor:
    """Labels of all modalities, [M x B]."""
    return torch.cat([y for _, y in rows])


def places(rows: Rows) -> Tensor:
    """The number of each row's modality, [M x B]."""
    return torch.cat([torch.full_like(y, m) for m, (_, y) in enumerate(rows)])


class ERM(Plain):
    """Mean cross-entropy."""

    def split(self, values: Tensor, rows: Rows) -> Iterable[Tensor]:
        """Values of all rows by modality."""
        return values.split([len(y) for _, y in rows])

    def risks(self, rows: Rows) -> Tensor:
        """The cross-entropy of each modality, [M]."""
        parts = self.split(self.network(stacked(rows)), rows)
        return torch.stack([cross_entropy(o, y) for o, (_, y) in zip(parts, rows, strict=True)])


class FusedERM(ERM):
    """ERM by a user who asks for PyTorch's fused Adam."""

    fused = True


class Annealed(ERM):
    """ERM and a penalty whose weight jumps, with a new Adam, after some updates."""

    wait: ClassVar[str]
    weight: ClassVar[str]
    before: ClassVar[float] = 0.0

    def optimiser_now(self) -> torch.optim.Optimizer:
        if self.count == self.values[self.wait]:
            self.optimiser = self.adam(self.network)
        return self.optimiser

    @property
    def weight_now(self) -> float:
        """The penalty's weight in this update."""
        return self.values[self.weight] if self.count >= self.values[self.wait] else self.before


class IRM(Annealed):
    """Plus the product of the derivatives by a scale of the logits, of even and of odd rows."""

    wait, weight, before = "irm_penalty_anneal_iters", "irm_lambda", 1.0

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        risk = penalty = torch.zeros(()).to(rows[0][0])
        for logits, (_, y) in zip(self.split(self.network(stacked(rows)), rows), rows, strict=True):
            risk = risk + cross_entropy(logits, y)
            scale = torch.ones((), dtype=logits.dtype, device=logits.device, requires_grad=True)
            even, odd = (
                torch.autograd.grad(
                    cross_entropy(logits[s::2] * scale, y[s::2]), scale, create_graph=True
                )[0]
                for s in (0, 1)
            )
            penalty = penalty + even * odd
        return (risk + self.weight_now * penalty) / len(rows)


class VREx(Annealed):
    """Plus the variance of the risks."""

    wait, weight, before = "vrex_penalty_anneal_iters", "vrex_lambda", 1.0

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        risks = self.risks(rows)
        return risks.mean() + self.weight_now * (risks - risks.mean()).square().mean()


class IBERM(Annealed):
    """Plus the variance of the features."""

    wait, weight = "ib_penalty_anneal_iters", "ib_lambda"

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        z = self.featurizer(stacked(rows))
        spread = torch.stack([own.var(0).mean() for own in self.split(z, rows)]).mean()
        return cross_entropy(self.classifier(z), labels(rows)) + self.weight_now * spread


class Fishr(Annealed):
    """Plus the gap of the variances of the classifier's gradients, as moving averages."""

    wait, weight = "penalty_anneal_iters", "lambda"

    def build(self) -> None:
        super().build()
        self.averages: list[Tensor | float] = [0.0] * self.model.task.modalities

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        z = self.featurizer(stacked(rows))
        logits = self.classifier(z)
        slopes = logits.softmax(1) - one_hot(labels(rows), logits.shape[1])
        inputs = torch.cat([z, torch.ones_like(z[:, :1])], 1)
        # The gradient of every weight by every row, [M x B, D + 1, C].
        gradients = inputs.unsqueeze(2) * slopes.unsqueeze(1)
        ema, corrected = self.values["ema"], []
        for m, own in enumerate(self.split(gradients, rows)):
            fresh = ema * self.averages[m] + (1 - ema) * own.var(0, unbiased=False)
            self.averages[m] = fresh.detach()
            corrected.append(fresh / (1 - ema))
        mean = torch.stack(corrected).mean(0)
        gap = torch.stack([(own - mean).square().mean() for own in corrected]).mean()
        return cross_entropy(logits, labels(rows)) + self.weight_now * gap


class CORAL(ERM):
    """Plus the gaps of means and covariances of the features."""

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        z = self.featurizer(stacked(rows))
        gap = torch.zeros(()).to(z)
        pairs = list(combinations(self.split(z, rows), 2))
        for a, b in pairs:
            means = (a.mean(0) - b.mean(0)).square().mean()
            gap = gap + means + (a.T.cov() - b.T.cov()).square().mean()
        risk = cross_entropy(self.classifier(z), labels(rows))
        return risk + self.values["mmd_gamma"] * gap / max(len(pairs), 1)


class GroupDRO(ERM):
    """Risks weighted by what they grew to."""

    def build(self) -> None:
        super().build()
        modalities = self.model.task.modalities
        self.q = torch.full_like(self.classifier.bias.detach()[:1].expand(modalities), 1)
        self.q = self.q / modalities

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        risks = self.risks(rows)
        self.q = self.q * (self.values["groupdro_eta"] * risks.detach()).exp()
        self.q = self.q / self.q.sum()
        return self.q @ risks


class CondCAD(ERM):
    """Plus the bottleneck that hides the modality."""

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        z, y, modality = self.featurizer(stacked(rows)), labels(rows), places(rows)
        temperature = self.values["temperature"]
        alike = (y[:, None] == y) & ~torch.eye(len(y), dtype=torch.bool, device=y.device)
        elsewhere = alike & (modality[:, None] != modality)
        valid = elsewhere.any(1)
        risk = cross_entropy(self.classifier(z), y)
        if not valid.any():
            return risk
        scores = (z @ z.T / temperature)[valid]
        own, other = (
            scores.masked_fill(~kept[valid], -math.inf).logsumexp(1) for kept in (alike, elsewhere)
        )
        hidden = temperature / 0.07 * (own - other).mean()
        return risk + self.values["lmbda"] * hidden


class EQRM(ERM):
    """A quantile of the risks, by bisection of a kernel estimate."""

    def build(self) -> None:
        super().build()
        if self.count >= self.values["eqrm_burnin_iters"]:
            self.optimiser = self.adam(self.network, lr="eqrm_lr")

    def optimiser_now(self) -> torch.optim.Optimizer:
        if self.count == math.ceil(self.values["eqrm_burnin_iters"]):
            self.optimiser = self.adam(self.network, lr="eqrm_lr")
        return self.optimiser

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        risks = self.risks(rows)
        if self.count < self.values["eqrm_burnin_iters"] or len(rows) == 1:
            return risks.mean()
        ordered, quantile = risks.double().sort().values, self.values["eqrm_quantile"]
        wanted = torch.tensor(quantile, dtype=torch.float64, device=risks.device)
        bandwidth = 1.06 * ordered.std() * len(rows) ** -0.2
        low, high = (Normal(ordered[end], bandwidth).icdf(wanted) for end in (0, -1))
        kernels = Normal(ordered.detach(), bandwidth.detach())
        for _ in range(32):
            middle = (low + high) / 2
            if kernels.cdf(middle.detach()).mean() > wanted:
                high = middle
            else:
                low = middle
        return ((low + high) / 2).to(risks)


class ERMPlusPlus(ERM):
    """The classifier first, then everything; and the mean of the weights."""

    def build(self) -> None:
        super().build()
        self.first = self.adam(self.classifier, lr="linear_lr")
        self.averaged = copy.deepcopy(self.network)

    def optimiser_now(self) -> torch.optim.Optimizer:
        return self.optimiser if self.count > self.values["linear_steps"] else self.first

    def update(self, rows: Rows, noise: Noise | None = None) -> Tensor:
        loss = super().update(rows, noise)
        share = 1 / (1 + max(0, self.count - self.values["averaging_from"] + 1))
        with torch.no_grad():
            for mean, own in zip(
                self.averaged.parameters(), self.network.parameters(), strict=True
            ):
                mean.lerp_(own, share)
        return loss


class Mixup(ERM):
    """Rows of two modalities blended, pair by pair."""

    def objective(self, rows: Rows, noise: Noise) -> Tensor:
        cycle = noise["cycle"] if noise else torch.randperm(len(rows)).tolist()
        alpha = self.values["mixup_alpha"]
        loss = torch.zeros(()).to(rows[0][0])
        for n, place in enumerate(cycle):
            (x, y), (other_x, other_y) = rows[place], rows[cycle[(n + 1) % len(cycle)]]
            share = noise["share"][n] if noise else torch.distributions.Beta(alpha, alpha).sample()
            share = float(share)
            logits = self.network(share * x + (1 - share) * other_x)
            loss = loss + share * cross_entropy(logits, y)
            loss = loss + (1 - share) * cross_entropy(logits, other_y)
        return loss / len(rows)


LEARNERS: dict[str, type[Plain]] = {
    "erm": ERM,
    "irm": IRM,
    "vrex": VREx,
    "ib_erm": IBERM,
    "fishr": Fishr,
    "coral": CORAL,
    "groupdro": GroupDRO,
    "condcad": CondCAD,
    "eqrm": EQRM,
    "erm_plus_plus": ERMPlusPlus,
    "mixup": Mixup,
}
