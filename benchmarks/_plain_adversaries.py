"""The learners with a second player, one trial at a time in plain PyTorch: as in `_plain`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    normalize,
    one_hot,
)

from benchmarks._plain import Noise, Plain, Rows, labels, places, stacked


class CDANN(Plain):
    """A discriminator of features and class embeddings, in turns with the learner."""

    def build(self) -> None:
        self.featurizer, self.classifier = self.take("featurizer"), self.take("classifier")
        self.discriminator = self.take("discriminator")
        start = self.model.embeddings[0].detach()
        self.embeddings = nn.Embedding.from_pretrained(start.clone(), freeze=False)
        betas = (self.values["beta1"], 0.9)
        self.judge = self.adam(
            *(self.discriminator, self.embeddings), lr="lr_d", decay="weight_decay_d", betas=betas
        )
        self.player = self.adam(
            *(self.featurizer, self.classifier), lr="lr_g", decay="weight_decay_g", betas=betas
        )

    def caught(self, rows: Rows, z: Tensor) -> Tensor:
        """The discriminator's loss; its dropout and its gradient penalty are off by default."""
        y = labels(rows)
        counts = one_hot(y).sum(0)
        weights = 1 / (counts[y] * len(counts)).to(z)
        logits = self.discriminator(z + self.embeddings(y))
        return (weights * cross_entropy(logits, places(rows), reduction="none")).sum()

    def update(self, rows: Rows, noise: Noise | None = None) -> Tensor:
        self.count += 1
        waits = self.values["d_steps_per_g_step"]
        if self.count % (1 + waits) < waits:
            with torch.no_grad():
                z = self.featurizer(stacked(rows))
            return self.descend(self.caught(rows, z), self.judge)
        z = self.featurizer(stacked(rows))
        risk = cross_entropy(self.classifier(z), labels(rows))
        return self.descend(risk - self.values["lambda"] * self.caught(rows, z), self.player)


