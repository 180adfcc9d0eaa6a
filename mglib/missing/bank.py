"""What a stack of trials with missing modalities reads: features, pairs, parts, what is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mglib import paths
from mglib.errors import MglibError
from mglib.missing.answers import Answered, load_answers
from mglib.missing.convolution import check_pictures
from mglib.missing.masks import mask_table
from mglib.missing.trial import MissingTrial
from mglib.registry import laws, pairings, perceptors
from mglib.trials.hyperparameters import seed_hash

PARTS = ("train", "validation", "test")
MEASURED = PARTS[1:]
NEAR_UNIT = 1e-3  # norms this near to 1 are meant to be 1


@dataclass(frozen=True)
class Paired:
    """The instances of one pairing in one split: items [M, N] of the modalities, answers [N].

    `parts` are the instances by part; that for learning also holds what elsewhere only serves to
    bind spaces, unless this one was fitted on it. `classes` is 0 for answers that are no class.
    """

    items: np.ndarray
    answers: np.ndarray
    parts: dict[str, np.ndarray]
    classes: int


@dataclass(frozen=True)
class Scaling:
    """From features [..., D] as they are stored to those that models see."""

    centre: np.ndarray
    scale: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Features [..., D] on the scale of models."""
        scaled: np.ndarray = ((values - self.centre) * self.scale).astype(np.float32)
        return scaled

    @property
    def zeros(self) -> np.ndarray:
        """Where a vector of zeros [D] goes."""
        gone: np.ndarray = (0 - self.centre * self.scale).astype(np.float32)
        return gone


