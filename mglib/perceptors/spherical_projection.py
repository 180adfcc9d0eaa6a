"""Pictures seen on a sphere that was turned at random: image -> image of 60 x 60.

Source: the generator of Spherical CIFAR-100 in NAS-Bench-360 (Tu et al., arXiv 2110.05668), after
Cohen et al., "Spherical CNNs", arXiv 1801.10130; written anew from their equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.perceptors._draws import random_by
from mglib.registry import Setting, perceptors

BANDWIDTH = 30  # the grid has twice as many points each way
SIDE = 2 * BANDWIDTH
EYE = 2.0 + 1e-3  # height of the eye over the plane; the sphere of radius 1 stands on the plane
REACH = 1.5  # the picture covers -REACH to REACH of the plane each way
BATCH = 64  # pictures: keeps the working memory below 50 MB


def sphere() -> np.ndarray:
    """The Driscoll-Healy grid: points [SIDE, SIDE, 3] of the unit sphere.

    Rows are polar angles pi j / SIDE from the north pole on, columns azimuths 2 pi k / SIDE.
    """
    polar = np.pi * np.arange(SIDE)[:, None] / SIDE
    azimuth = 2 * np.pi * np.arange(SIDE)[None] / SIDE
    flat = np.sin(polar)
    height = np.broadcast_to(np.cos(polar), (SIDE, SIDE))
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height], axis=-1)


def draw_rotation(random: np.random.RandomState) -> np.ndarray:
    """A rotation [3, 3], uniform over all of them: that of a normal unit quaternion."""
    quaternion = random.randn(4)
    real, i, j, k = quaternion / np.linalg.norm(quaternion)
    cross = np.array([[0.0, -k, j], [k, 0.0, -i], [-j, i, 0.0]])
    return np.eye(3) + 2 * real * cross + 2 * cross @ cross


def places(points: np.ndarray) -> np.ndarray:
    """Where the eye sees points [..., 3] of the unit sphere in a picture of side 1: [..., 2].

    From 0 to 1 inside the picture, along its rows and then its columns; the south pole is at its
    centre (0.5, 0.5), and what lies high on the sphere is far outside.
    """
    height = points[..., 2:] + 1
    seen = points[..., :2] * EYE / (EYE - height)
    return (seen + REACH) / (2 * REACH)


def sampled(pictures: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """Pictures [N, height, width, ...] at spots [..., 2] in pixels: float64 [N, ..., ...].

    As published, the neighbours are one pixel before and one after the integer part of a spot, so
    that weights sum to 2 each way; pixels outside the picture are 0.
    """
    whole = np.trunc(spots).astype(np.int64)
    total = np.zeros((len(pictures), *spots.shape[:-1], *pictures.shape[3:]))
    for side in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        pixel = whole + side
        inside = ((pixel >= 0) & (pixel < pictures.shape[1:3])).all(axis=-1)
        weight = np.where(inside, np.prod(1 + side * (spots - whole), axis=-1), 0.0)
        row, column = np.moveaxis(np.where(inside[..., None], pixel, 0), -1, 0)
        colours = (1,) * (pictures.ndim - 3)
        total += pictures[:, row, column] * weight.reshape(*weight.shape, *colours)
    return total


def stretched(values: np.ndarray) -> np.ndarray:
    """Values [N, ...] as uint8, the least of each instance 0 and its greatest 255; constant: 0."""
    axes = tuple(range(1, values.ndim))
    least, greatest = values.min(axis=axes, keepdims=True), values.max(axis=axes, keepdims=True)
    span = np.where(greatest > least, greatest - least, 1.0)
    return np.rint((values - least) / span * 255).astype(np.uint8)


def project(pictures: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Pictures uint8 [N, height, width(, 3)] on the grid turned by one rotation [3, 3].

    uint8 [N, SIDE, SIDE(, 3)]; black is what lies outside the picture.
    """
    spots = places(sphere() @ rotation.T) * pictures.shape[1:3]
    parts = [
        stretched(sampled(pictures[at : at + BATCH], spots))
        for at in range(0, len(pictures), BATCH)
    ]
    return np.concatenate(parts)


@perceptors.register("spherical_projection")
class SphericalProjection(Perceptor):
    """Pictures [60, 60(, 3)] uint8 of the original on a sphere, turned at random.

    One rotation for every `chunk` of instances, as published. Ours: which instances make a chunk
    is drawn at random, as neighbours in a dataset are often of one class, and each modality has
    rotations of its own, so that none tells which class or partner an instance has; the stretch to
    0..255 is over all colours of a picture together.
    """

    version = "1"
    kinds = frozenset({"image"})
    unit_norm = False
    steps = {"image": 2}
    settings = {"chunk": Setting(int, 500, 1)}

    def parameters(self) -> dict[str, Any]:
        """The instances that share a rotation, and the bandwidth of the grid."""
        return {**self.values(), "bandwidth": BANDWIDTH}

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
        """Raw pictures uint8 [N, height, width(, 3)] -> uint8 [N, 60, 60(, 3)].

        Raises MglibError for another type or shape.
        """
        pictures, chunk = inputs[0].values, self.values()["chunk"]
        colours = pictures.shape[3:]
        if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4) or colours not in ((), (3,)):
            raise MglibError(
                f"images are uint8 [N, height, width(, 3)], not {pictures.dtype} {pictures.shape}"
            )
        random = random_by(self.name.partition("@")[0], modality)
        order = random.permutation(len(pictures))
        seen = np.empty((len(pictures), SIDE, SIDE, *colours), dtype=np.uint8)
        for start in range(0, len(pictures), chunk):
            members = order[start : start + chunk]
            seen[members] = project(pictures[members], draw_rotation(random))
            advance(len(members) / len(pictures))
        return seen, None
