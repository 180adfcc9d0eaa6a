"""What every dataset declares and gives, and how text lies in an array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mglib.data.carriers import Carrier

Advance = Callable[[float], None]  # told the finished share of a stage, in total 1


@dataclass(frozen=True)
class Index:
    """The instances: ids [N], groups [N] int64, targets name -> [N], class names per target.

    A target that is no class has no class names: float32 [N, ...], such as a field [N, H, W, C].
    """

    instance_ids: list[str]
    groups: np.ndarray
    targets: dict[str, np.ndarray]
    class_names: dict[str, list[str]]


def pack_strings(strings: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 bytes [N, L] uint8, zero-padded, and their lengths [N] int64."""
    encoded = [string.encode() for string in strings]
    lengths = np.array([len(string) for string in encoded], dtype=np.int64)
    packed = np.zeros((len(encoded), max(1, int(lengths.max(initial=0)))), dtype=np.uint8)
    for row, string in zip(packed, encoded, strict=True):
        row[: len(string)] = np.frombuffer(string, dtype=np.uint8)
    return packed, lengths


def unpack_strings(packed: np.ndarray) -> list[str]:
    """The strings behind zero-padded UTF-8 bytes [N, L]."""
    return [row.tobytes().rstrip(b"\0").decode() for row in packed]


class Dataset(ABC):
    """One dataset: a card of class attributes, its index and its raw arrays.

    `licences` and `kinds` are by modality; `core` modalities are prepared unless others are asked
    for; the `anchor` is the one to which the others are bound; `steps` is the rough share of the
    work in making one (1 if absent). Raise `version` when the raw arrays or the index change.

    `perceptors` are what `mglib prepare` makes unless others are asked for. `features_of` is the
    dataset whose features its instances are rows of, found by their ids; None if it has its own.

    A kind is "image" (uint8 [N, height, width] or [N, height, width, 3]), "frames" (uint8
    [N, frames, height, width] or [N, frames, height, width, 3], lengths [N]), "audio" (int16
    [N, takes, samples] at `sample_rate` Hz, lengths [N, takes]), "text" (UTF-8 bytes, uint8
    [N, L], zero-padded), "series" (float32 [N, steps, channels], all of one length), "field"
    (float32 [N, height, width, channels], values on a grid), "vector" (float32 [N, D]) or
    "imported" (nothing here reads it: features of it come from files of others).
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
    perceptors: ClassVar[tuple[str, ...]] = ("raw", "frozen", "bound")
    features_of: ClassVar[str | None] = None

    @abstractmethod
    def index(self) -> Index:
        """The instances in their fixed order."""

    @abstractmethod
    def raw(self, modality: str, advance: Advance) -> tuple[np.ndarray, np.ndarray | None]:
        """Raw values [N, ...] of one modality and, for sequences, their lengths."""
