"""The surrogate source set: a body's own modality, and what the body still knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mglib.data.splits import split_indices
from mglib.features import load_features
from mglib.transfer.body import Body
from mglib.transfer.model import TransferModel, taken
from mglib.transfer.target import LEARNED

ROWS = 64  # of one pass
SOURCE_TARGET = "class"
PROBED = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """Instances of the source modality as their body reads them, labels [N], and parts by group.

    A split is the one of a target's with the same groups, so that what is tested here has been
    trained on in no modality. The part "surrogate" is what a method may learn from; a probe of the
    features learns from "train", a share of it.
    """

    batch: Any
    labels: Tensor
    groups: np.ndarray
    parts: dict[str, np.ndarray]

    def rows(self, index: np.ndarray) -> tuple[Any, Tensor]:
        """A source batch for the body, and its labels [B]."""
        return taken(self.batch, torch.from_numpy(index)), self.labels[torch.from_numpy(index)]

    def features(self, model: TransferModel) -> dict[str, np.ndarray]:
        """Pooled features [N, D] by part, through source embedder and present encoder."""
        device = next(model.parameters()).device
        found = {}
        with torch.no_grad():
            for part in PROBED:
                index = torch.from_numpy(self.parts[part])
                passes = [
                    model.source_features(on(taken(self.batch, rows), device)).cpu()
                    for rows in index.split(ROWS)
                ]
                found[part] = torch.cat(passes).numpy()
        return found


def on(batch: Any, device: torch.device | str) -> Any:
    """A batch, a tensor or a tuple of tensors, on a device."""
    if isinstance(batch, tuple):
        return tuple(part.to(device) for part in batch)
    return batch.to(device)


def load_source(body: Body, split_seed: int) -> Source:
    """The source set of a body, from the feature store; MglibError if it is not prepared."""
    features = load_features(*body.source)
    split = split_indices(features.groups, split_seed)
    learned = np.sort(np.concatenate([split[name] for name in LEARNED]))
    return Source(
        body.read_source(features.values, features.lengths),
        torch.from_numpy(features.targets[SOURCE_TARGET].astype(np.int64)),
        features.groups,
        {"surrogate": learned, **{part: split[part] for part in PROBED}},
    )
