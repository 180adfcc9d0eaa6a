"""Each modality by itself, trained without labels or pairs to know its masked copies.

The loss of ModalBed's perceptors for strong generalization (arXiv 2412.18277, `strongMG.py`):
InfoNCE from an input to a copy of which 30 % of the entries are zero, temperature 0.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.data.carriers import Carrier
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._adapters import DROPOUT, SCALE, adapt
from mglib.perceptors._base import Input, Perceptor
from mglib.perceptors._contrast import begin_head, descend, info_nce, one_thread, train_head
from mglib.perceptors._draws import random_by
from mglib.perceptors._linear import fit_scaling, unit_rows
from mglib.perceptors.frozen import ENCODERS
from mglib.registry import Setting, perceptors

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

    `adapters` is the rank of low-rank adapters in the trunk (published: 8), where that is one of
    PyTorch (here that of images), and then entries of its input are masked, as published; other
    modalities have their head alone.
    """

    version = "1"
    kinds = frozenset(ENCODERS)
    unit_norm = True
    fitted = True
    settings = {"adapters": Setting(int, 0, 0, 64)}

    def adapted(self, dataset: Dataset, modality: str) -> bool:
        """Whether the trunk of a modality has adapters."""
        encoder = ENCODERS[dataset.kinds[modality]]
        return self.values()["adapters"] > 0 and encoder.trunk is not None

    def parameters(self) -> dict[str, Any]:
        """How the head is trained, and the adapters if there are any."""
        named: dict[str, Any] = {
            "width": WIDTH,
            "masked": MASKED,
            "temperature": TEMPERATURE,
            "epochs": EPOCHS,
        }
        named |= {"batch": BATCH, "batches": dict(BATCHES), "lr": LR, "seen": list(SEEN)}
        if rank := self.values()["adapters"]:
            named |= {"adapters": rank, "scale": SCALE, "dropout": DROPOUT}
        return named

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The frozen features of the modality; of an adapted trunk its raw input, too."""
        raw = [("raw", modality)] if self.adapted(dataset, modality) else []
        return [("frozen", modality), *raw]

    def parts(self, dataset: Dataset, modality: str) -> list[Input]:
        """The inputs, and the encoder whose trunk is adapted."""
        encoder = ENCODERS[dataset.kinds[modality]].name
        adapted = [(encoder, modality)] if self.adapted(dataset, modality) else []
        return [*self.inputs(dataset, modality), *adapted]

    def carriers(self, dataset: Dataset, modality: str) -> tuple[Carrier, ...]:
        """Those of the encoder whose trunk is adapted."""
        encoder = ENCODERS[dataset.kinds[modality]]
        return encoder.CARRIERS if self.adapted(dataset, modality) else ()

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Unit vectors [N, WIDTH] of the head of one split."""
        if split_seed is None:
            raise MglibError(f"training on {modality} needs a split")
        own, kind = inputs[0], dataset.kinds[modality]
        parts = split_indices(own.groups, split_seed)
        seen = np.sort(np.concatenate([parts[name] for name in SEEN]))
        batch = BATCHES.get(kind, BATCH)
        # Without adapters in its own trunk a modality is the same whatever the setting.
        training = {
            "random": random_by("self_supervised", modality, split_seed),
            "rows": len(seen),
            "batch": batch,
            "updates": EPOCHS * -(-len(seen) // batch),
            "lr": LR,
            "advance": advance,
        }
        if len(inputs) > 1:
            rank = self.values()["adapters"]
            return unit_rows(_tuned(inputs[1].values, own.values, seen, kind, rank, training)), None
        return unit_rows(_headed(own.values, seen, training)), None


def _masked(x: Tensor, random: np.random.RandomState) -> Tensor:
    import torch

    return x * torch.from_numpy(random.random_sample(tuple(x.shape)) >= MASKED)


def _headed(frozen: np.ndarray, seen: np.ndarray, training: dict[str, Any]) -> np.ndarray:
    """Frozen features [N, D] through a head of their own, [N, WIDTH]."""
    import torch

    scaled = fit_scaling(frozen[seen])(frozen).astype(np.float32)
    known = torch.from_numpy(scaled[seen])

    def loss(rows: np.ndarray, head: Any) -> Tensor:
        x = known[rows]
        return info_nce(head(x), head(_masked(x, training["random"])), TEMPERATURE)

    return train_head(scaled, loss, width=WIDTH, scale=1.0, **training)


def _tuned(
    raw: np.ndarray,
    frozen: np.ndarray,
    seen: np.ndarray,
    kind: str,
    rank: int,
    training: dict[str, Any],
) -> np.ndarray:
    """Raw input [N, ...] through an adapted trunk and a head of its own, [N, WIDTH].

    The trunk's features are standardised as those of the frozen trunk, `frozen` [N, D], are.
    """
    import torch

    make = ENCODERS[kind].trunk
    assert make is not None, "only such a trunk is given raw input"
    trunk, scaling = make(), fit_scaling(frozen[seen])
    centre, scale = (
        torch.from_numpy(part.astype(np.float32)) for part in (scaling.centre, scaling.scale)
    )
    with one_thread():
        weights, offset = begin_head(frozen.shape[1], WIDTH, training["random"], 1.0)
        adapters = adapt(trunk.model, rank, training["random"]).train()
        adapted = [own for own in adapters.parameters() if own.requires_grad]

        def embed(x: Tensor) -> Tensor:
            return (trunk.features(x) - centre) / scale @ weights + offset

        def loss(rows: np.ndarray) -> Tensor:
            x = trunk.read(raw[seen[rows]])
            return info_nce(embed(x), embed(_masked(x, training["random"])), TEMPERATURE)

        descend([weights, offset, *adapted], loss, **training)
        adapters.eval()
        with torch.no_grad():
            found = [
                embed(trunk.read(raw[at : at + BATCH])).numpy() for at in range(0, len(raw), BATCH)
            ]
    return np.concatenate(found).astype(np.float64)
