"""The instances of a dataset: features by modality, answers, groups and parts of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mglib.data import emoji_sentiment
from mglib.data.splits import split_indices
from mglib.errors import MglibError, unknown
from mglib.features import load_features
from mglib.registry import datasets


@dataclass(frozen=True)
class Answered:
    """Features by modality [N, D] or [N, F, D], answers [N], instances by part of a split.

    Pictures are [N, height, width] or [N, channels, height, width].

    `lengths` are those of sequences, [N] by modality, None where all are as long as the features;
    `classes` is 0 for real answers; `groups` [N] never straddle parts.
    """

    features: tuple[np.ndarray, ...]
    answers: np.ndarray
    groups: np.ndarray
    parts: dict[str, np.ndarray]
    classes: int
    lengths: tuple[np.ndarray | None, ...] = ()


def answers_identity(dataset: str) -> dict[str, Any]:
    """What decides the answers of a dataset whose features are another's; JSON-serialisable."""
    if dataset != emoji_sentiment.EmojiSentiment.name:
        raise MglibError(f"'{dataset}' has features of its own")
    return emoji_sentiment.answers_identity()


def load_answers(
    dataset: str,
    perceptor: str,
    modalities: tuple[str, ...],
    target: str,
    split_seed: int,
    fitted: bool,
    takes: str = "vectors",
) -> Answered:
    """Read the modalities of a dataset through a perceptor; `fitted` is whether it is, per split.

    Raises MglibError for unknown names, missing features, features that are not what one `takes`
    ("vectors", "sequences" of such, or of any shape for "pictures") or not finite, and modalities
    that list different instances.
    """
    data = datasets.get(dataset)
    if target not in data.targets:
        raise unknown(f"target of {dataset}", target, data.targets)
    source = data.features_of or dataset
    found = [
        load_features(source, perceptor, m, split_seed if fitted else None) for m in modalities
    ]
    first = found[0]
    for name, own in zip(modalities, found, strict=True):
        if takes != "pictures" and own.values.ndim != 2 + (takes == "sequences"):
            wanted, such = {
                "sequences": ("a sequence", "frames"),
                "vectors": ("one vector", "frozen"),
            }[takes]
            raise MglibError(
                f"{source}/{perceptor}/{name} has shape {list(own.values.shape)}; fusion takes "
                f"{wanted} per instance: use another perceptor, such as '{such}'"
            )
        if own.instance_ids != first.instance_ids:
            raise MglibError(f"{source}: {name} and {modalities[0]} list different instances")
        if not np.isfinite(own.values).all():
            raise MglibError(f"{source}/{perceptor}/{name}: features are not finite")
    rows, parts = np.arange(len(first.groups)), split_indices(first.groups, split_seed)
    answers, names = first.targets.get(target), first.card["class_names"].get(target)
    if source != dataset:
        index = data().index()
        rows = emoji_sentiment.rows_in(first.instance_ids, index.instance_ids)
        parts = emoji_sentiment.restricted_split(first.groups, rows, split_seed)
        answers, names = index.targets[target], index.class_names.get(target)
    answers = np.asarray(answers)
    return Answered(
        tuple(np.ascontiguousarray(own.values[rows], np.float32) for own in found),
        answers.astype(np.int64 if names else np.float32),
        first.groups[rows],
        parts,
        len(names) if names else 0,
        tuple(None if own.lengths is None else own.lengths[rows] for own in found),
    )
