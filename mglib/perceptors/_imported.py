"""What perceptors of features that others extracted share: what was imported stands in keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mglib import paths
from mglib.data._base import Advance, Dataset
from mglib.data._hdf5 import stored
from mglib.data._imported import IMPORTED, ImportedDataset
from mglib.errors import Absent, MglibError
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


def read_vectors(
    file: Any, modality: str, ids: list[str], width: int, advance: Callable[[], None]
) -> np.ndarray:
    """Unit vectors float32 [N, width] of some instances, as ModalBed's learners are given them.

    Raises MglibError for values of another shape, that are not finite, or all zero.
    """
    values = np.empty((len(ids), width), dtype=np.float32)
    for row, name in zip(values, ids, strict=True):
        own = stored(file, f"{modality}_{name}")
        if own.shape != (width,) or own.dtype.kind != "f":
            raise MglibError(
                f"'{modality}_{name}' in '{file.filename}' is {own.dtype} {own.shape}, not "
                f"{width} floats as others"
            )
        try:
            row[:] = own[:]
        except OSError as error:
            raise MglibError(
                f"'{modality}_{name}' in '{file.filename}' is damaged: {error}"
            ) from error
        advance()
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    wrong = ~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0)
    if wrong.any():
        raise MglibError(
            f"{wrong.sum()} vectors of {modality} in '{file.filename}' are zero or not finite, "
            f"the first '{modality}_{ids[int(wrong.argmax())]}'"
        )
    return values / norms


def imported_here(dataset: str) -> list[str]:
    """The perceptors that features of a dataset were imported through, by name."""
    return sorted(path.stem for path in record_path(dataset, "*").parent.glob("*.json"))


class Bound(Imported):
    """One common space for all modalities (weak generalization)."""

    def space(self, dataset: Dataset, modality: str) -> str:
        """One for all modalities."""
        return f"{self.name}/joint"
