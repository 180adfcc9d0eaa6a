"""PaRe: the target is learned beside mixtures in which source tokens replace target tokens.

Source: Cai et al., "Enhancing Cross-Modal Fine-Tuning with Gradually Intermediate Modality
Generation", ICML 2024 (arXiv 2406.09003), and its public code; the relaxed top-k is that of Xie and
Ermon, arXiv 1901.10517. Ours: the target tokens that score least are replaced in both phases (the
public code replaces those that score most once choices are hard); a text of fewer real tokens than
k gives all it has; shares are of the target's tokens, so that bodies of any length have the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mglib.errors import MglibError
from mglib.features import load_features
from mglib.provenance import digest
from mglib.registry import Setting, transfers
from mglib.transfer.body import Body
from mglib.transfer.method import Method, Stage, TransferBatch, all_names, filled, source_of
from mglib.transfer.model import TransferModel, taken
from mglib.transfer.source import SOURCE_TARGET
from mglib.transfer.target import Target

ADDED = "pare"  # the gate and the source head among the predictor's parts
SHARE = (0.0, 1.0)


def top(scores: Tensor, counts: Tensor) -> Tensor:
    """1 for the `counts` [B] largest scores of each row of [B, L], else 0; the first of equals."""
    rank = scores.argsort(dim=1, descending=True, stable=True).argsort(1)
    return (rank < counts[:, None]).to(scores.dtype)


def relaxed_top(scores: Tensor, counts: Tensor, temperature: float, noise: Tensor) -> Tensor:
    """Noisy top-k of each row of scores [B, L]: 0 or 1, with the gradient of a relaxed choice.

    `noise` [B, L] is of Gumbel's law. As many softmaxes as are chosen, each without what went
    before; their sum is the relaxed choice, its largest entries the hard one.
    """
    scores, soft = scores + noise, torch.zeros_like(scores)
    chosen = torch.zeros_like(scores)
    for number in range(int(counts.max())):
        scores = scores + (1 - chosen).clamp_min(torch.finfo(scores.dtype).tiny).log()
        chosen = (scores / temperature).softmax(1)
        soft = soft + torch.where((number < counts)[:, None], chosen, 0.0)
    return top(soft.detach(), counts) - soft.detach() + soft


def mixture(target: Tensor, source: Tensor, kept: Tensor, brought: Tensor) -> Tensor:
    """Target tokens [B, L, D] with source tokens [B, S, D] in place of those that are not kept.

    `kept` [B, L] and `brought` [B, S] are 0 or 1; a row brings as many as it does not keep, and
    they stay in their order. Gradients go to all four.
    """
    replaced = kept < 0.5
    order = (brought < 0.5).to(torch.uint8).argsort(dim=1, stable=True)
    place = order.gather(1, (replaced.cumsum(1) - 1).clamp_min(0))
    tokens = source * brought[:, :, None]
    tokens = tokens.gather(1, place[:, :, None].expand(-1, -1, tokens.shape[2]))
    return torch.where(replaced[:, :, None], tokens, target * kept[:, :, None])


def source_classes(body: Body) -> int:
    """The number of classes of a body's source set; MglibError if it is not prepared."""
    return len(load_features(*body.source).card["class_names"][SOURCE_TARGET])


