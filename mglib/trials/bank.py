"""The features that a stack of trials needs, on the device, with the indices of their splits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mglib import paths
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import FeatureSet, load_features
from mglib.registry import perceptors
from mglib.trials.trial import Trial

EVALUATED = ("train", "validation", "test")


@dataclass(frozen=True)
class FeatureBank:
    """Features [K, N, D], one block for each (modality, split) in use, labels and groups [N]."""

    values: Tensor
    labels: Tensor
    groups: np.ndarray
    classes: int
    block: dict[tuple[str, int], int]
    splits: dict[int, dict[str, np.ndarray]]

    def blocks(self, modality: str, trials: Sequence[Trial]) -> Tensor:
        """The block of a modality for each trial, [T]."""
        return torch.tensor(
            [self.block[modality, t.split_seed] for t in trials], device=self.values.device
        )


def load_bank(
    trials: Sequence[Trial], device: str = "cpu", split_seeds: Collection[int] = ()
) -> FeatureBank:
    """Load what trials of one dataset, perceptor and target need, and further splits.

    A process keeps its last bank: stacks that ask for the same read it once. Raises MglibError if
    features are missing or damaged, have different widths or instances, or are not finite.
    """
    first = trials[0]
    return _load(
        *(str(paths.cache()), first.dataset, first.perceptor, first.target),
        tuple(sorted({m for t in trials for m in (*t.train, *t.evaluate)})),
        tuple(sorted({t.split_seed for t in trials} | set(split_seeds))),
        device,
    )


@lru_cache(maxsize=1)
def _load(
    cache: str,
    dataset: str,
    perceptor: str,
    target: str,
    modalities: tuple[str, ...],
    split_seeds: tuple[int, ...],
    device: str,
) -> FeatureBank:
    fitted = perceptors.get(perceptor).fitted
    loaded: list[FeatureSet] = []
    block: dict[tuple[str, int], int] = {}
    sets: dict[tuple[str, int | None], int] = {}
    for modality in modalities:
        for split_seed in split_seeds:
            name = (modality, split_seed if fitted else None)
            if name not in sets:
                sets[name] = len(loaded)
                loaded.append(load_features(dataset, perceptor, *name))
            block[modality, split_seed] = sets[name]
    reference = loaded[0]
    for features in loaded:
        if features.values.shape != reference.values.shape:
            raise MglibError(
                f"{dataset}/{perceptor}: features of {features.card['modality']} have "
                f"shape {features.values.shape}, those of {reference.card['modality']} "
                f"{reference.values.shape}; one learner needs one space (perceptor 'bound')"
            )
        if features.instance_ids != reference.instance_ids:
            raise MglibError(f"{dataset}: modalities list different instances")
        if not np.isfinite(features.values).all():
            raise MglibError(
                f"{dataset}/{perceptor}/{features.card['modality']}: features are not finite"
            )
    labels = np.asarray(reference.targets[target])
    return FeatureBank(
        values=torch.from_numpy(np.stack([f.values for f in loaded])).to(device),
        labels=torch.from_numpy(labels.astype(np.int64)).to(device),
        groups=reference.groups,
        classes=int(labels.max()) + 1,
        block=block,
        splits={seed: split_indices(reference.groups, seed) for seed in split_seeds},
    )
