"""Self-supervised features of a modality brought into the bound space by few pairs, or by none.

Between strong and weak generalization: how many pairs does an unseen modality need?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors import _transport
from mglib.perceptors._base import Input, Perceptor
from mglib.perceptors._draws import draw_pairs, random_by
from mglib.perceptors._linear import fit_axes, fit_ridge, fit_scaling, unit_rows
from mglib.perceptors.bound import PENALTIES
from mglib.perceptors.frozen import ENCODERS
from mglib.registry import Setting, perceptors

CLOUD = 1000  # points that transport matches at most


def by_procrustes(x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """x [N, D] turned and scaled to where its pairs lie nearest to y [N, E]; both means are known.

    `pairs` and `seen` are instances, with and without known partners. Few pairs determine a
    rotation of their subspace only; the rest is dropped.
    """
    start, goal = x[seen].mean(axis=0), y[seen].mean(axis=0)
    own = x[pairs] - start
    turn, scale = _transport.rotation(own.T @ (y[pairs] - goal), own)
    return np.asarray((x - start) @ turn * scale + goal)


def by_ridge(x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Ridge regression from x [N, D], standardised, to y [N, E] minus its mean, as in `bound`.

    The mean is not added again: few pairs shrink what is predicted until the mean is all.
    """
    scaled, goal = fit_scaling(x[seen])(x), y[seen].mean(axis=0)
    return fit_ridge(scaled[pairs], y[pairs] - goal, PENALTIES)(scaled)


def by_moments(x: np.ndarray, y: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """x [N, D] whitened and coloured as y [N, E]: principal axes matched by their order (ours).

    Axes have no direction of their own: each points to where its third moment is positive.
    """
    own, goal = fit_axes(x[seen], x.shape[1]), fit_axes(y[seen], y.shape[1])
    rank = min(len(own.spread), len(goal.spread))
    seats, places = (axes(z)[:, :rank] for axes, z in ((own, x), (goal, y)))
    skew = [np.where((z[seen] ** 3).mean(axis=0) < 0, -1.0, 1.0) for z in (seats, places)]
    scale = skew[0] * skew[1] * goal.spread[:rank] / own.spread[:rank]
    return np.asarray((seats * scale) @ goal.axes[:, :rank].T + goal.centre)


def by_transport(x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """x [N, D] turned to y [N, E] by the plan of optimal transport between what is seen of both."""
    start, goal = x[seen].mean(axis=0), y[seen].mean(axis=0)
    own, other = x[seen] - start, y[seen] - goal
    plan = _transport.match_clouds(own, other, np.isin(seen, pairs))
    turn, scale = _transport.rotation(own.T @ plan @ other * len(seen), own)
    return np.asarray((x - start) @ turn * scale + goal)


@perceptors.register("anchored")
class Anchored(Perceptor):
    """Self-supervised vectors mapped into the bound space of the anchor by few or no pairs.

    Methods: `procrustes` (a rotation), `ridge`, `moments` (no pairs) and `transport` (no pairs, or
    with pairs as fixed matches). `pairs` are instances seen in the modality and in the anchor, the
    same that `bound` is given; `seed` says which. Every modality is mapped, the anchor too, so that
    any can be the unseen one. Only the binding part of a split is looked at.
    """

    version = "1"
    kinds = frozenset(ENCODERS)
    unit_norm = True
    fitted = True
    settings = {
        "method": Setting(str, "transport", words=("procrustes", "ridge", "moments", "transport")),
        "pairs": Setting(int, 0, 0, words=("all",)),
        "seed": Setting(int, 0, 0),
    }

    @classmethod
    def check_settings(cls) -> None:
        """Raise MglibError for pairs with a method that has no use for them, or the other way."""
        method, pairs = (cls.values()[name] for name in ("method", "pairs"))
        if method == "moments" and pairs:
            raise MglibError(f"perceptor '{cls.name}': method moments learns from no pairs")
        if method in ("procrustes", "ridge") and not pairs:
            raise MglibError(
                f"perceptor '{cls.name}': method {method} learns from pairs; give some, as in "
                f"anchored@method={method},pairs=20, or pairs=all"
            )

    def parameters(self) -> dict[str, Any]:
        """The settings, and what the methods do in figures."""
        penalties = [float(f"{penalty:.6g}") for penalty in PENALTIES]
        return {**self.values(), "penalties": penalties, "cloud": CLOUD}

    def space(self, dataset: Dataset, modality: str) -> str:
        """That of `bound`."""
        return str(perceptors.get("bound")().space(dataset, modality))

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The modality in its own space, and the anchor in the bound one."""
        return [("self_supervised", modality), ("bound", dataset.anchor)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Unit vectors [N, D] under the map of one split."""
        from threadpoolctl import threadpool_limits

        own, anchor = inputs
        if split_seed is None or own.instance_ids != anchor.instance_ids:
            raise MglibError(f"anchoring {modality} needs a split and the anchor's own instances")
        chosen = self.values()
        binding = split_indices(own.groups, split_seed)["binding"]
        pairs = draw_pairs(binding, chosen["pairs"], split_seed, chosen["seed"], self.name)
        x, y = own.values.astype(np.float64), anchor.values.astype(np.float64)
        with threadpool_limits(limits=1):  # sums must not hang on the number of cores
            if chosen["method"] == "moments":
                return unit_rows(by_moments(x, y, binding)), None
            if chosen["method"] == "transport":
                binding = self._cloud(binding, pairs, split_seed)
            fit = {"procrustes": by_procrustes, "ridge": by_ridge, "transport": by_transport}
            return unit_rows(fit[chosen["method"]](x, y, pairs, binding)), None

    def _cloud(self, binding: np.ndarray, pairs: np.ndarray, split_seed: int) -> np.ndarray:
        """The instances to match: all pairs, and others at random up to CLOUD in all."""
        others = np.setdiff1d(binding, pairs)
        order = random_by("cloud", split_seed, self.values()["seed"]).permutation(others)
        return np.sort(np.concatenate([pairs, order[: max(CLOUD - len(pairs), 0)]]))
