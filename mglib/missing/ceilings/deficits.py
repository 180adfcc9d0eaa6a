"""Where a model loses: its held-out loss as ceiling, encoder deficit and fusion deficit.

Ours, after UME-MMA's two aspects: pretraining each modality alone acts on the encoders' deficit,
augmentation with missing modalities on the fusion's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

from mglib.errors import MglibError
from mglib.missing.ceilings.random_patterns import averaged
from mglib.missing.subsets import Subset


@dataclass(frozen=True)
class Deficits:
    """The parts of a model's cross-entropy in nats; they sum to it.

    `ceiling` is h_S, `encoders` I(Y; X_S | Z_S), what the encoders' outputs Z_S lost, and `fusion`
    the mean KL(p(y | Z_S) || q_S), what the fused answer q_S, with its substitute for what is
    missing, makes of them worse than could be. Estimates may be below 0, and are left so.
    """

    ceiling: float
    encoders: float
    fusion: float

    @property
    def loss(self) -> float:
        """The model's cross-entropy."""
        return self.ceiling + self.encoders + self.fusion


def deficits(
    model: Mapping[Subset, float], heads: Mapping[Subset, float], ceilings: Mapping[Subset, float]
) -> dict[Subset, Deficits]:
    """The parts of the model's loss under each pattern, all losses held-out and in nats.

    `model` are the cross-entropies of the model itself, `heads` those of fresh heads on its frozen
    encoders, which estimate H(Y | Z_S), and `ceilings` the exact h_S, or the cross-entropies of
    models made for one subset each, which estimate it from above. A loss that is NaN makes its
    parts NaN. Raises MglibError if a pattern of the model has no head or no ceiling.
    """
    for what, given in (("head", heads), ("ceiling", ceilings)):
        absent = [subset for subset in model if subset not in given]
        if absent:
            raise MglibError(f"no {what} for observed subset {absent[0]} of the model")
    return {
        subset: Deficits(ceilings[subset], heads[subset] - ceilings[subset], loss - heads[subset])
        for subset, loss in model.items()
    }


def averaged_deficits(parts: Mapping[Subset, Deficits], shares: Mapping[Subset, float]) -> Deficits:
    """Each part averaged over patterns with shares pi(S), in nats.

    Raises MglibError for shares that do not sum to 1 or are of a pattern without parts.
    """
    table = {subset: astuple(each) for subset, each in parts.items()}
    means = [
        averaged({subset: values[place] for subset, values in table.items()}, shares)
        for place in range(3)
    ]
    return Deficits(*means)
