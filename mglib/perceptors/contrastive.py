"""All modalities bound to one by contrast with the other pairs, as ImageBind is trained.

Girdhar et al., arXiv 2305.05665: symmetric InfoNCE between a modality and the frozen centre. Here a
linear head takes the place of the transformers, as both sides begin with frozen encoders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.data._base import Advance
from mglib.errors import MglibError
from mglib.perceptors._binding import WIDTH, Binding, Pairs
from mglib.perceptors._contrast import info_nce, train_head
from mglib.perceptors._draws import random_by
from mglib.perceptors._linear import fit_scaling
from mglib.registry import Setting, perceptors

if TYPE_CHECKING:
    from torch import Tensor

TEMPERATURE = 0.07  # fixed: learned ones gave the same on held binding pairs
# Ours, by the loss on held binding pairs; no early stopping, so that all pairs are learned from.
TRAINING: dict[str, Any] = {"batch": 128, "updates": 90, "lr": 1e-3, "scale": 0.1}


def symmetric_loss(own: Tensor, partners: Tensor) -> Tensor:
    """Mean of InfoNCE from own [B, D] to partners [B, D] and back, a scalar."""
    there, back = (info_nce(a, b, TEMPERATURE) for a, b in ((own, partners), (partners, own)))
    return (there + back) / 2


@perceptors.register("contrastive")
class Contrastive(Binding):
    """Unit vectors in the space of the dataset's anchor modality, bound by contrast.

    Ours: a linear head on frozen features, standardised on the binding part, trained against the
    centre's fixed vectors with a fixed temperature and a fixed number of AdamW updates.
    """

    version = "1"
    settings = {
        **Binding.settings,
        "pairs": Setting(
            *(int, "all", 2), words=("all",), why="a single pair has no other to be told from"
        ),
    }

    def parameters(self) -> dict[str, Any]:
        """The settings and how the head is trained."""
        return {**self.values(), "temperature": TEMPERATURE, **TRAINING}

    def bind(self, pairs: Pairs, advance: Advance) -> np.ndarray:
        """The head's outputs [N, WIDTH]."""
        import torch

        if len(pairs.own) < 2:
            raise MglibError(f"contrast of {pairs.modality} needs two pairs, not {len(pairs.own)}")
        scaled = fit_scaling(pairs.features[pairs.binding])(pairs.features).astype(np.float32)
        own = torch.from_numpy(scaled[pairs.own])
        partners = torch.from_numpy(pairs.target[pairs.partners].astype(np.float32))
        random = random_by(self.name, pairs.modality, pairs.split_seed, self.values()["seed"])

        def loss(rows: np.ndarray, head: Any) -> Tensor:
            return symmetric_loss(head(own[rows]), partners[rows])

        return train_head(
            scaled, loss, width=WIDTH, random=random, rows=len(own), **TRAINING, advance=advance
        )
