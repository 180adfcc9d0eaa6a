"""Handwritten digits of two public collections, shared out in blocks, and made harder to read."""

from __future__ import annotations

import hashlib

import numpy as np

from mglib.data._multiple_features import view
from mglib.errors import MglibError

OPTDIGITS = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
PIXELS = 16


def _grown(picture: np.ndarray, size: int) -> np.ndarray:
    """uint8 [height, width] -> [size, size], bilinear."""
    from PIL import Image

    bilinear = Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((size, size), bilinear))


def _optdigits() -> tuple[np.ndarray, np.ndarray]:
    """Ink uint8 [N, 16, 16] and digits [N] of UCI optdigits' test part, in its order."""
    from sklearn.datasets import load_digits

    table = load_digits()
    ink, digits = table.images.astype(np.uint8), table.target.astype(np.uint8)
    found = hashlib.sha256(ink.tobytes() + digits.tobytes()).hexdigest()
    if found != OPTDIGITS:
        raise MglibError(f"scikit-learn's digits have sha256 {found}, not {OPTDIGITS}")
    grey = (ink.astype(np.int64) * 255 // 16).astype(np.uint8)
    return np.stack([_grown(picture, PIXELS) for picture in grey]), digits.astype(np.int64)


def _multiple_features() -> tuple[np.ndarray, np.ndarray]:
    """Ink uint8 [N, 16, 16] and digits [N] of UCI's Multiple Features."""
    pixels, digits, _ = view("pixels")
    ink = pixels.astype(np.int64).reshape(-1, 16, 15)
    return np.pad((ink * 255 // 6).astype(np.uint8), ((0, 0), (0, 0), (0, 1))), digits


def _blocks(digits: np.ndarray, blocks: int, each: int) -> np.ndarray:
    """Indices [blocks, C, each]: the first `each` of every digit in equal contiguous blocks."""
    return np.array(
        [
            [block[digits[block] == digit][:each] for digit in range(10)]
            for block in np.array_split(np.arange(len(digits)), blocks)
        ]
    )


def handwriting(groups: int, each: int) -> np.ndarray:
    """Ink uint8 [groups * C * each, 16, 16]; even groups hold optdigits, odd ones mfeat.

    Neither collection names its writers: a contiguous block of its order is the nearest to one.
    """
    shares = []
    for ink, digits in (_optdigits(), _multiple_features()):
        shares.append(ink[_blocks(digits, groups // 2, each)])
    return np.stack(shares, axis=1).reshape(-1, PIXELS, PIXELS)


def pictures(ink: np.ndarray, size: int, square: int = 0, noise: float = 0.0) -> np.ndarray:
    """Dark ink uint8 [N, 16, 16] on white paper: uint8 [N, size, size].

    A square of `square` pixels a side at a seeded place is hidden as paper, then seeded Gaussian
    noise of that standard deviation (ink is 1, paper 0) is added, then the picture grows (ours).
    """
    random = np.random.RandomState(0)
    values = ink / 255.0
    corners = random.randint(0, PIXELS - square + 1, (len(ink), 2))
    for value, (top, left) in zip(values, corners, strict=True):
        value[top : top + square, left : left + square] = 0
    values = np.clip(values + noise * random.standard_normal(values.shape), 0, 1)
    paper = np.rint(255 * (1 - values)).astype(np.uint8)
    return np.stack([_grown(picture, size) for picture in paper])
