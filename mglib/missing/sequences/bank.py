"""What a stack of trials on sequences reads: frames, lengths, classes, parts, what is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mglib import paths
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.missing.answers import Answered, load_answers
from mglib.missing.sequences.laws import NONE, VICTIM, draw
from mglib.missing.sequences.question import SequenceQuestion
from mglib.trials.hyperparameters import seed_hash

CONSTANT = 1e-6  # a value that varies less over the training part becomes 0


@dataclass(frozen=True)
class SequenceBank:
    """Frames by modality [N, F, D] with their lengths [N], classes [N], and parts by split.

    What a model reads is standardised by the frames of the split's training part, lost or not: one
    scale for all laws. `means` and `scales` [K, D] have a line for each split, by modality.
    """

    names: tuple[str, ...]
    values: tuple[Tensor, ...]
    lengths: tuple[np.ndarray, ...]
    means: tuple[Tensor, ...]
    scales: tuple[Tensor, ...]
    answers: Tensor
    parts: dict[int, dict[str, np.ndarray]]
    classes: int
    _tables: dict[tuple[object, ...], list[np.ndarray]] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the frames are."""
        return self.answers.device

    @property
    def widths(self) -> tuple[int, ...]:
        """D by modality."""
        return tuple(values.shape[-1] for values in self.values)

    def rows(self, trials: Sequence[SequenceQuestion], index: Tensor) -> tuple[Tensor, ...]:
        """Frames by modality, each [T, B, F, D], of instances `index` [T, B]."""
        places = {split: place for place, split in enumerate(self.parts)}
        block = torch.tensor([places[t.split_seed] for t in trials], device=self.device)
        return tuple(
            (values[index] - mean[block, None, None]) * scale[block, None, None]
            for values, mean, scale in zip(self.values, self.means, self.scales, strict=True)
        )

    def inside(self, index: Tensor) -> tuple[Tensor, ...]:
        """Which frames lie within their sequences, by modality, each [T, B, F]."""
        return tuple(
            torch.arange(values.shape[1], device=self.device)
            < torch.from_numpy(lengths).to(self.device)[index][..., None]
            for values, lengths in zip(self.values, self.lengths, strict=True)
        )

    def kept(self, split: int, part: str, law: str, rate: float) -> list[np.ndarray]:
        """Which frames of all instances are there if a part is lost by a law, each [N, F].

        Drawn once for a split, a part and a modality by its name, whatever else there is. By VICTIM
        the last modality is lost whole.
        """
        if law == VICTIM:
            *others, last = self.kept(split, part, NONE, 0.0)
            return [*others, np.zeros_like(last)]
        asked = (split, part, law, rate)
        if asked not in self._tables:
            self._tables[asked] = [
                draw(law, rate, lengths, v.shape[1], seed_hash("lost", law, name, split, part))
                for name, v, lengths in zip(self.names, self.values, self.lengths, strict=True)
            ]
        return self._tables[asked]


def load_bank(trials: Sequence[SequenceQuestion], device: str = "cpu") -> SequenceBank:
    """What trials of one stack read.

    Raises MglibError for features that are missing or damaged or no frames, and real answers.
    """
    first = trials[0]
    found = _answered(
        str(paths.cache()), first.dataset, first.perceptor, first.modalities, first.target
    )
    splits = sorted({t.split_seed for t in trials})
    return make_bank(first.modalities, found, splits, device)


def make_bank(
    names: Sequence[str], found: Answered, splits: Sequence[int], device: str = "cpu"
) -> SequenceBank:
    """A bank of some splits, on a device."""
    parts = {split: learning(found.groups, split) for split in splits}
    lengths = tuple(
        np.full(len(own), own.shape[1]) if given is None else given
        for own, given in zip(found.features, found.lengths, strict=True)
    )
    means, scales = [], []
    for own, ends in zip(found.features, lengths, strict=True):
        inside = np.arange(own.shape[1]) < ends[:, None]
        told = [own[p["train"]][inside[p["train"]]] for p in parts.values()]
        spread = np.stack([frames.std(0) for frames in told])
        means.append(np.stack([frames.mean(0) for frames in told]))
        scales.append(np.divide(1, spread, out=np.zeros_like(spread), where=spread > CONSTANT))
    return SequenceBank(
        tuple(names),
        tuple(torch.from_numpy(own).to(device) for own in found.features),
        lengths,
        tuple(torch.from_numpy(own).to(device) for own in means),
        tuple(torch.from_numpy(own).to(device) for own in scales),
        torch.from_numpy(found.answers).to(device),
        parts,
        found.classes,
    )


def learning(groups: np.ndarray, split: int) -> dict[str, np.ndarray]:
    """The parts of a split; that for learning also holds what elsewhere only binds spaces."""
    parts = split_indices(groups, split)
    return {**parts, "train": np.sort(np.concatenate([parts["train"], parts["binding"]]))}


@lru_cache(maxsize=4)
def _answered(
    cache: str, dataset: str, perceptor: str, modalities: tuple[str, ...], target: str
) -> Answered:
    found = load_answers(dataset, perceptor, modalities, target, 0, False, "sequences")
    if not found.classes:
        raise MglibError(f"sequences are classified, but '{target}' of {dataset} is no class")
    return found
