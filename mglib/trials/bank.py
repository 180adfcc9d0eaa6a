"""The features that a stack of trials needs, on the device, with the indices of their splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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


def load_bank(trials: Sequence[Trial], device: str | torch.device = "cpu") -> FeatureBank:
    """Load what trials of one dataset, perceptor and target need.

    Raises MglibError if features are missing or damaged, have different widths or instances, or
    are not finite.
    """
    first = trials[0]
    fitted = perceptors.get(first.perceptor).fitted
    split_seeds = sorted({t.split_seed for t in trials})
    modalities = sorted({m for t in trials for m in (*t.train, *t.evaluate)})
    loaded: list[FeatureSet] = []
    block: dict[tuple[str, int], int] = {}
    sets: dict[tuple[str, int | None], int] = {}
    for modality in modalities:
        for split_seed in split_seeds:
            name = (modality, split_seed if fitted else None)
            if name not in sets:
                sets[name] = len(loaded)
                loaded.append(load_features(first.dataset, first.perceptor, *name))
            block[modality, split_seed] = sets[name]
    reference = loaded[0]
    for features in loaded:
        if features.values.shape != reference.values.shape:
            raise MglibError(
                f"{first.dataset}/{first.perceptor}: features of {features.card['modality']} have "
                f"shape {features.values.shape}, those of {reference.card['modality']} "
                f"{reference.values.shape}; one learner needs one space (perceptor 'bound')"
            )
        if features.instance_ids != reference.instance_ids:
            raise MglibError(f"{first.dataset}: modalities list different instances")
        if not np.isfinite(features.values).all():
            raise MglibError(
                f"{first.dataset}/{first.perceptor}/{features.card['modality']}: "
                "features are not finite"
            )
    labels = np.asarray(reference.targets[first.target])
    return FeatureBank(
        values=torch.from_numpy(np.stack([f.values for f in loaded])).to(device),
        labels=torch.from_numpy(labels.astype(np.int64)).to(device),
        groups=reference.groups,
        classes=int(labels.max()) + 1,
        block=block,
        splits={seed: split_indices(reference.groups, seed) for seed in split_seeds},
    )
