"""What perceptors of features that others extracted share: what was imported stands in keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from mglib import paths
from mglib.data._base import Advance, Dataset
from mglib.data._imported import IMPORTED, ImportedDataset
from mglib.errors import Absent
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor


def record_path(dataset: str, perceptor: str) -> Path:
    """Where it stands what the features of a dataset were imported from."""
    return paths.cache() / "imports" / dataset / f"{perceptor}.json"


class Imported(Perceptor):
    """A model that is not run here: `mglib import-features` brings what it gave.

    `published` is what ModalBed's files call it. The sha256 of the imported files stand in keys, so
    that other features under the same name give other rows.
    """

    version = "1"
    kinds = frozenset({IMPORTED})
    unit_norm = True
    published: ClassVar[str]

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """None: they come from outside."""
        return []

    def sources(self, dataset: Dataset, modality: str) -> dict[str, str]:
        """SHA-256 of the imported files; raises MglibError if nothing was imported."""
        try:
            record = json.loads(record_path(dataset.name, self.name).read_text(encoding="utf-8"))
            return {str(name): str(digest) for name, digest in record["sources"].items()}
        except FileNotFoundError:
            raise self._absent(dataset) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Absent(
                f"damaged file {record_path(dataset.name, self.name)} ({error}); import again"
            ) from error

    def _absent(self, dataset: Dataset) -> Absent:
        stem = dataset.published if isinstance(dataset, ImportedDataset) else dataset.name
        return Absent(
            f"no features of {dataset.name} through {self.name} are here; "
            f"`mglib import-features {stem}_{self.published}.h5` brings them from a file of "
            "ModalBed's (data/README.md)"
        )

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Raises MglibError: nothing here computes them."""
        raise self._absent(dataset)


def imported_here(dataset: str) -> list[str]:
    """The perceptors that features of a dataset were imported through, by name."""
    return sorted(path.stem for path in record_path(dataset, "*").parent.glob("*.json"))


class Bound(Imported):
    """One common space for all modalities (weak generalization)."""

    def space(self, dataset: Dataset, modality: str) -> str:
        """One for all modalities."""
        return f"{self.name}/joint"
