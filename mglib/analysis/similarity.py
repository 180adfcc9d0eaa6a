"""How well a modality is bound: conditions between weak and strong, and measured alignment.

Ours, between ModalBed's weak and strong generalization: the training modalities are fully bound,
the unseen one by fewer pairs with the centre of the space, or by pairs of which some are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mglib.analysis.alignment import linear_cka
from mglib.analysis.measured import Answer, measured
from mglib.analysis.retrieval import recall_at_k
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.registry import datasets, perceptors

VERSION = 1  # of the measure here
RECALL, CKA = "recall", "cka_debiased"


@dataclass(frozen=True)
class Condition:
    """How the unseen modality is bound: by how many pairs (0: all there are), what share wrong."""

    pairs: int = 0
    noise: float = 0.0

    def perceptor(self, base: str) -> str:
        """The perceptor `base`, which binds, with these settings."""
        told = [f"pairs={self.pairs}"] * bool(self.pairs)
        told += [f"noise={self.noise:.12g}"] * bool(self.noise)
        return (base + ("," if "@" in base else "@") + ",".join(told)) if told else base


FULL = Condition()


def conditions_of(pairs: Sequence[int], noise: Sequence[float]) -> list[Condition]:
    """Fully bound, by so many pairs each, and with such shares of wrong pairs each, in that order.

    Raises MglibError for a repeated value, one of each sweep's ends being `FULL` already, or if
    nothing is swept.
    """
    found = [FULL, *(Condition(pairs=k) for k in pairs), *(Condition(noise=p) for p in noise)]
    if len(found) < 2 or len(set(found)) < len(found):
        raise MglibError(
            f"pairs {list(pairs)} and noise {list(noise)} must be different values above 0 (all "
            "pairs without noise stand there anyway), one at least"
        )
    return found


def centre_of(dataset: str, perceptor: str) -> str:
    """The modality that a perceptor binds the others to; it has no map that could be worse.

    Raises MglibError for a perceptor that does not bind.
    """
    sense = perceptors.get(perceptor)()
    if not hasattr(sense, "centre"):
        raise MglibError(f"perceptor '{perceptor}' binds nothing; 'bound' does")
    return str(sense.centre(datasets.get(dataset)()))


def similarity_rows(
    experiment: str,
    dataset: str,
    perceptor: str,
    modalities: Sequence[str],
    conditions: Sequence[Condition],
    split_seeds: Iterable[int],
    *,
    k: int,
    profile: str,
) -> pa.Table:
    """Rows `recall` (at k) and `cka_debiased` of each modality and the centre on the test pairs.

    `perceptor` is the one that binds, fully; the column of that name has the condition's.
    The centre itself is the same under every condition, since it needs no pairs.
    """
    centre = centre_of(dataset, perceptor)

    def answer(question: dict[str, Any]) -> Answer:
        own, other = (
            load_features(dataset, question["perceptor"], m, question["split_seed"])
            for m in (question["modality"], json.loads(question["hparams"])["centre"])
        )
        test = split_indices(own.groups, question["split_seed"])["test"]
        pair = own.values[test], other.values[test]
        values = {RECALL: recall_at_k(*pair, k), CKA: linear_cka(*pair)}
        return [{"metric": name, "value": v, "n": len(test)} for name, v in values.items()]

    questions = [
        {
            "task": "similarity",
            "dataset": dataset,
            "perceptor": condition.perceptor(perceptor),
            "split_seed": seed,
            "modality": modality,
            "split": "test",
            "hparams": {"centre": centre, "k": k},
        }
        for seed in split_seeds
        for condition in conditions
        for modality in modalities
        if modality != centre
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="similarity"
    )
