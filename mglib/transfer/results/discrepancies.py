"""How far a target's knowledge lies from the body's own, before training: MoNA's discrepancy."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mglib.analysis.knowledge_discrepancy import CLUSTERS, discrepancy, labels_of_fields
from mglib.analysis.linear_probe import fit_probes
from mglib.analysis.measured import Answer, measured
from mglib.transfer.model import TransferModel
from mglib.transfer.named import body_named
from mglib.transfer.source import load_source
from mglib.transfer.target import load_target
from mglib.transfer.targets import names_by_place, target_named

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
DIVERGENCES = ("cross_entropy", "hard")
ROWS = 64  # of one pass


def discrepancy_rows(
    experiment: str,
    targets: Sequence[str],
    body: str,
    split_seeds: Sequence[int],
    *,
    profile: str,
    divergences: Sequence[str] = DIVERGENCES,
) -> pa.Table:
    """Rows of the discrepancy between a body's source classes and each target's, test parts.

    The source classifier is the body's own, or else a linear probe of its source set; targets are
    seen through a target embedder with copied weights and the pretrained encoder. Fields have the
    classes that k-means finds. Metrics: discrepancy, low and high (bootstrap over groups), chance
    (labels permuted) and relative, their ratio. Ours where the paper's approximation could not be
    found. Raises MglibError for a target with more classes than the source.
    """

    def answer(question: dict[str, Any]) -> Answer:
        told = json.loads(question["hparams"])
        target = load_target(
            question["dataset"],
            question["perceptor"],
            question["modality"],
            told["answer"],
            question["split_seed"],
        )
        torch.manual_seed(0)
        model: Any = TransferModel(body_named(told["body"])(), target.shape)
        index = target.parts["test"]
        with torch.no_grad():
            features = torch.cat(
                [
                    model.target_features(target.rows(index[start : start + ROWS])[0])
                    for start in range(0, len(index), ROWS)
                ]
            )
            found = classifier_of(model, question["split_seed"])(features).numpy()
        labels = target.answers[torch.from_numpy(index)].numpy()
        if not target.shape.classes:
            learned = target.parts["train"]
            both = np.concatenate([target.answers.numpy()[learned], labels])
            labels = labels_of_fields(both, min(CLUSTERS, found.shape[1]))[len(learned) :]
        own = discrepancy(found, labels, told["divergence"], groups=target.groups[index])
        values = {
            "discrepancy": own.value,
            "low": own.interval.low,
            "high": own.interval.high,
            "chance": own.chance,
            "relative": own.relative,
        }
        return [{"metric": name, "value": v, "n": len(index)} for name, v in values.items()]

    questions = [
        {
            "task": "knowledge discrepancy",
            "dataset": own.dataset,
            "perceptor": own.perceptor,
            "modality": own.modality,
            "split_seed": seed,
            "split": "test",
            "hparams": {
                "body": body,
                "weights": body_named(body).identity(),
                "answer": own.target,
                "divergence": divergence,
            },
        }
        for own in map(target_named, targets)
        for seed in split_seeds
        for divergence in divergences
    ]
    return measured(
        experiment,
        questions,
        answer,
        version=VERSION,
        profile=profile,
        label="knowledge discrepancy",
    )


def classifier_of(model: Any, split_seed: int) -> Callable[[Tensor], Tensor]:
    """Pooled features [B, D] -> probabilities [B, K] of source classes.

    The body's own, or a linear probe of its source set, fitted on standardised features of the part
    "train" (ours; a penalty of 1 on the squared weights).
    """
    if hasattr(model.body, "source_probabilities"):
        own: Callable[[Tensor], Tensor] = model.body.source_probabilities
        return own
    source = load_source(model.body, split_seed)
    features = torch.from_numpy(source.features(model)["train"]).double()
    centre, scale = features.mean(0), features.std(0).clamp_min(1e-6)
    labels = source.labels[torch.from_numpy(source.parts["train"])]
    fitted = fit_probes((features - centre) / scale, labels, torch.ones(1))

    def probe(pooled: Tensor) -> Tensor:
        scores = ((pooled.double() - centre) / scale) @ fitted.weights[0] + fitted.bias[0]
        return scores.softmax(-1)

    return probe


def discrepancies(rows: pa.Table, targets: Sequence[str]) -> pd.DataFrame:
    """Columns target, split_seed, divergence and every metric, one row per question."""
    import pandas as pd

    frame = rows.to_pandas()
    names = names_by_place(targets)
    frame["target"] = [names[r.dataset, r.perceptor, r.modality] for r in frame.itertuples()]
    frame["divergence"] = [json.loads(text)["divergence"] for text in frame["hparams"]]
    wide = frame.pivot_table(
        index=["target", "split_seed", "divergence"], columns="metric", values="value"
    ).reset_index()
    wide["target"] = pd.Categorical(wide["target"], [*targets], ordered=True)
    return wide.sort_values(["target", "split_seed", "divergence"]).reset_index(drop=True)
