"""Virtual modalities: networks that make the features of a modality from those of the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mglib.errors import MglibError
from mglib.missing.generating import Plan, attend, mean_of_others
from mglib.missing.method import Features
from mglib.trials.networks import StackedLinear, Streams

COPY = "copy"
LEARNED = ("pairwise", "hub", "set")
WORDS = (*LEARNED, COPY)
Codes = Mapping[str, Tensor]


class Generator(nn.Module, ABC):
    """Makes a modality from the other seen ones, never from itself.

    `codes` does what does not hang on what is seen, once for all that is to be made.
    """

    @abstractmethod
    def __init__(self, streams: Streams, plan: Plan):
        super().__init__()

    @abstractmethod
    def codes(self, x: Features) -> Codes:
        """What `make` needs of features by modality."""

    @abstractmethod
    def make(self, codes: Codes, seen: Tensor, place: int) -> Tensor:
        """The modality at `place` [T, B, made] from the others that are seen [T, B, M].

        Where no other is seen it is finite and stands for nothing.
        """

    def forward(self, x: Features, seen: Tensor) -> list[Tensor]:
        """Every modality made of the others that are seen."""
        codes = self.codes(x)
        return [self.make(codes, seen, place) for place in range(len(x))]


class Pairwise(Generator):
    """M(M - 1) perceptrons, one for each ordered pair; the mean over the seen ones.

    Source: the two perceptrons of TRML (arXiv 2401.13697) for text and vision; the mean over more
    than one seen modality is ours.
    """

    def __init__(self, streams: Streams, plan: Plan):
        super().__init__(streams, plan)
        self.maps = nn.ModuleDict(
            {
                f"{j}to{m}": plan.perceptron(streams, width, made, width)
                for m, made in enumerate(plan.made)
                for j, width in enumerate(plan.widths)
                if j != m
            }
        )

    def codes(self, x: Features) -> Codes:
        """What each makes of each other, by name."""
        return {name: own(x[int(name.split("to")[0])]) for name, own in self.maps.items()}

    def make(self, codes: Codes, seen: Tensor, place: int) -> Tensor:
        """The mean of those for this modality."""
        others = {j: codes[f"{j}to{place}"] for j in range(seen.shape[-1]) if j != place}
        return mean_of_others(others, seen, place)


class Hub(Generator):
    """M encoders into one hub, the mean there over the seen ones, and M decoders out of it; ours.

    The hub is as wide as `hidden`; grows with M, not with its square.
    """

    def __init__(self, streams: Streams, plan: Plan):
        super().__init__(streams, plan)
        self.encoders = nn.ModuleList(
            plan.perceptron(streams, width, plan.hidden, width) for width in plan.widths
        )
        self.decoders = nn.ModuleList(
            plan.perceptron(streams, plan.hidden, made, made) for made in plan.made
        )

    def codes(self, x: Features) -> Codes:
        """Places in the hub, by modality."""
        return {str(m): own(x[m]) for m, own in enumerate(self.encoders)}

    def make(self, codes: Codes, seen: Tensor, place: int) -> Tensor:
        """The mean place, decoded."""
        values = {m: codes[str(m)] for m in range(seen.shape[-1])}
        made: Tensor = self.decoders[place](mean_of_others(values, seen, place))
        return made


class SetTransformer(Generator):
    """One token for each seen modality, one query for each to be made, one layer of attention.

    A token is a linear map of the features and a learned embedding of its modality; the single
    head's answer is added to the query and goes through a perceptron. After the pooling of Lee et
    al. 2019 (arXiv 1810.00825); the rest is ours.
    """

    def __init__(self, streams: Streams, plan: Plan):
        super().__init__(streams, plan)
        width, shape = plan.hidden, (len(plan.widths), plan.hidden)
        self.tokens = nn.ModuleList(StackedLinear(streams, own, width) for own in plan.widths)
        self.names, self.queries = (
            nn.Parameter(torch.stack([torch.randn(shape, generator=own) for own in streams]))
            for _ in range(2)
        )
        self.key, self.value = (StackedLinear(streams, width, width) for _ in range(2))
        self.decoders = nn.ModuleList(
            plan.perceptron(streams, width, made, made) for made in plan.made
        )

    def codes(self, x: Features) -> Codes:
        """Keys and values of the tokens, [T, B, M, H]."""
        tokens = torch.stack([own(x[m]) for m, own in enumerate(self.tokens)], 2)
        tokens = tokens + self.names[:, None]
        return {"keys": self.key(tokens), "values": self.value(tokens)}

    def make(self, codes: Codes, seen: Tensor, place: int) -> Tensor:
        """What the query reads in the tokens that are there, decoded."""
        there = seen & (torch.arange(seen.shape[-1], device=seen.device) != place)
        query = self.queries[:, None, place]
        made: Tensor = self.decoders[place](query + attend(query, **codes, may=there))
        return made


class Copy(Generator):
    """What is there as it is, the mean over the seen ones: nothing is learned.

    Ours, the limit of TRML (arXiv 2401.13697) where no row is complete and no matching is defined:
    in a space that binds the modalities a copy is a guess at what is missing. Raises MglibError for
    modalities of different widths.
    """

    def __init__(self, streams: Streams, plan: Plan):
        super().__init__(streams, plan)
        if len({*plan.widths, *plan.made}) > 1:
            raise MglibError(
                "generator 'copy' hands features on as they are: all modalities must have one "
                f"width, not {', '.join(map(str, plan.widths))}; use a perceptor that binds them, "
                "such as 'bound'"
            )

    def codes(self, x: Features) -> Codes:
        """The features themselves, by modality."""
        return {str(m): own for m, own in enumerate(x)}

    def make(self, codes: Codes, seen: Tensor, place: int) -> Tensor:
        """The mean of the other ones that are seen."""
        values = {m: codes[str(m)] for m in range(seen.shape[-1])}
        return mean_of_others(values, seen, place)


GENERATORS: dict[str, type[Generator]] = {
    "pairwise": Pairwise,
    "hub": Hub,
    "set": SetTransformer,
    COPY: Copy,
}