@transfers.register("pare")
class PaRe(Method):
    """Fine-tuning on inputs and on mixtures of them with source tokens, which become fewer.

    Loss: L_t(x) + (1 - rho) L_t(mix) + rho CE_s(mix), rho the share of tokens replaced. A gate, the
    sigmoid of a linear layer, scores tokens: the best of the source replace the least of the
    target. Their share falls from `begin` to `end` (published: 2000 and 500 of 3136). While
    `relaxed` of the steps are not done (10 of 60 epochs), the choice is noisy and the gate learns.
    """

    title = "PaRe"
    settings = {
        "begin": Setting(float, 0.64, *SHARE),
        "end": Setting(float, 0.16, *SHARE),
        "relaxed": Setting(float, 0.167, *SHARE),
        "temperature": Setting(float, 0.9, 0.01, 100.0),
    }

    @classmethod
    def check_settings(cls) -> None:
        """Raise MglibError for a share that would grow."""
        own = cls.values()
        if own["end"] > own["begin"]:
            raise MglibError(
                f"the share that 'pare' replaces falls: end {own['end']:g} is above begin "
                f"{own['begin']:g}"
            )

    @classmethod
    def check_body(cls, body: type[Body]) -> None:
        """Raise MglibError for a body without tokens."""
        if not body.attention:
            raise MglibError(
                f"method 'pare' replaces tokens, and body '{body.name}' has none: use a "
                "transformer, such as 'minilm'"
            )

    def stages(self, model: TransferModel) -> list[Stage]:
        """One stage; the gate and the source's head are put among the predictor's parts.

        There they are kept, saved and trained as all else; the predictor itself disregards them.
        """
        if not hasattr(model.predictor, ADDED):
            model.predictor.add_module(ADDED, self.added(model))
        return [Stage("replacement", 1.0, all_names(model), self.gradients, source=1.0)]

    def added(self, model: TransferModel) -> nn.ModuleDict:
        """A gate of tokens and a linear head of the source's classes, with new weights.

        These hang on the predictor's first weights, and so on a trial's seed and split, alone.
        """
        patches: Any = next(
            part for part in model.embedder.modules() if isinstance(part, nn.Conv1d | nn.Conv2d)
        )
        own = next(model.predictor.parameters())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(digest(own.detach().flatten()[:64].tolist())[:12], 16))
            added = nn.ModuleDict(
                {
                    "gate": nn.Linear(patches.out_channels, 1),
                    "head": nn.Linear(model.body.width, source_classes(model.body)),
                }
            )
        return added.to(own)

    def replaced(self, tokens: int, progress: float) -> int:
        """How many of so many tokens are replaced at a finished share of the steps."""
        own = self.values()
        return int((own["begin"] + (own["end"] - own["begin"]) * progress) * tokens)

    def loss(self, model: TransferModel, target: Target, batch: TransferBatch) -> Tensor:
        """The loss of a batch; source instances are repeated if there are fewer."""
        source, labels = source_of(batch)
        rows = torch.arange(len(batch.inputs), device=labels.device) % len(labels)
        labels = labels[rows]
        brought, mask = model.body.source_tokens(taken(source, rows))
        own = model.embedder(batch.inputs)
        count = self.replaced(own.shape[1], batch.progress)
        if mask is None:
            mask = torch.ones(brought.shape[:2], dtype=torch.bool, device=brought.device)
        counts = mask.sum(1).clamp_max(count)
        added: Any = getattr(model.predictor, ADDED)
        here, there = (torch.sigmoid(added["gate"](each)[:, :, 0]) for each in (own, brought))
        there = there.masked_fill(~mask, float("-inf"))
        left = own.shape[1] - counts
        if batch.progress <= self.values()["relaxed"]:
            seed = int(digest([batch.progress, labels.tolist()])[:12], 16)  # alike when resumed
            kept, taken_over = (
                relaxed_top(scores, many, self.values()["temperature"], gumbel(scores, seed + n))
                for n, (scores, many) in enumerate(((here, left), (there, counts)))
            )
        else:
            kept, taken_over = top(here, left), top(there, counts)
        mixed = mixture(own, brought, kept, taken_over)
        encoder, predictor = model.encoder, model.predictor
        plain, encoded = (model.body.encode(encoder, (each, None)) for each in (own, mixed))
        share = float(counts.double().mean()) / own.shape[1]
        said = added["head"](model.body.pooled(encoded, None))
        return (
            target.loss(predictor(plain), batch.answers)
            + (1 - share) * target.loss(predictor(encoded), batch.answers)
            + share * functional.cross_entropy(said, labels)
        )

    def gradients(
        self, model: TransferModel, target: Target, batch: TransferBatch, own: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The gradient of the loss; 0 for the gate once choices are hard."""
        loss = self.loss(model, target, batch)
        found = torch.autograd.grad(loss, list(own.values()), allow_unused=True)
        return filled(found, own)


def gumbel(like: Tensor, seed: int) -> Tensor:
    """Noise of Gumbel's law in the form of a tensor; the same for the same seed."""
    draws = torch.empty(like.shape, dtype=like.dtype)
    draws.exponential_(generator=torch.Generator().manual_seed(seed))
    return -draws.log().to(like.device)
