"""How items of several modalities are joined into instances that have one label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mglib.errors import MglibError
from mglib.missing.ceilings.known_laws import DIGITS
from mglib.registry import Configured


@dataclass(frozen=True, eq=False)
class Paired:
    """Instances made of items: instance i takes item index[m, i] of modality m.

    `index` [M, N] int64, `labels` [N] of `classes` C (0 where they are no classes), and `digits`
    [M, N], those of the items taken.
    """

    index: np.ndarray
    labels: np.ndarray
    digits: np.ndarray
    classes: int


class Pairing(Configured, ABC):
    """A way to join items; subclasses carry `@pairings.register`.

    It joins `least` to `most` modalities of items that are digits, unless `digits_only` is False.
    Raise `version` when equal seeds give other instances.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    least: ClassVar[int] = 1
    most: ClassVar[float] = float("inf")
    digits_only: ClassVar[bool] = True

    @classmethod
    def check_modalities(cls, modalities: int) -> None:
        """Raise MglibError for a number of modalities that this pairing does not join."""
        if cls.least <= modalities <= cls.most:
            return
        most = f"to {cls.most:g}" if cls.most < float("inf") else "or more"
        joined = f"{cls.least}" if cls.most == cls.least else f"{cls.least} {most}"
        raise MglibError(f"pairing '{cls.name}' joins {joined} modalities, not {modalities}")

    @abstractmethod
    def joint(self, modalities: int) -> np.ndarray:
        """The exact law [10, ..., 10, C] of the digits of M modalities and the label.

        It holds where all digits are equally frequent in each part of the split.
        """

    @abstractmethod
    def draw(
        self, own: np.ndarray, modalities: int, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Digits [M, N] and labels [N] of instances whose first modality has the digits `own`."""

    def pair(
        self, labels: np.ndarray, parts: Mapping[str, np.ndarray], modalities: int, seed: int
    ) -> Paired:
        """Instances of M modalities, as many as items, with all items of one of one part.

        `labels` [N] are the digits of the items, alike in every modality; `parts` {name: indices}
        share no item, and what is in none of them is joined as a part of its own. Instance i takes
        item i of the first modality, and items of the others drawn by `seed`, those of one digit in
        one part about equally often. Raises MglibError for a number of modalities that it does not
        join, labels that are not digits, parts that overlap, or a part without an item of a digit
        that is wanted.
        """
        self.check_modalities(modalities)
        items = np.asarray(labels)
        own = check_parts(parts, len(items))
        whole = items.ndim == 1 and np.issubdtype(items.dtype, np.integer)
        if not whole or (self.digits_only and not np.isin(items, range(DIGITS)).all()):
            allowed = "the digits 0 to 9" if self.digits_only else "classes"
            raise MglibError(f"pairing '{self.name}' joins items by their labels, {allowed}")
        random = np.random.RandomState(seed)
        index = np.tile(np.arange(len(items), dtype=np.int64), (modalities, 1))
        answers = np.empty(len(items), dtype=np.int64)
        for name, part in own.items():
            wanted, answers[part] = self.draw(items[part], modalities, random)
            for modality in range(1, modalities):
                index[modality, part] = _items(wanted[modality], items, part, name, random)
        return Paired(index, answers, items[index], self.classes(items))

    def classes(self, labels: np.ndarray) -> int:
        """How many classes instances of items with these labels [N] have."""
        return DIGITS


def check_parts(parts: Mapping[str, np.ndarray], items: int) -> dict[str, np.ndarray]:
    """The parts by name, sorted, and what is in none; raises MglibError if they share an item."""
    own = {name: np.sort(np.asarray(parts[name], np.int64)) for name in sorted(parts)}
    held = np.concatenate([*own.values(), np.empty(0, np.int64)])
    if len(np.unique(held)) < len(held) or not np.isin(held, np.arange(items)).all():
        raise MglibError(
            f"the parts {', '.join(own)} must hold each of the {items} items at most once"
        )
    return {**own, "of no part": np.setdiff1d(np.arange(items), held)}


def spread(law: np.ndarray, strata: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """One draw [N] from a law [C] for each entry of `strata` [N], as even as it can be in each.

    Each draw follows the law; in a stratum of n, value c comes floor or ceil of n law[c] times.
    """
    edges = np.cumsum(law)[:-1]
    drawn = np.empty(len(strata), dtype=np.int64)
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        places = (random.permutation(len(inside)) + random.random_sample()) / len(inside)
        drawn[inside] = np.searchsorted(edges, places, side="right")
    return drawn


def _items(
    wanted: np.ndarray,
    digits: np.ndarray,
    part: np.ndarray,
    name: str,
    random: np.random.RandomState,
) -> np.ndarray:
    """Items of a part for the digits `wanted`, each of a digit's items in turn, in random order."""
    taken = np.empty(len(wanted), dtype=np.int64)
    for digit in np.unique(wanted):
        places = np.flatnonzero(wanted == digit)
        items = part[digits[part] == digit]
        if not len(items):
            raise MglibError(f"part '{name}' has no item of the class {digit} to join")
        rounds = -(-len(places) // len(items))
        turns = np.concatenate([random.permutation(items) for _ in range(rounds)])
        taken[places] = random.permutation(turns[: len(places)])
    return taken
