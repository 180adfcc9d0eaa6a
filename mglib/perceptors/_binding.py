"""What perceptors that bind share: the space of a centre modality, and pairs of it with others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.splits import split_indices
from mglib.errors import MglibError, unknown
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.perceptors._draws import draw_pairs, exchanged
from mglib.perceptors._linear import fit_axes, padded, unit_rows
from mglib.perceptors.frozen import ENCODERS
from mglib.registry import Setting

WIDTH = 256  # ours: one width for all spaces, so that they can be compared and exchanged
ANCHOR = "anchor"  # the centre unless told otherwise: the dataset's


@dataclass(frozen=True)
class Pairs:
    """What a binding map may learn from: unlabelled instances, and pairs with the centre.

    features [N, D] of the modality, target [N, WIDTH] of the centre; binding [B], own [P] and
    partners [P] are instances, groups [N] those that must not be torn apart.
    """

    modality: str
    features: np.ndarray
    target: np.ndarray
    binding: np.ndarray
    own: np.ndarray
    partners: np.ndarray
    groups: np.ndarray
    split_seed: int


class Binding(Perceptor):
    """A perceptor that maps every modality into the space of one, the centre.

    The space (ours): the centre's frozen features minus their mean over the binding part, on the
    WIDTH leading principal axes of that part, columns beyond its rank zero; then unit rows. The
    centre itself is mapped to it without pairs. A subclass gives `bind` for the other modalities.

    `centre` is a modality (the dataset's anchor unless told), `pairs` how many of the binding
    instances are seen in both modalities, `noise` the share of these whose partner is another's,
    `seed` which draw of both. Only the binding part of a split is looked at, and no labels; the
    pairs of a dataset that pairs by class carry it all the same.
    """

    kinds = frozenset(ENCODERS)
    unit_norm = True
    fitted = True
    settings = {
        "centre": Setting(str, ANCHOR),
        "pairs": Setting(
            *(int, "all", 1),
            words=("all",),
            why="without a pair nothing is bound; anchored@method=moments needs none",
        ),
        "noise": Setting(float, 0.0, 0, 1),
        "seed": Setting(int, 0, 0),
    }

    def centre(self, dataset: Dataset) -> str:
        """The modality that others are bound to; MglibError if the dataset does not have it."""
        name = str(self.values()["centre"])
        centre = dataset.anchor if name == ANCHOR else name
        if centre not in dataset.kinds:
            raise unknown(f"modality of {dataset.name}", centre, dataset.kinds)
        return centre

    def space(self, dataset: Dataset, modality: str) -> str:
        """One for all modalities."""
        return f"{self.name}/{self.centre(dataset)}"

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The frozen features of the modality and of the centre."""
        return [("frozen", modality), ("frozen", self.centre(dataset))]

    @abstractmethod
    def bind(self, pairs: Pairs, advance: Advance) -> np.ndarray:
        """Features [N, WIDTH] of another modality in the centre's space, of any norm."""

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Unit vectors [N, WIDTH] under the map of one split."""
        from threadpoolctl import threadpool_limits

        own, centre = inputs
        if split_seed is None or own.instance_ids != centre.instance_ids:
            raise MglibError(f"binding {modality} needs a split and the centre's own instances")
        chosen = self.values()
        binding = split_indices(own.groups, split_seed)["binding"]
        with threadpool_limits(limits=1):  # sums must not hang on the number of cores
            target = padded(fit_axes(centre.values[binding], WIDTH)(centre.values), WIDTH)
            if modality == self.centre(dataset):
                return unit_rows(target), None
            drawn = (split_seed, chosen["seed"], self.name)
            pairs = draw_pairs(binding, chosen["pairs"], *drawn)
            partners = exchanged(pairs, chosen["noise"], modality, *drawn)
            known = (binding, pairs, partners, own.groups, split_seed)
            return unit_rows(self.bind(Pairs(modality, own.values, target, *known), advance)), None
