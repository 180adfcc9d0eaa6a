"""Each modality by itself, trained without labels or pairs to know its masked copies.

The loss of ModalBed's perceptors for strong generalization (arXiv 2412.18277, `strongMG.py`):
InfoNCE from an input to a copy of which 30 % of the entries are zero, temperature 0.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.perceptors._contrast import info_nce, train_head
from mglib.perceptors._draws import random_by
from mglib.perceptors._linear import fit_scaling, unit_rows
from mglib.perceptors.frozen import ENCODERS
from mglib.registry import perceptors

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = 256  # that of the bound spaces, so that one learner can meet both
MASKED, TEMPERATURE, EPOCHS = 0.3, 0.2, 5
BATCHES = {"text": 128}  # rows of a batch by kind
BATCH = 64
# Ours: at the published 5e-5 these few updates hardly move a head from where it began.
LR = 1e-3
SEEN = ("binding", "train")


@perceptors.register("self_supervised")
class SelfSupervised(Perceptor):
    """Unit vectors in a space of each modality's own, learned without labels or pairs.

    The loss, epochs, batches and AdamW are the published ones. Ours: the trunk stays frozen and a
    linear head is trained, entries of its standardised features are masked, the learning rate, and
    that only the parts "binding" and "train" are seen (published: all instances). The head begins
    otherwise in every modality, so that two spaces share nothing by accident.
    """

    version = "1"
    kinds = frozenset(ENCODERS)
    unit_norm = True
    fitted = True

    def parameters(self) -> dict[str, Any]:
        """How the head is trained."""
        named = {"width": WIDTH, "masked": MASKED, "temperature": TEMPERATURE, "epochs": EPOCHS}
        return {**named, "batch": BATCH, "batches": dict(BATCHES), "lr": LR, "seen": list(SEEN)}

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The frozen features of the modality."""
        return [("frozen", modality)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Unit vectors [N, WIDTH] of the head of one split."""
        import torch

        own = inputs[0]
        if split_seed is None:
            raise MglibError(f"training on {modality} needs a split")
        parts = split_indices(own.groups, split_seed)
        seen = np.sort(np.concatenate([parts[name] for name in SEEN]))
        scaled = fit_scaling(own.values[seen])(own.values).astype(np.float32)
        random = random_by(self.name, modality, split_seed)
        known = torch.from_numpy(scaled[seen])

        def loss(rows: np.ndarray, head: Any) -> Tensor:
            x = known[rows]
            kept = torch.from_numpy(random.random_sample(tuple(x.shape)) >= MASKED)
            return info_nce(head(x), head(x * kept), TEMPERATURE)

        batch = BATCHES.get(dataset.kinds[modality], BATCH)
        updates = EPOCHS * -(-len(seen) // batch)
        values = train_head(
            *(scaled, loss),
            width=WIDTH,
            random=random,
            rows=len(seen),
            batch=batch,
            updates=updates,
            lr=LR,
            scale=1.0,
            advance=advance,
        )
        return unit_rows(values), None
