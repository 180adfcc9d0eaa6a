"""Datasets whose raw data are not read here: their features come from files that others made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

import numpy as np

from mglib.data._base import Advance, Dataset, Index
from mglib.errors import MglibError

IMPORTED = "imported"  # the kind of their modalities: only perceptors of imported features take it


@dataclass(frozen=True)
class Entry:
    """One instance of one modality, as ModalBed's `modalities.json` tells it.

    `data` is the path that its features were extracted from, or the text itself.
    """

    id: str
    label: str
    number: int
    data: str

    @property
    def path(self) -> PurePosixPath:
        """The data as a path."""
        return PurePosixPath(self.data)


Entries = dict[str, dict[str, Entry]]  # modality -> instance -> entry


class ImportedDataset(Dataset):
    """A dataset of ModalBed, with the instances that an imported file has.

    `published` is the class that the original code reads it with, part of the names of its files;
    the `anchor`'s entries say which instances must not be parted by a split.
    """

    published: ClassVar[str]
    targets = ("class",)
    perceptors = ("imagebind", "languagebind", "unibind")

    @classmethod
    def group_of(cls, entry: Entry) -> str:
        """What must stay in one part of a split; by itself, every instance."""
        return entry.id

    @classmethod
    def frame(cls, entries: Entries, ids: list[str]) -> Index:
        """Instances, groups and classes of some ids, in their order.

        Classes are numbered as in the file, without those that none of the ids has.
        """
        own = [entries[cls.anchor][name] for name in ids]
        labels = [label for _, label in sorted({(entry.number, entry.label) for entry in own})]
        number_of = {label: number for number, label in enumerate(labels)}
        groups: dict[str, int] = {}
        places = [groups.setdefault(cls.group_of(entry), len(groups)) for entry in own]
        return Index(
            ids,
            np.array(places, dtype=np.int64),
            {"class": np.array([number_of[entry.label] for entry in own], dtype=np.int64)},
            {"class": labels},
        )

    def _absent(self, what: str) -> MglibError:
        return MglibError(
            f"{self.name} has no {what} here: `mglib import-features {self.published}_imagebind.h5"
            "` brings features of it that others extracted, instances and classes with them"
        )

    def index(self) -> Index:
        """Raises MglibError: the instances are those of an imported file."""
        raise self._absent("index of its own")

    def raw(self, modality: str, advance: Advance) -> tuple[np.ndarray, np.ndarray | None]:
        """Raises MglibError: nothing here reads its films and sounds."""
        raise self._absent("raw data")
