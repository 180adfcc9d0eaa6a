"""The source as an encoder sees it, drawn in the plane: before and after fine-tuning on targets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mglib.analysis.cluster_indices import INDICES, index_interval
from mglib.analysis.measured import Answer, load_artifact, measured, save_artifact
from mglib.analysis.projections import kept_neighbours, project
from mglib.data._base import pack_strings, unpack_strings
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.transfer.named import body_named
from mglib.transfer.source import SOURCE_TARGET

if TYPE_CHECKING:
    import pandas as pd

    from mglib.transfer.trial import TransferTrial

VERSION = 1
DRAWINGS = ("t-SNE", "UMAP")
MOMENTS = ("before", "after")


def space_rows(
    experiment: str,
    asked: Sequence[tuple[TransferTrial, str]],
    drawing: str = DRAWINGS[0],
    *,
    profile: str,
) -> pa.Table:
    """Rows of some trials' source features, test part: cluster indices with their intervals.

    Each is `asked` for "before" its training or "after" it. Metrics: davies_bouldin, silhouette and
    purity, each with `_low` and `_high` (bootstrap over groups), and trustworthiness of the
    `drawing` (of DRAWINGS), which is the artifact. Raises MglibError for a trial that left no
    features.
    """
    from mglib.transfer.trainer import read_answers

    def answer(question: dict[str, Any]) -> Answer:
        told = json.loads(question["hparams"])
        key = told["trial"]
        answers = read_answers(experiment, [key])
        if key not in answers:
            raise MglibError(f"{experiment}: trial {key} left no features; train it anew")
        own = answers[key]
        rows, labels = getattr(own, told["when"]), own.labels
        drawn = project(rows, told["drawing"])
        names = load_features(*body_named(question["variant"]).source).card["class_names"]
        kept = {"points": drawn, "labels": labels, "names": pack_strings(names[SOURCE_TARGET])[0]}
        save_artifact(experiment, question["key"], kept)
        found = {"trustworthiness": kept_neighbours(rows, drawn)}
        for name in INDICES:
            value = index_interval(name, rows, labels, own.groups)
            found |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
        return [{"metric": name, "value": v, "n": len(rows)} for name, v in found.items()]

    questions = []
    for trial, when in asked:
        dataset, perceptor, modality = body_named(trial.body).source
        questions.append(
            {
                "task": "source space",
                "dataset": dataset,
                "perceptor": perceptor,
                "algorithm": trial.method,
                "variant": trial.body,
                "train": trial.modality,
                "split_seed": trial.split_seed,
                "modality": modality,
                "split": "test",
                "hparams": {"trial": trial.key, "when": when, "drawing": drawing},
            }
        )
    return measured(
        experiment,
        questions,
        answer,
        version=VERSION,
        profile=profile,
        label="spaces of the source",
        artifact=True,
    )


def space_points(
    rows: pa.Table, panels: Mapping[tuple[str, str], str], *, profile: str
) -> pd.DataFrame:
    """The stored drawings, a row per point: panel, class, class_name, x and y.

    `panels` are titles by trial key and moment, in their order. Also davies_bouldin, low and high,
    alike for all points of a panel.
    """
    import pandas as pd

    frame = rows.to_pandas()
    told = [json.loads(text) for text in frame["hparams"]]
    frame["place"] = [(own["trial"], own["when"]) for own in told]
    frames = []
    for place, title in panels.items():
        own = frame[[found == place for found in frame["place"]]]
        first = own.iloc[0]
        kept = load_artifact(first["experiment"], first["key"], profile)
        value = own.set_index("metric")["value"]
        names = np.array(unpack_strings(kept["names"]))
        frames.append(
            pd.DataFrame(
                {
                    "panel": title,
                    "class": kept["labels"],
                    "class_name": names[kept["labels"]],
                    "x": kept["points"][:, 0],
                    "y": kept["points"][:, 1],
                    "davies_bouldin": value["davies_bouldin"],
                    "low": value["davies_bouldin_low"],
                    "high": value["davies_bouldin_high"],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
