"""What every perceptor declares and does: raw modality or other features -> vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.carriers import Carrier
from mglib.features import FeatureSet
from mglib.registry import perceptors

Input = tuple[str, str]  # perceptor, modality


class Perceptor(ABC):
    """One way to see a modality; equal spaces are bound (weak), different ones are not (strong)."""

    name: ClassVar[str]
    version: ClassVar[str]
    kinds: ClassVar[frozenset[str]]
    unit_norm: ClassVar[bool]
    fitted: ClassVar[bool] = False
    CARRIERS: ClassVar[tuple[Carrier, ...]] = ()
    steps: ClassVar[dict[str, int]] = {}

    def parameters(self) -> dict[str, Any]:
        """What else decides the features, for the card."""
        return {}

    def space(self, dataset: Dataset, modality: str) -> str:
        """The name of the space that the features of a modality lie in."""
        return f"{self.name}/{modality}"

    @abstractmethod
    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The features of the same dataset that these are computed from."""

    def own_carriers(self, dataset: Dataset, modality: str) -> tuple[Carrier, ...]:
        """The carriers needed to compute one modality once its inputs are there."""
        return self.CARRIERS

    def carriers(self, dataset: Dataset) -> set[Carrier]:
        """All carriers that the features of a dataset hang on, at any depth."""
        needed: set[Carrier] = set()
        for modality, kind in dataset.kinds.items():
            if kind in self.kinds:
                needed |= set(self.own_carriers(dataset, modality))
                for name in {name for name, _ in self.inputs(dataset, modality)}:
                    needed |= perceptors.get(name)().carriers(dataset)
        return needed

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


class Encoder(Perceptor):
    """A perceptor of one kind of raw data with pretrained, frozen weights."""

    width: ClassVar[int]

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
