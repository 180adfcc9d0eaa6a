"""What every dataset declares and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mglib.data.carriers import Carrier

Advance = Callable[[float], None]  # told the finished share of a stage, in total 1


@dataclass(frozen=True)
class Index:
    """The instances: ids [N], groups [N] int64, targets name -> [N], class names per target."""

    instance_ids: list[str]
    groups: np.ndarray
    targets: dict[str, np.ndarray]
    class_names: dict[str, list[str]]


class Dataset(ABC):
    """One dataset: a card of class attributes, its index and its raw arrays.

    A kind is "image" (uint8 [N, height, width] or [N, height, width, 3]), "audio" (int16
    [N, takes, samples] at `sample_rate` Hz, lengths [N, takes]) or "text" (UTF-8 bytes, uint8
    [N, L], zero-padded).
    """

    name: ClassVar[str]
    version: ClassVar[str]
    title: ClassVar[str]
    licences: ClassVar[dict[str, str]]
    sources: ClassVar[tuple[str, ...]]
    CARRIERS: ClassVar[tuple[Carrier, ...]] = ()
    kinds: ClassVar[dict[str, str]]
    core: ClassVar[tuple[str, ...]]
    anchor: ClassVar[str]
    targets: ClassVar[tuple[str, ...]]
    steps: ClassVar[dict[str, int]] = {}
    sample_rate: ClassVar[int | None] = None

    @abstractmethod
    def index(self) -> Index:
        """The instances in their fixed order."""

    @abstractmethod
    def raw(self, modality: str, advance: Advance) -> tuple[np.ndarray, np.ndarray | None]:
        """Raw values [N, ...] of one modality and, for sequences, their lengths."""
