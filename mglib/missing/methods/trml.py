"""TRML: virtual modalities from foundation features, held to the real ones by matching."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from mglib.errors import MglibError
from mglib.missing import generators, matching
from mglib.missing.branches import uniform_subsets
from mglib.missing.generating import Plan
from mglib.missing.imputing import READING, Reader, filled
from mglib.missing.method import Features, MissingBatch, MissingMethod, MissingTask, hide, losses
from mglib.missing.subsets import subsets
from mglib.registry import Setting, missing_methods
from mglib.trials.networks import StackedLinear, Streams


@missing_methods.register("trml")
class TRML(MissingMethod):
    """Generators make what is missing, a fusion model reads it, matching ties it to the real.

    Loss: the task on complete rows, the task with something generated, `weight` times matching.
    A complete row is seen under each smaller set of modalities in turn (`directions` "all") or one
    at random; an incomplete row has only the generated term. Matching is over rows that have what
    is made and what it is made from. `soft`: rows of like answers count as matches. `stop`: no
    gradient to real features, which have one only behind an `encoder`.
    The generator "copy" learns nothing: the limit where no row is complete.
    Source: TRML (arXiv 2401.13697) as its abstract and reviews tell; sizes, weight, temperature,
    direction and pairs are not known. Ours: both directions of cross-entropy, the temperature that
    CLIP starts with, weight 1, two layers with GELU as wide as the fusion's hidden layer (`inner`
    "width": as the features), a mean over rows for each term, more than two modalities.
    """

    title = "TRML"
    settings = {
        "weight": Setting(float, 1.0, 0.0),
        "temperature": Setting(float, 0.07, 1e-3, 1e6),
        "generator": Setting(str, "pairwise", words=generators.WORDS),
        "depth": Setting(int, 2, 1, 3),
        "inner": Setting(str, "hidden", words=("hidden", "width")),
        "matching": Setting(str, "both", words=matching.WORDS),
        "stop": Setting(str, "yes", words=("yes", "no")),
        "soft": Setting(str, "no", words=("no", "yes")),
        "directions": Setting(str, "all", words=("all", "one")),
        "encoder": Setting(str, "none", words=("none", "linear")),
        "fusion": Setting(str, "early", words=READING),
    }

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        hidden = int(hparams["hidden"][0])
        self.encoders = nn.ModuleList()
        if self.own["encoder"] == "linear":
            self.encoders.extend(StackedLinear(streams, width, hidden) for width in task.widths)
            task = replace(task, widths=(hidden,) * task.modalities)
        self.generator = generators.GENERATORS[self.own["generator"]](
            streams,
            Plan(task.widths, task.widths, hidden, self.own["depth"], self.own["inner"] == "width"),
        )
        self.reader = Reader(streams, task, hidden, self.own["fusion"])

    @classmethod
    def check_settings(cls) -> None:
        """What would have no effect is refused."""
        own = cls.values()
        if own["stop"] == "no" and own["encoder"] == "none":
            raise MglibError("frozen features take no gradient: stop 'no' needs encoder 'linear'")
        if own["soft"] == "yes" and own["matching"] not in matching.CONTRASTING:
            raise MglibError(
                f"matching '{own['matching']}' has no targets to soften; soft 'yes' goes with "
                f"{', '.join(matching.CONTRASTING)}"
            )
        if own["generator"] == generators.COPY:
            idle = {"depth": own["depth"] != 2, "inner": own["inner"] != "hidden"}
            if any(idle.values()):
                named = " and ".join(name for name, asked in idle.items() if asked)
                raise MglibError(f"generator 'copy' has no layers: leave {named} as it is")
            if own["encoder"] == "none" and own["matching"] != "none":
                raise MglibError(
                    "copies of frozen features learn nothing from matching: generator 'copy' needs "
                    "matching 'none', or encoder 'linear'"
                )

    @classmethod
    def check_task(cls, modalities: int, classes: int) -> None:
        """One modality can be made from nothing."""
        if modalities < 2:
            raise MglibError(f"'{cls.name}' needs two or more modalities")

    def behind(self, x: Features) -> Features:
        """The real features by modality behind the encoders, if there are any."""
        return [own(x[m]) for m, own in enumerate(self.encoders)] or x

    def encode(self, x: Features) -> list[Tensor] | None:
        """See MissingMethod; early fusion of frozen features has none."""
        x = self.behind(x)
        return self.reader.encode(x) or ([*x] if self.encoders else None)

    def matched(self, batch: MissingBatch, made: Tensor, real: Tensor, rows: Tensor) -> Tensor:
        """The matching loss [T] of one modality made and real, over `rows` [T, B] in use."""
        soft = self.own["soft"] == "yes"
        return matching.matching(
            made,
            real.detach() if self.own["stop"] == "yes" else real,
            rows & (batch.used > 0),
            self.own["matching"],
            self.hparams["temperature"],
            matching.alike(batch.y, self.task.classes) if soft else None,
        )

    def views(self, batch: MissingBatch) -> Iterator[tuple[Tensor, list[int], Tensor]]:
        """What is left to see [T, B, M], which modalities to make, where they can be compared."""
        seen, everything = batch.seen, list(range(batch.seen.shape[-1]))
        if self.own["directions"] == "one":
            left = uniform_subsets(seen, batch.noise["seed"], proper=True)
            yield left, everything, seen & ~left
            return
        for pattern in subsets(len(everything))[:-1]:
            there = torch.tensor(pattern, device=seen.device)
            whole = (seen | ~there).all(-1, keepdim=True)
            yield seen & there, [m for m in everything if not pattern[m]], seen & ~there & whole

    def loss(self, batch: MissingBatch) -> Tensor:
        """Task on what is whole, task on what is generated, and matching, [T]."""
        seen, complete = batch.seen, batch.seen.all(-1)
        real = hide(self.behind(batch.x), seen)
        codes = self.generator.codes(real)
        made = [self.generator.make(codes, seen, m) for m in range(len(real))]
        inputs, matched = [filled(real, seen, made)], []
        for left, wanted, rows in self.views(batch):
            own = [*real]
            for m in wanted:
                virtual = self.generator.make(codes, left, m)
                own[m] = torch.where(left[..., m, None], real[m], virtual)
                matched.append(self.matched(batch, virtual, real[m], rows[..., m]))
            inputs.append(own)
        answers = self.reader([torch.cat(own, 1) for own in zip(*inputs, strict=True)])
        y = batch.y.repeat(1, len(inputs))
        whole, *lacking = losses(answers, y, self.task.classes).chunk(len(inputs), 1)
        generated = torch.where(complete, torch.stack(lacking).mean(0), whole)
        rows = seen.any(-1)
        task = batch.mean(whole * complete, rows) + batch.mean(generated, rows)
        return task + self.hparams["weight"] * torch.stack(matched).mean(0)

    def fill(self, x: Features, seen: Tensor) -> list[Tensor]:
        """Features by modality, virtual where not seen; behind the encoder if there is one."""
        real = hide(self.behind(hide(x, seen)), seen)
        return filled(real, seen, self.generator(real, seen))

    def answer(self, x: Features, seen: Tensor) -> Tensor:
        """The answer on real and, where not seen, virtual features, [T, N, C]."""
        answer: Tensor = self.reader(self.fill(x, seen))
        return answer
