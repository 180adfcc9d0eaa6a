"""SMIL: what is missing as a weighted mean of cluster centres, learned by a look-ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from mglib.errors import MglibError
from mglib.missing.branches import uniform_subsets
from mglib.missing.centres import centres
from mglib.missing.generating import Plan
from mglib.missing.generators import Pairwise
from mglib.missing.imputing import Reader, filled
from mglib.missing.method import Features, MissingBatch, MissingMethod, MissingTask, hide, losses
from mglib.registry import Setting, missing_methods
from mglib.trials.counter import normals
from mglib.trials.networks import Streams


@missing_methods.register("smil")
class SMIL(MissingMethod):
    """A missing feature is sum_k w_k c_k / sum_k w_k, w = softplus(network(what is seen)).

    The c_k are `centres` k-means centres of its training features. Each step first takes one step
    of the fusion model at the rate `inner` on incomplete rows; the model and the networks then
    learn from what the stepped model does on complete rows of which some was taken away:
    task + `distance` * (squared error of the feature + that of its encoding).
    Source: Ma et al. 2021 (SMIL, arXiv 2103.05677) and facts of its code: 10 centres, softplus,
    0.01. Ours: the inner step is a single plain gradient step, differentiated through; incomplete
    are rows that lack something and half of the others, complete the other half (all rows if there
    are none), and of every row some is taken away; networks for each pair of modalities, their mean
    over the seen; Gaussian `noise` on the network's answer in training only, no perturbations of
    hidden layers, one evaluation; k-means starts from rows spread over the training part.
    """

    title = "SMIL"
    settings = {
        "inner": Setting(float, 0.01, 0.0, why="it is a learning rate"),
        "distance": Setting(float, 0.01, 0.0),
        "noise": Setting(float, 0.1, 0.0),
        "centres": Setting(int, 10, 2, 1024),
    }

    def __init__(self, task: MissingTask, hparams: Mapping[str, Tensor], streams: Streams):
        super().__init__(task, hparams, streams)
        hidden, count = int(hparams["hidden"][0]), self.own["centres"]
        self.reader = Reader(streams, task, hidden, "sum")
        self.weigher = Pairwise(streams, Plan(task.widths, [count] * task.modalities, hidden, 2))
        for place, width in enumerate(task.widths):
            self.register_buffer(f"centres{place}", torch.zeros(len(streams), count, width))

    @classmethod
    def check_task(cls, modalities: int, classes: int) -> None:
        """One modality can be made from nothing."""
        if modalities < 2:
            raise MglibError(f"'{cls.name}' needs two or more modalities")

    def fits_at(self) -> Sequence[int]:
        """Centres are taken before the first step."""
        return (0,)

    def fit(self, x: Features, seen: Tensor, y: Tensor) -> None:
        """Take the centres, trial by trial: of its own rows only."""
        for place, own in enumerate(x):
            for trial in range(len(own)):
                rows = own[trial, seen[trial, :, place]]
                if len(rows):
                    getattr(self, f"centres{place}")[trial] = centres(rows, self.own["centres"])

    def make(self, x: Features, seen: Tensor, seeds: Tensor | None = None) -> list[Tensor]:
        """Each modality [T, B, D] from the others that are seen, with noise if there are seeds."""
        found = []
        for m, said in enumerate(self.weigher(hide(x, seen), seen)):
            if seeds is not None:
                drawn = normals(seeds, said.shape[1:], 2 + m)
                said = said + self.hparams["noise"][:, None, None] * drawn
            # Softplus, which as softplus() differs in its last bit with the place in memory.
            weights = -functional.logsigmoid(-said)
            shares = weights / weights.sum(-1, keepdim=True)
            found.append(shares @ getattr(self, f"centres{m}"))
        return found

    def encode(self, x: Features) -> list[Tensor]:
        """Encoded features by modality, [T, N, H]."""
        return self.reader.branches.encode(x)

    def loss(self, batch: MissingBatch) -> Tensor:
        """What the stepped model does on complete rows, [T]."""
        x, seeds, classes = batch.x, batch.noise["seed"], self.task.classes
        seen = uniform_subsets(batch.seen, seeds, proper=True)
        made = self.make(x, seen, seeds)
        whole = filled(x, seen, made)
        rows, odd = batch.seen.any(-1), torch.arange(seen.shape[1], device=seen.device) % 2 == 1
        outer = batch.seen.all(-1) & odd & (batch.used > 0)
        first = batch.mean(losses(self.reader(whole), batch.y, classes), rows & ~outer)
        outer = torch.where(outer.any(-1, keepdim=True), outer, rows)
        weights = dict(self.reader.named_parameters())
        slopes = torch.autograd.grad(first.sum(), [*weights.values()], create_graph=True)
        stepped = {
            name: own - self.hparams["inner"].view(-1, *[1] * (own.ndim - 1)) * slope
            for (name, own), slope in zip(weights.items(), slopes, strict=True)
        }
        answers = functional_call(self.reader, stepped, (whole,))
        total = batch.mean(losses(answers, batch.y, classes), outer)
        pairs = zip(self.encode(made), self.encode(x), strict=True)
        for m, (ours, real) in enumerate(pairs):
            taken = outer & batch.seen[..., m] & ~seen[..., m]
            apart = ((made[m] - x[m]) ** 2).mean(-1) + ((ours - real.detach()) ** 2).mean(-1)
            total = total + self.hparams["distance"] * batch.mean(apart, taken)
        return total

    def answer(self, x: Features, seen: Tensor) -> Tensor:
        """The fused answer, [T, N, C]."""
        answer: Tensor = self.reader(filled(x, seen, self.make(x, seen)))
        return answer
