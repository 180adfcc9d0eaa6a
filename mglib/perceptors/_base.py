"""What every perceptor declares and does: raw modality or other features -> vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mglib import paths
from mglib.data._base import Advance, Dataset
from mglib.data.carriers import Carrier
from mglib.features import FeatureSet
from mglib.registry import Configured

if TYPE_CHECKING:
    from torch import Tensor, nn

Input = tuple[str, str]  # perceptor, modality


class Perceptor(Configured, ABC):
    """One way to see a modality; equal spaces are bound (weak), different ones are not (strong).

    `kinds` are those it takes, `unit_norm` says whether its rows have norm 1, `fitted` whether it
    learns on the binding part of a split, `steps` is the rough share of the work by kind (1 if
    absent). Raise `version` when the features change; those computed from them follow.

    `settings` are what a name may set (`bound@pairs=20`); the registry makes the class of such a
    name, with what is `chosen` in it.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    kinds: ClassVar[frozenset[str]]
    unit_norm: ClassVar[bool]
    fitted: ClassVar[bool] = False
    CARRIERS: ClassVar[tuple[Carrier, ...]] = ()
    steps: ClassVar[dict[str, int]] = {}

    def parameters(self) -> dict[str, Any]:
        """What else decides the features, for cards and keys: values that JSON gives back alike."""
        return self.values()

    def space(self, dataset: Dataset, modality: str) -> str:
        """The name of the space that the features of a modality lie in."""
        return f"{self.name}/{modality}"

    @abstractmethod
    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The features of the same dataset that these are computed from."""

    def parts(self, dataset: Dataset, modality: str) -> list[Input]:
        """What these features hang on directly: the inputs, and perceptors used on the way."""
        return self.inputs(dataset, modality)

    def carriers(self, dataset: Dataset, modality: str) -> tuple[Carrier, ...]:
        """The carriers needed to compute one modality once its inputs are there."""
        return self.CARRIERS

    def sources(self, dataset: Dataset, modality: str) -> dict[str, str]:
        """SHA-256, by name, of all files that one modality is computed from: the carriers."""
        return {own.name: own.sha256 for own in self.carriers(dataset, modality)}

    @abstractmethod
    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Values [N, ...] and lengths of one modality, from its inputs in their order."""


@dataclass(frozen=True)
class Trunk:
    """A frozen network in PyTorch: raw values -> its input -> features [B, D]."""

    model: nn.Module
    read: Callable[[np.ndarray], Tensor]
    features: Callable[[Tensor], Tensor]


class Encoder(Perceptor):
    """A perceptor of one kind of raw data with pretrained, frozen weights.

    `trunk` makes its network anew where that is one of PyTorch, so that it can be adapted.
    """

    width: ClassVar[int]
    trunk: ClassVar[Callable[[], Trunk] | None] = None

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The raw modality."""
        return [("raw", modality)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Features [N, D] of the raw modality."""
        return self.encode(inputs[0].values, inputs[0].lengths, advance), None

    @abstractmethod
    def encode(
        self,
        values: np.ndarray,
        lengths: np.ndarray | None = None,
        advance: Advance = lambda share: None,
    ) -> np.ndarray:
        """Raw values [N, ...] of the encoder's kind -> float32 [N, D]."""


def in_batches(
    features: Callable[[slice], Tensor], count: int, size: int, advance: Advance
) -> np.ndarray:
    """What a network in PyTorch gives of `count` rows, float32 [count, D], `size` rows at a time.

    As many batches at once as there are cores, but one thread for each: the sums do not hang on
    the number of cores.
    """
    import torch

    def found(start: int) -> np.ndarray:
        torch.set_num_threads(1)
        with torch.no_grad():
            return features(slice(start, min(start + size, count))).numpy()

    rows, threads = [], torch.get_num_threads()
    try:
        with ThreadPoolExecutor(paths.cores()) as pool:
            for row in pool.map(found, range(0, count, size)):
                rows.append(row)
                advance(len(row) / count)
    finally:
        torch.set_num_threads(threads)
    return np.concatenate(rows)
