"""What the best linear filter says of the fields of targets: a yardstick that trains nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mglib.analysis.field_errors import nrmse
from mglib.analysis.linear_filter import BORDERS, PENALTIES, fit_filter
from mglib.analysis.measured import Answer, measured
from mglib.data._fields._dataset import FieldDataset
from mglib.registry import datasets
from mglib.transfer.target import Target, load_target
from mglib.transfer.targets import names_by_place, target_named

if TYPE_CHECKING:
    import pandas as pd

VERSION = 3


def filtered(target: Target) -> dict[str, float]:
    """nRMSE of the best filter by part, and which: border and penalty with the least validation.

    Fitted on the target's training instances, as networks are. Beside it "mean", the nRMSE on the
    test part of always saying their mean field.
    """
    inputs, answers = (own.numpy().astype(np.float64) for own in (target.inputs, target.answers))
    learned, tried = target.parts["train"], {}
    for border in BORDERS:
        for penalty in PENALTIES:
            fitted = fit_filter(inputs[learned], answers[learned], penalty, border)
            errors = {}
            for part in ("validation", "test"):
                index = target.parts[part]
                errors[part] = nrmse(fitted.predict(inputs[index]), answers[index])
            tried[border, penalty] = errors
    border, penalty = min(tried, key=lambda name: tried[name]["validation"])
    wanted = answers[target.parts["test"]]
    return {
        **tried[border, penalty],
        "mean": nrmse(np.broadcast_to(answers[learned].mean(0), wanted.shape), wanted),
        "penalty": penalty,
        "mirrored": float(border == "mirrored"),
    }


def filter_rows(
    experiment: str, targets: Sequence[str], split_seeds: Sequence[int], *, profile: str
) -> pa.Table:
    """Rows of the best linear filter of each target that is an equation's fields; others have none.

    Metrics validation and test (nRMSE as of the networks), mean, penalty and mirrored (1: yes).
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
        n = len(target.parts["test"])
        return [{"metric": m, "value": v, "n": n} for m, v in filtered(target).items()]

    questions = [
        {
            "task": "linear filter",
            "dataset": own.dataset,
            "perceptor": own.perceptor,
            "modality": own.modality,
            "split_seed": seed,
            "split": "test",
            "hparams": {"answer": own.target},
        }
        for own in map(target_named, targets)
        if issubclass(datasets.get(own.dataset), FieldDataset)
        for seed in split_seeds
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="linear filters"
    )


def by_split(rows: pa.Table, targets: Sequence[str], metric: str) -> pd.Series:
    """A metric of filters by target and split_seed."""
    frame = rows.to_pandas()
    names = names_by_place(targets)
    own = frame[frame["metric"] == metric]
    places = [names[r.dataset, r.perceptor, r.modality] for r in own.itertuples()]
    found = own.assign(target=np.array(places, dtype=object))
    return found.set_index(["target", "split_seed"])["value"]


def filter_errors(rows: pa.Table, targets: Sequence[str], metric: str = "test") -> pd.Series:
    """Mean of a metric over splits by target, of those that a filter was fitted for."""
    return by_split(rows, targets, metric).groupby(level="target").mean()


def filter_gaps(rows: pa.Table, values: pd.DataFrame) -> pd.Series:
    """Each method's error minus the filter's by target and method, of targets that have a filter.

    `values` as from `results.values.chosen`; the mean over the splits of the method.
    """
    own = by_split(rows, [*values["target"].cat.categories], "test").rename("filter")
    named = values.assign(target=values["target"].astype(str))
    beside = named.join(own, on=["target", "split_seed"], how="inner")
    gaps = beside.assign(gap=beside["own"] - beside["filter"])
    return gaps.groupby(["target", "method"])["gap"].mean()