@dataclass(frozen=True)
class MissingBank:
    """Features by modality [K, N, D] with a block for each split, and the instances by trial.

    Widths differ between modalities. What is of unit norm is scaled by the root of its width, all
    else standardised by the training part's items, hidden or not: one scale for all laws; `zeros`
    holds where a vector of zeros went, by modality [K, D]. `items` [T, M, N], `answers` [T, N] and
    `seen` [T, N, M] (what the law of each trial leaves; all of the test part) are padded to the
    longest, `paired` tells the parts. `shapes` are those of one item, by modality, of which D are
    all entries; `scalings` by modality and block are how stored features came to these.
    """

    values: tuple[Tensor, ...]
    zeros: tuple[Tensor, ...]
    block: dict[int, int]
    paired: tuple[Paired, ...]
    items: Tensor
    answers: Tensor
    seen: Tensor
    classes: int
    shapes: tuple[tuple[int, ...], ...] = ()
    scalings: tuple[tuple[Scaling, ...], ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the features are."""
        return self.answers.device

    def narrow(self, places: Sequence[int]) -> MissingBank:
        """The same for some of the trials, by their places."""
        chosen = list(places)
        return MissingBank(
            self.values,
            self.zeros,
            self.block,
            tuple(self.paired[place] for place in chosen),
            self.items[chosen],
            self.answers[chosen],
            self.seen[chosen],
            self.classes,
            self.shapes,
            self.scalings,
        )

    def rows(self, blocks: Tensor, index: Tensor) -> tuple[Tensor, ...]:
        """Features by modality, each [T, B, D], of instances `index` [T, B]."""
        trials = torch.arange(len(index), device=self.device)[:, None]
        return tuple(
            values[blocks[:, None], self.items[trials, place, index]]
            for place, values in enumerate(self.values)
        )

    def blocks(self, trials: Sequence[MissingTrial]) -> Tensor:
        """The block of features of each trial, [T]."""
        return torch.tensor([self.block[t.split_seed] for t in trials], device=self.device)


def load_bank(trials: Sequence[MissingTrial], device: str = "cpu") -> MissingBank:
    """What trials of one stack read; draws the tables of what is hidden that are not yet drawn.

    Raises MglibError for features that are missing or damaged or of a shape that the method does
    not read, and for a law that the number of modalities or the rate does not allow.
    """
    first = trials[0]
    splits = tuple(sorted({t.split_seed for t in trials}))
    cache = str(paths.cache())
    read = (cache, first.dataset, first.perceptor, first.modalities, first.target)
    paired = tuple(_paired(*read, t.pairing, t.split_seed, first.pictured) for t in trials)
    values, scalings, shapes = _features(*read, splits, device, first.pictured)
    longest = max(own.items.shape[1] for own in paired)
    shape = (len(trials), longest)
    answers = np.zeros(shape, np.int64 if paired[0].classes else np.float32)
    items = np.zeros((len(trials), len(first.modalities), longest), np.int64)
    seen = np.zeros((*shape, len(first.modalities)), bool)
    for place, (trial, own) in enumerate(zip(trials, paired, strict=True)):
        size = own.items.shape[1]
        items[place, :, :size], answers[place, :size] = own.items, own.answers
        seen[place, :size] = hidden(trial, own)
    zeros = tuple(torch.from_numpy(np.stack([s.zeros for s in own])) for own in scalings)
    return MissingBank(
        values,
        tuple(own.to(device) for own in zeros),
        {split: place for place, split in enumerate(splits)},
        paired,
        torch.from_numpy(items).to(device),
        torch.from_numpy(answers).to(device),
        torch.from_numpy(seen).to(device),
        max(own.classes for own in paired),
        shapes,
        scalings,
    )


def hidden(trial: MissingTrial, own: Paired) -> np.ndarray:
    """What a trial's law leaves to see, bool [N, M]; everything of the test part."""
    modalities = len(trial.modalities)
    laws.get(trial.law)().check(modalities, trial.rate)
    seen = np.ones((own.items.shape[1], modalities), bool)
    for part in ("train", "validation"):
        rows = own.parts[part]
        seen[rows] = mask_table(
            trial.law,
            trial.rate,
            modalities=modalities,
            rows=len(rows),
            labels=own.answers[rows] if own.classes else None,
            seed=trial.seed,
            split_seed=trial.split_seed,
            part=part,
        )
    return seen


def learned(trial: MissingTrial, own: Paired) -> np.ndarray:
    """The training instances that are there at all: a `share` of them, drawn once by the seed."""
    rows = own.parts["train"]
    if trial.share == 1:
        return rows
    random = np.random.RandomState(seed_hash("share", trial.seed, trial.split_seed))
    return np.sort(random.permutation(rows)[: max(1, round(trial.share * len(rows)))])


@lru_cache(maxsize=64)
def _answered(
    cache: str,
    dataset: str,
    perceptor: str,
    modalities: tuple[str, ...],
    target: str,
    split: int,
    pictured: bool,
) -> Answered:
    fitted = bool(perceptors.get(perceptor).fitted)
    takes = "pictures" if pictured else "vectors"
    found = load_answers(dataset, perceptor, modalities, target, split, fitted, takes)
    if pictured:
        check_pictures(
            {
                f"{dataset}/{perceptor}/{name}": own.shape[1:]
                for name, own in zip(modalities, found.features, strict=True)
            }
        )
    return found


@lru_cache(maxsize=64)
def _paired(
    cache: str,
    dataset: str,
    perceptor: str,
    modalities: tuple[str, ...],
    target: str,
    pairing: str,
    split: int,
    pictured: bool = False,
) -> Paired:
    own = _answered(cache, dataset, perceptor, modalities, target, split, pictured)
    parts = {name: own.parts[name] for name in PARTS}
    if not perceptors.get(perceptor).fitted:  # a space is tighter on the pairs it was fitted on
        parts["train"] = np.sort(np.concatenate([parts["train"], own.parts["binding"]]))
    if pairing == "instance":
        items = np.tile(np.arange(len(own.answers)), (len(modalities), 1))
        return Paired(items, own.answers, parts, own.classes)
    if not own.classes:
        raise MglibError(f"pairing '{pairing}' needs classes, but '{target}' of {dataset} is none")
    drawn = pairings.get(pairing)().pair(own.answers, parts, len(modalities), split)
    return Paired(drawn.index, drawn.labels, parts, drawn.classes)


@lru_cache(maxsize=1)
def _features(
    cache: str,
    dataset: str,
    perceptor: str,
    modalities: tuple[str, ...],
    target: str,
    splits: tuple[int, ...],
    device: str,
    pictured: bool,
) -> tuple[tuple[Tensor, ...], tuple[tuple[Scaling, ...], ...], tuple[tuple[int, ...], ...]]:
    about = (cache, dataset, perceptor, modalities, target)
    values: list[list[Tensor]] = [[] for _ in modalities]
    scalings: list[list[Scaling]] = [[] for _ in modalities]
    for split in splits:
        own = _answered(*about, split, pictured)
        rows = _paired(*about, "instance", split, pictured).parts
        for place, features in enumerate(own.features):
            flat = features.reshape(len(features), -1)
            scaling = scaling_of(flat, rows["train"])
            values[place].append(torch.from_numpy(scaling(flat)))
            scalings[place].append(scaling)
    return (
        tuple(torch.stack(own).to(device) for own in values),
        tuple(map(tuple, scalings)),
        tuple(features.shape[1:] for features in own.features),
    )


def scaling_of(values: np.ndarray, learn: np.ndarray) -> Scaling:
    """What brings features [N, D] on one scale: unit norms keep their directions.

    Those are scaled by the root of D, all else by the mean and deviation of the rows `learn`; a
    feature that is constant there becomes 0.
    """
    width = values.shape[1]
    norms = np.linalg.norm(values, axis=1)
    if np.abs(norms - 1).max() < NEAR_UNIT:
        return Scaling(np.zeros(width, np.float32), np.full(width, width**0.5, np.float32))
    mean, spread = values[learn].mean(0), values[learn].std(0)
    return Scaling(mean, np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6))
