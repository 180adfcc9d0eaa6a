"""1,994 handwritten numerals in six views that were computed from the same pictures.

Source: R. Duin, Multiple Features, UCI Machine Learning Repository, doi.org/10.24432/C5HC70.
"""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance, Dataset, Index
from mglib.data._multiple_features import FEATURES, VIEWS, view
from mglib.errors import unknown
from mglib.registry import datasets

BLOCK = 10  # numerals of a digit in a group


@datasets.register("multiple_features")
class MultipleFeatures(Dataset):
    """Six views of the same handwritten numeral, truly paired, none of them synthetic; 10 classes.

    Fourier coefficients of the shape (76), profile correlations (216), Karhunen-Loeve coefficients
    (64), averages of pixels (240), Zernike moments (47) and morphology (6). The core views are the
    three that tell the digit least well. Writers are not named: a group is a block of the file's
    order, ten numerals of each digit, the nearest to one (ours). Views are modalities as far as a
    method can tell: what one of them says is only in part in another.
    """

    version = "1"
    title = "Multiple Features: views of the same handwritten numeral"
    licences = dict.fromkeys(VIEWS, "CC-BY-4.0 (UCI Multiple Features)")
    sources = ("UCI Multiple Features",)
    CARRIERS = (FEATURES,)
    kinds = dict.fromkeys(VIEWS, "vector")
    core = ("fourier", "zernike", "morphology")
    anchor = "fourier"
    targets = ("class",)
    perceptors = ("raw",)

    def index(self) -> Index:
        """The numerals by place among those of their digit."""
        _, digits, places = view("pixels")
        return Index(
            instance_ids=[f"{d}-{p:03}" for d, p in zip(digits, places, strict=True)],
            groups=places // BLOCK,
            targets={"class": digits},
            class_names={"class": [str(digit) for digit in range(10)]},
        )

    def raw(self, modality: str, advance: Advance) -> tuple[np.ndarray, np.ndarray | None]:
        """One view, float32 [N, D]."""
        if modality not in VIEWS:
            raise unknown(f"modality of {self.name}", modality, VIEWS)
        return view(modality)[0].astype(np.float32), None
