"""A target: one modality of a dataset as inputs, answers and splits, and how answers are judged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mglib import paths
from mglib.data.splits import split_indices
from mglib.errors import MglibError, unknown
from mglib.features import FeatureSet, load_features
from mglib.transfer.body import TargetShape
from mglib.transfer.objectives import relative_error

# A body learned its space elsewhere, so what other tasks keep for that is trained on as well.
LEARNED = ("binding", "train")


@dataclass(frozen=True)
class Units:
    """Between a target's own units and a model's: a centre and scale [channels] of training data.

    Those of answers are of fields; logits stay as they are.
    """

    centre: Tensor
    scale: Tensor
    answer_centre: Tensor
    answer_scale: Tensor

    def standardised(self, inputs: Tensor) -> Tensor:
        """Inputs [B, channels, *size] as a model takes them."""
        wide = (1, -1, *(1,) * (inputs.ndim - 2))
        return (inputs.float() - self.centre.view(wide)) / self.scale.view(wide)

    def decoded(self, answer: Tensor) -> Tensor:
        """Fields [B, channels, *size] that a model said, in their own units."""
        wide = (1, -1, *(1,) * (answer.ndim - 2))
        return answer * self.answer_scale.view(wide) + self.answer_centre.view(wide)


@dataclass(frozen=True)
class Target:
    """Inputs [N, channels, *size] and answers of one target: classes [N], or fields [N, *output].

    `units` standardise inputs and, for fields, answers. `parts` are instances by part, `metric` is
    what is reported, lower is better.
    """

    inputs: Tensor
    answers: Tensor
    units: Units
    parts: dict[str, np.ndarray]
    groups: np.ndarray
    shape: TargetShape

    @property
    def metric(self) -> str:
        """The share of wrong answers of a classification, or the nRMSE of fields.

        nRMSE as in ORCA's protocol: of each instance all space and channels together, then the
        mean over instances, which is the mean relative L2.
        """
        return "error" if self.shape.classes else "nrmse"

    def rows(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Standardised inputs [B, channels, *size] and answers of some instances."""
        place = torch.from_numpy(index)
        return self.units.standardised(self.inputs[place]), self.answers[place]

    def decoded(self, answer: Tensor) -> Tensor:
        """What a model said of fields, in their own units; logits stay as they are."""
        return answer if self.shape.classes else self.units.decoded(answer)

    def loss(self, answer: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy of logits, or the mean relative L2 of fields in their own units."""
        if self.shape.classes:
            return functional.cross_entropy(answer, wanted)
        return relative_error(self.decoded(answer), wanted)

    def misses(self, answer: Tensor, wanted: Tensor) -> Tensor:
        """Of each instance [B], whether it is wrong, or the relative L2 of its field."""
        if self.shape.classes:
            return (answer.argmax(-1) != wanted).float()
        error = (self.decoded(answer) - wanted).flatten(1).norm(dim=1)
        return error / wanted.flatten(1).norm(dim=1).clamp_min(1e-12)


def _channels_first(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(values, -1, 1))


def inputs_of(features: FeatureSet, kind: str) -> np.ndarray:
    """Features of a kind of raw data as inputs [N, channels, *size].

    Pictures [N, h, w] get one channel; pictures [N, h, w, c], series and fields have theirs last.
    Raises MglibError for others, and for inputs that are not finite.
    """
    values = features.values
    where = f"{features.card['dataset']}/{features.card['perceptor']}/{features.card['modality']}"
    if values.ndim == 3 and kind in ("image", "audio"):
        found = values[:, None]
    elif values.ndim in (3, 4) and kind in ("image", "series", "field"):
        found = _channels_first(values)
    else:
        raise MglibError(
            f"{where}: a target's inputs are pictures, series or fields, not {kind} of shape "
            f"{list(values.shape)}"
        )
    if not np.isfinite(found).all():
        raise MglibError(f"{where}: inputs are not finite")
    return found


def moments(values: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of [N, channels, ...]; at least 1e-6."""
    axes = (0, *range(2, values.ndim))
    centre = values.mean(axes, dtype=np.float64)
    scale = np.maximum(values.std(axes, dtype=np.float64), 1e-6)
    return torch.from_numpy(centre).float(), torch.from_numpy(scale).float()


def load_target(
    dataset: str, perceptor: str, modality: str, target: str, split_seed: int
) -> Target:
    """The target of these names and split from the feature store.

    Splits are the benchmark's, by group; its binding part is trained on, too. Raises MglibError for
    names that there are not, missing features, and inputs or answers of another form.
    """
    return _load(str(paths.cache()), dataset, perceptor, modality, target, split_seed)


@lru_cache(maxsize=1)
def _load(
    cache: str, dataset: str, perceptor: str, modality: str, target: str, split_seed: int
) -> Target:
    from mglib.registry import datasets

    features = load_features(dataset, perceptor, modality)
    if target not in features.targets:
        raise unknown(f"target of {dataset}", target, features.targets)
    inputs = inputs_of(features, datasets.get(dataset).kinds[modality])
    split = split_indices(features.groups, split_seed)
    learned = np.sort(np.concatenate([split[name] for name in LEARNED]))
    parts = {"train": learned, "validation": split["validation"], "test": split["test"]}
    wanted = features.targets[target]
    size = tuple(int(n) for n in inputs.shape[2:])
    nothing, one = torch.zeros(1), torch.ones(1)
    if wanted.ndim == 1 and np.issubdtype(wanted.dtype, np.integer):
        classes = len(features.card["class_names"][target])
        shape = TargetShape(inputs.shape[1], size, classes=classes)
        answers, about = torch.from_numpy(wanted.astype(np.int64)), (nothing, one)
    elif wanted.ndim >= 3:
        fields = _channels_first(wanted).astype(np.float32)
        shape = TargetShape(inputs.shape[1], size, output=tuple(int(n) for n in fields.shape[1:]))
        answers, about = torch.from_numpy(fields), moments(fields[learned])
    else:
        raise MglibError(
            f"target '{target}' of {dataset} is neither classes [N] nor fields [N, ..., channels]"
        )
    return Target(
        torch.from_numpy(inputs),
        answers,
        Units(*moments(inputs[learned]), *about),
        parts,
        features.groups,
        shape,
    )
