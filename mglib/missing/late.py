"""What most methods do in part: fill or leave out what is not seen, drop modalities, fuse late."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from mglib.errors import MglibError
from mglib.missing import fusion, substitutes
from mglib.missing.branches import Branches, drop, tempered
from mglib.missing.convolution import NETWORKS
from mglib.missing.method import Features, MissingBatch, MissingMethod, MissingTask, hide, losses
from mglib.missing.pretraining import pretext_loss
from mglib.registry import Setting, Value
from mglib.trials.algorithm import Phase
from mglib.trials.networks import Streams

# Answers are read with draws of their own, the same for all trials.
READING = 20231010
# Plain late fusion: no dropping, no pretraining.
PLAIN: Mapping[str, Value] = {
    "fusion": "sum",
    "substitute": "mean",
    "pretraining": 0.0,
    "pretext": "labels",
    "probability": 0.0,
    "schedule": "constant",
    "law": "one",
    "per": "sample",
    "encoders": "full",
    "network": "dense",
}
NETWORK: Mapping[str, Setting] = {"network": Setting(str, "dense", words=NETWORKS)}


def ramped(schedule: str, step: int, steps: int) -> float:
    """The factor of a rate at a step: 1, or for "ramp" from 0 up to 1 in the first half."""
    return min(1.0, 2 * step / steps) if schedule == "ramp" else 1.0


class Filled(MissingMethod):
    """A substitute in training and use, and dropping at `probability` by a law and a schedule.

    What a subclass has no setting for is as in PLAIN, or as it has `fixed`.
    """

    fixed: ClassVar[Mapping[str, Value]] = {}
    substitute: substitutes.Substitute

    def __init__(
        self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams, **ways: str
    ):
        super().__init__(task, hparams, streams)
        own = {**self.ways(), **ways}
        self.own = {name: value for name, value in own.items() if isinstance(value, str)}
        numbers = {name: value for name, value in own.items() if isinstance(value, float)}
        like = hparams["lr"]
        self.hparams = {k: torch.full_like(like, v) for k, v in numbers.items()} | {**hparams}

    @classmethod
    def ways(cls) -> dict[str, Any]:
        """All that PLAIN tells, as set or fixed."""
        return {**PLAIN, **cls.fixed, **cls.values()}

    def standing_in(self, streams: Streams) -> substitutes.Substitute:
        """What stands in for a modality."""
        task = self.task
        return substitutes.Substitute(streams, task.widths, task.zeros, self.own["substitute"])

    def fits_at(self) -> Sequence[int]:
        """Means and items are taken before the first step."""
        return (0,)

    def fit(self, x: Features, seen: Tensor, y: Tensor) -> None:
        """Take what stands in for a modality."""
        self.substitute.fit(x, seen)

    @abstractmethod
    def fused(self, x: Features, seen: Tensor, seeds: Tensor) -> Tensor:
        """The fused answer [T, B, C], what is not seen stood in for or left out."""

    def kept(self, batch: MissingBatch) -> Tensor:
        """What is still seen [T, B, M] of a minibatch after dropping."""
        rate = ramped(self.own["schedule"], batch.step, self.task.steps)
        return drop(
            batch.seen,
            batch.noise["seed"],
            self.hparams["probability"] * rate,
            self.own["law"],
            together=self.own["per"] == "batch",
        )

    def loss(self, batch: MissingBatch) -> Tensor:
        """The loss of the fused answer with modalities dropped, [T]."""
        seen = self.kept(batch)
        answers = self.fused(hide(batch.x, seen), seen, batch.noise["seed"])
        return batch.mean(losses(answers, batch.y, self.task.classes), batch.seen.any(-1))

    def answer(self, x: Features, seen: Tensor) -> Tensor:
        """The fused answer, [T, N, C]."""
        return self.fused(x, seen, torch.full((len(seen),), READING, device=seen.device))


class LateFusion(Filled):
    """An encoder and a head for each modality, apart for a share of the steps, then fused.

    Encoders are one layer on vectors, or for a `network` of convolutions those of pictures have
    some.
    """

    def __init__(
        self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams, **ways: str
    ):
        super().__init__(task, hparams, streams, **ways)
        hidden, word = int(hparams["hidden"][0]), self.own["fusion"]
        shapes = task.shapes if self.own["network"] == "convolution" else ()
        self.branches = Branches(streams, task.widths, hidden, task.outputs, shapes)
        self.fusion = fusion.Fusion(streams, task.modalities, hidden, task.outputs, word)
        self.substitute = self.standing_in(streams)
        self.prior: Tensor
        self.register_buffer("prior", task.prior.clone())

    @classmethod
    def check_settings(cls) -> None:
        """Dropping a term needs a fusion that can; early fusion has nothing to pretrain."""
        own = cls.ways()
        if own["substitute"] == "drop" and own["fusion"] not in fusion.DROPPING:
            raise MglibError(
                f"fusion '{own['fusion']}' cannot leave a modality out; substitute 'drop' goes "
                f"with {', '.join(fusion.DROPPING)}"
            )
        if own["fusion"] == "early":
            raise MglibError("early fusion has no branches: see the method 'early_fusion'")

    @classmethod
    def check_task(cls, modalities: int, classes: int) -> None:
        """A product of posteriors needs classes."""
        if not classes and cls.ways()["fusion"] == "product":
            raise MglibError("a product of posteriors needs classes, not real answers")

    def encode(self, x: Features) -> list[Tensor]:
        """Encoded features by modality, each [T, N, H]."""
        return self.branches.encode(x)

    def alone(self, batch: MissingBatch) -> Tensor:
        """What the encoders learn alone, before fusion, [T]."""
        return pretext_loss(self.branches, batch, self.own["pretext"], self.task.classes)

    def fused(self, x: Features, seen: Tensor, seeds: Tensor) -> Tensor:
        """The fused answer [T, B, C], what is not seen stood in for or left out."""
        leaving = self.own["substitute"] == "drop"
        filled = x if leaving else self.substitute(x, seen, seeds)
        z = self.branches.encode(filled)
        counts = seen if leaving or self.own["fusion"] == "product" else torch.ones_like(seen)
        answer: Tensor = self.fusion(z, self.branches.read(z), counts, self.prior)
        return answer

    def fill(self, x: Features, seen: Tensor) -> list[Tensor] | None:
        """Features with what stands in for what is not seen; None if it is left out."""
        if self.own["substitute"] == "drop":
            return None
        return self.substitute(x, seen, torch.full((len(seen),), READING, device=seen.device))

    def bias(self, x: Features, seen: Tensor) -> Tensor | None:
        """What each branch says of what stands in for it, see MissingMethod."""
        filled = self.fill(x, seen)
        if filled is None or not self.task.classes or self.own["fusion"] == "mid":
            return None
        said = self.branches.read(self.branches.encode(filled)).log_softmax(-1)
        said = said - self.prior.clamp(min=1e-12).log()[:, None, None]
        centred = said - said.mean(-1, keepdim=True)
        return centred.square().mean(-1).sqrt() * ~seen

    def calibrate(self, x: Features, seen: Tensor, y: Tensor) -> None:
        """Temperatures of the posteriors, for their product."""
        if self.own["fusion"] == "product":
            said = self.branches.read(self.branches.encode(x))
            found = [tempered(said[:, :, m], y, seen[..., m]) for m in range(said.shape[2])]
            self.fusion.temperature.copy_(torch.stack(found, 1))

    def tuned(self) -> list[torch.nn.Parameter]:
        """What learns after pretraining."""
        encoders = dict(self.branches.encoders.named_parameters())
        kept = {
            "full": [*encoders],
            "biases": [name for name in encoders if name.endswith("bias")],
            "frozen": [],
        }[self.own["encoders"]]
        heads = [] if self.own["fusion"] == "mid" else [self.branches.heads]
        rest = [*heads, self.fusion, self.substitute]
        return [encoders[name] for name in kept] + [p for part in rest for p in part.parameters()]

    def phases(self) -> list[Phase]:
        """Each modality alone for its share of the steps, then all together."""
        edge = torch.round(self.hparams["pretraining"] * self.task.steps)
        (plain,) = super().phases()
        # Without labels heads learn nothing before fusion.
        learning = self.branches if self.own["pretext"] == "labels" else self.branches.encoders
        alone = replace(
            plain,
            parameters=list(learning.parameters()),
            loss=self.alone,
            active=lambda step: edge >= step,
        )
        together = replace(
            plain, parameters=self.tuned(), loss=self.loss, active=lambda step: edge < step
        )
        both = [alone, together]
        if "pretraining" in self.settings:
            return both
        return {0.0: both[1:], 1.0: both[:1]}[self.ways()["pretraining"]]