class SagNet(Plain):
    """Three steps: content in other styles, style with other contents, and against style."""

    def build(self) -> None:
        self.featurizer = self.take("featurizer")
        self.content, self.style = self.take("classifier"), self.take("style_classifier")
        self.body, self.of_content, self.of_style = (
            self.adam(part) for part in (self.featurizer, self.content, self.style)
        )

    def parted(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """Content and style (mean and variance) of all rows."""
        z = self.featurizer(stacked(rows))
        mean, variance = z.mean(1, keepdim=True), z.var(1, keepdim=True)
        return (z - mean) / (variance + 1e-5).sqrt(), mean, variance

    def with_other_content(self, rows: Rows, partners: Tensor) -> Tensor:
        """Features in their own style with the content of partners."""
        content, mean, variance = self.parted(rows)
        return content[partners].detach() * (variance + 1e-5).sqrt() + mean

    def update(self, rows: Rows, noise: Noise | None = None) -> Tensor:
        y, number = labels(rows), sum(len(y) for _, y in rows)
        if noise is None:
            names = ("style", "content", "adversary")
            noise = {name: torch.randperm(number, device=y.device) for name in names}
            noise |= {"share": torch.rand(number, 1, device=y.device)}
        content, mean, variance = self.parted(rows)
        share, partners = noise["share"], noise["style"]
        mean = share * mean + (1 - share) * mean[partners]
        variance = share * variance + (1 - share) * variance[partners]
        logits = self.content(content * (variance + 1e-5).sqrt() + mean)
        loss = cross_entropy(logits, y)
        self.of_content.zero_grad()
        self.descend(loss, self.body)
        self.of_content.step()
        with torch.no_grad():
            z = self.with_other_content(rows, noise["content"])
        self.descend(cross_entropy(self.style(z), y), self.of_style)
        fooled = self.style(self.with_other_content(rows, noise["adversary"]))
        surprise = -fooled.log_softmax(1).mean()
        self.descend(self.values["sag_w_adv"] * surprise, self.body)
        self.count += 1
        return loss.detach()


class URM(Plain):
    """Features end in tanh, the default."""

    def build(self) -> None:
        self.featurizer = nn.Sequential(self.take("featurizer"), nn.Tanh())
        self.classifier = self.take("classifier")
        self.discriminator = self.take("discriminator", slope=0.01)
        self.player = self.adam(self.featurizer, self.classifier)
        self.judge = self.adam(self.discriminator, lr="urm_discriminator_lr")

    def judged(self, z: Tensor, real: bool) -> Tensor:
        """The discriminator's loss on features that it should take for noise, or should not."""
        verdict = self.discriminator(z)
        return binary_cross_entropy_with_logits(verdict, torch.full_like(verdict, float(real)))

    def update(self, rows: Rows, noise: Noise | None = None) -> Tensor:
        z, weight = self.featurizer(stacked(rows)), self.values["urm_adv_lambda"]
        seen = z.detach()
        risk = cross_entropy(self.classifier(z), labels(rows))
        loss = self.descend(risk + weight * self.judged(z, True), self.player)
        drawn = noise["uniform"] if noise else torch.rand_like(seen)
        caught = self.judged(2 * drawn - 1, True) + weight * self.judged(seen, False)
        self.descend(caught, self.judge)
        self.count += 1
        return loss


def contrast(z: Tensor, y: Tensor, modality: Tensor) -> Tensor:
    """Supervised contrastive loss of all rows as DomainBed's ADRMX has it."""
    z = normalize(z)
    other = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    # Half of the weight is the own modality's, half that of the others.
    scaled = 0.5 * (z @ z.T / 0.07).exp() * other
    positive = (y[:, None] == y) & other
    fraction = (scaled / (scaled.sum(1, keepdim=True) + 1e-5) + 1e-5).log()
    counts = positive.sum(1)
    losses = -(fraction * positive).sum(1) / counts.clamp(min=1)
    return losses[counts > 0].sum() / ((counts > 0).sum() + 1)


class ADRMX(Plain):
    """Features of the label minus features of the modality, in turns with a discriminator."""

    def build(self) -> None:
        names = ("label_featurizer", "domain_featurizer", "discriminator")
        self.of_label, self.of_domain, self.discriminator = (self.take(name) for name in names)
        names = ("label_classifier", "difference_classifier", "domain_classifier")
        self.label, self.difference, self.domain = (self.take(name) for name in names)
        rest = [part for part in self.parts.values() if part is not self.discriminator]
        settings = {"lr": self.values["lr"], "betas": (self.values["beta1"], 0.9)}
        self.judge = torch.optim.Adam(self.discriminator.parameters(), **settings)
        self.player = torch.optim.Adam([p for part in rest for p in part.parameters()], **settings)

    def pairs(self, y: Tensor, modality: Tensor) -> tuple[Tensor, Tensor]:
        """Two rows of one class in two modalities, of every class that has them."""
        found = []
        for c in y.unique():
            order = (y == c).nonzero().flatten()
            order = order[torch.randperm(len(order), device=y.device)]
            other = order[modality[order] != modality[order[0]]]
            if len(other):
                found.append(torch.stack([order[0], other[0]]))
        both = torch.stack(found) if found else torch.zeros(0, 2, dtype=torch.long)
        return both[:, 0], both[:, 1]

    def update(self, rows: Rows, noise: Noise | None = None) -> Tensor:
        self.count += 1
        waits, place = self.values["d_steps_per_g_step"], places(rows)
        if self.count % (1 + waits) < waits:
            with torch.no_grad():
                v = self.of_label(stacked(rows)) - self.of_domain(stacked(rows))
            return self.descend(cross_entropy(self.discriminator(v), place), self.judge)
        x, y, values = stacked(rows), labels(rows), self.values
        label, domain = self.of_label(x), self.of_domain(x)
        v = label - domain
        first, second = noise["pairs"] if noise else self.pairs(y, place)
        remixed = self.label(v[first] + domain[second])
        remix = cross_entropy(remixed, y[first], reduction="sum") / self.model.task.classes
        loss = (
            cross_entropy(self.label(label), y)
            + cross_entropy(self.difference(v), y)
            + values["dclf_lambda"] * cross_entropy(self.domain(domain), place)
            + values["rmxd_lambda"] * remix
            + values["cnt_lambda"] * (contrast(label, y, place) + contrast(v, y, place))
            - values["disc_lambda"] * cross_entropy(self.discriminator(v), place)
        )
        return self.descend(loss, self.player)


LEARNERS: dict[str, type[Plain]] = {
    "adrmx": ADRMX,
    "cdann": CDANN,
    "sagnet": SagNet,
    "urm": URM,
}
