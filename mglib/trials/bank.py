"""The features that a stack of trials needs, on the device, with the indices of their splits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mglib import paths
from mglib.data.splits import published_split, split_indices
from mglib.errors import MglibError
from mglib.features import FeatureSet, load_features
from mglib.registry import perceptors
from mglib.trials.hyperparameters import seed_hash
from mglib.trials.trial import Trial


@dataclass(frozen=True)
class Evaluated:
    """The parts that trials are scored on: to learn from, to choose by, and to report."""

    learned: str
    chosen_by: str
    reported: str

    @property
    def names(self) -> tuple[str, ...]:
        """Each part once, in order."""
        return tuple(dict.fromkeys((self.learned, self.chosen_by, self.reported)))


# ModalBed scores the part "in" of a test modality, whose instances it trains on elsewhere.
EVALUATED = {
    "disjoint": Evaluated("train", "validation", "test"),
    "as_published": Evaluated("in", "out", "in"),
}


@dataclass(frozen=True)
class FeatureBank:
    """Features [K, N, D], one block for each (modality, split) in use, labels and groups [N].

    `block` is where learners train, `tested` where modalities lie that come through another
    perceptor at test. `splits` are the four disjoint parts of each split seed.
    """

    values: Tensor
    labels: Tensor
    groups: np.ndarray
    classes: int
    block: dict[tuple[str, int], int]
    splits: dict[int, dict[str, np.ndarray]]
    tested: dict[tuple[str, int], int] = field(default_factory=dict)

    def rows(self, blocks: Tensor, index: Tensor) -> Tensor:
        """Features [..., D] of the instances `index` of `blocks`, of one shape once broadcast."""
        return functional.embedding(
            blocks * self.values.shape[1] + index, self.values.flatten(0, 1)
        )

    def blocks(self, modality: str, trials: Sequence[Trial]) -> Tensor:
        """The block in which each trial is tested on a modality, [T]."""
        found = []
        for t in trials:
            other = t.unseen and (t.unseen_for_all or modality not in t.train)
            found.append((self.tested if other else self.block)[modality, t.split_seed])
        return torch.tensor(found, device=self.values.device)

    def parts(self, trial: Trial, modality: str) -> dict[str, np.ndarray]:
        """The instances of a modality by part; published splits leave out the binding part, too.

        A perceptor was fitted on that part; the published ones were trained elsewhere.
        """
        if trial.splits == "disjoint":
            return self.splits[trial.split_seed]
        own = self.splits[trial.split_seed]
        pool = np.sort(np.concatenate([own[name] for name in EVALUATED["disjoint"].names]))
        number = sorted({*trial.train, *trial.evaluate}).index(modality)
        drawn = published_split(len(pool), seed_hash(trial.split_seed, number))
        return {name: pool[places] for name, places in drawn.items()}

    def pools(self, trial: Trial, aligned: bool) -> np.ndarray:
        """Instances to train on, [M, P]; [1, P] for an aligned method: those that all have."""
        learned = EVALUATED[trial.splits].learned
        own = [self.parts(trial, modality)[learned] for modality in trial.train]
        return reduce(np.intersect1d, own)[None] if aligned else np.stack(own)


def load_bank(
    trials: Sequence[Trial], device: str = "cpu", split_seeds: Collection[int] = ()
) -> FeatureBank:
    """Load what trials of one dataset, perceptor and target need, and further splits.

    A process keeps its last bank: stacks that ask for the same read it once. Raises MglibError if
    features are missing or damaged, have different widths or instances, or are not finite.
    """
    first = trials[0]
    return _load(
        *(str(paths.cache()), first.dataset, first.perceptor, first.unseen, first.target),
        tuple(sorted({m for t in trials for m in (*t.train, *t.evaluate)})),
        tuple(sorted({t.split_seed for t in trials} | set(split_seeds))),
        device,
    )


@lru_cache(maxsize=1)
def _load(
    cache: str,
    dataset: str,
    perceptor: str,
    unseen: str,
    target: str,
    modalities: tuple[str, ...],
    split_seeds: tuple[int, ...],
    device: str,
) -> FeatureBank:
    loaded: list[FeatureSet] = []
    places: dict[str, dict[tuple[str, int], int]] = {}
    for name in (perceptor, unseen) if unseen else (perceptor,):
        fitted = perceptors.get(name).fitted
        found: dict[tuple[str, int | None], int] = {}
        for modality, split_seed in product(modalities, split_seeds):
            asked = (modality, split_seed if fitted else None)
            if asked not in found:
                found[asked] = len(loaded)
                loaded.append(load_features(dataset, name, *asked))
            places.setdefault(name, {})[modality, split_seed] = found[asked]
    reference = loaded[0]
    for features in loaded:
        if features.values.shape != reference.values.shape:
            raise MglibError(
                f"{dataset}/{features.card['perceptor']}: features of "
                f"{features.card['modality']} have shape {features.values.shape}, those of "
                f"{reference.card['perceptor']}/{reference.card['modality']} "
                f"{reference.values.shape}; one learner needs one space (perceptor 'bound')"
            )
        if features.instance_ids != reference.instance_ids:
            raise MglibError(f"{dataset}: modalities list different instances")
        if not np.isfinite(features.values).all():
            raise MglibError(
                f"{dataset}/{features.card['perceptor']}/{features.card['modality']}: features "
                "are not finite"
            )
    labels = np.asarray(reference.targets[target])
    return FeatureBank(
        values=torch.from_numpy(np.stack([f.values for f in loaded])).to(device),
        labels=torch.from_numpy(labels.astype(np.int64)).to(device),
        groups=reference.groups,
        classes=int(labels.max()) + 1,
        block=places[perceptor],
        splits={seed: split_indices(reference.groups, seed) for seed in split_seeds},
        tested=places.get(unseen, {}),
    )
