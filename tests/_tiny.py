"""A made-up dataset of two modalities and a fitted perceptor, small enough to damage and to kill.

Run as a script it prepares them in MGLIB_CACHE, slowly enough to be killed on the way.
"""

from __future__ import annotations

import time

import numpy as np

from mglib.data._base import Dataset, Index
from mglib.data.splits import split_indices
from mglib.features import pack_strings
from mglib.perceptors._base import Perceptor
from mglib.perceptors.prepare import prepare
from mglib.registry import datasets, perceptors

INSTANCES = 12
pause = 0.0


class Tiny(Dataset):
    """Twelve instances in six groups; a picture and a word each."""

    name = "tiny"
    version = "1"
    title = "Tiny"
    licences = {"picture": "CC0-1.0", "word": "CC0-1.0"}
    sources = ("made up",)
    kinds = {"picture": "image", "word": "text"}
    core = ("picture", "word")
    anchor = "word"
    targets = ("class",)

    def index(self) -> Index:
        groups = np.arange(INSTANCES) // 2
        return Index(
            [f"instance {n}" for n in range(INSTANCES)],
            groups,
            {"class": groups % 3},
            {"class": ["x", "y", "z"]},
        )

    def raw(self, modality, advance):
        time.sleep(pause)
        advance(1.0)
        if modality == "word":
            return pack_strings([f"wörd {n}" for n in range(INSTANCES)])
        return np.random.RandomState(0).randint(0, 256, (INSTANCES, 4, 4)).astype(np.uint8), None


class Shifted(Perceptor):
    """Bytes minus their mean over the binding part."""

    name = "shifted"
    version = "1"
    kinds = frozenset({"image", "text"})
    unit_norm = False
    fitted = True

    def inputs(self, dataset, modality):
        return [("raw", modality)]

    def perceive(self, dataset, modality, inputs, split_seed, advance):
        time.sleep(pause)
        flat = inputs[0].values.reshape(INSTANCES, -1).astype(np.float32)
        return flat - flat[split_indices(inputs[0].groups, split_seed)["binding"]].mean(0), None


if __name__ == "__main__":
    pause = 0.3
    datasets.register("tiny")(Tiny)
    perceptors.register("shifted")(Shifted)
    prepare("tiny", ("raw", "shifted"), split_seeds=[0, 1])
