"""How much a linear classifier reads out of each modality: unimodal probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mglib.analysis.held_out import percent
from mglib.analysis.measured import Answer, measured
from mglib.analysis.statistics import Interval, resampled_interval
from mglib.data.splits import split_indices
from mglib.errors import MglibError, unknown
from mglib.features import load_features
from mglib.registry import datasets

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
PENALTIES = tuple(10.0**power for power in range(7))  # ours


def probe(
    features: np.ndarray,
    labels: np.ndarray,
    parts: dict[str, np.ndarray],
    penalties: Sequence[float] = PENALTIES,
) -> tuple[float, float]:
    """Test accuracy of a linear probe on features [N, D] with labels [N], and its penalty.

    scikit-learn's ridge classifier on standardised features, fitted on the part "train"; the
    penalty with the best accuracy on "validation" is taken, the largest of equals; "test" takes no
    part in any choice. Raises MglibError for features that are not finite.
    """
    from sklearn.linear_model import RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    if not np.isfinite(features).all():
        raise MglibError("a probe needs finite features")
    train, validation, test = (parts[name] for name in ("train", "validation", "test"))
    scaled = StandardScaler().fit(features[train]).transform(features).astype(np.float64)
    best, accuracy, chosen = -1.0, float("nan"), float("nan")
    for penalty in penalties:
        fitted = RidgeClassifier(alpha=penalty).fit(scaled[train], labels[train])
        score = fitted.score(scaled[validation], labels[validation])
        if score >= best:
            best, chosen = score, penalty
            accuracy = fitted.score(scaled[test], labels[test])
    return float(accuracy), float(chosen)


def majority_accuracy(labels: np.ndarray, parts: dict[str, np.ndarray]) -> float:
    """Share of the test part in the class that is the most frequent of the training part."""
    return float((labels[parts["test"]] == np.bincount(labels[parts["train"]]).argmax()).mean())


def probe_rows(
    experiment: str,
    dataset: str,
    split_seeds: Iterable[int],
    *,
    profile: str,
    perceptors: Sequence[str] = ("frozen", "bound"),
    targets: Sequence[str] = ("class", "subgroup"),
) -> pa.Table:
    """Rows `accuracy`, `majority` and `penalty` of each modality, perceptor, target and split.

    The target stands in `hparams`; the penalty has the split "validation", where it was chosen.
    Raises MglibError for a target that the dataset does not have.
    """
    return rows_of_probes(
        experiment,
        asked(dataset, split_seeds, perceptors, targets, "probe", {"penalties": list(PENALTIES)}),
        probe,
        chosen="penalty",
        version=VERSION,
        profile=profile,
        label="linear probes",
    )


def asked(
    dataset: str,
    split_seeds: Iterable[int],
    perceptors: Sequence[str],
    targets: Sequence[str],
    task: str,
    settings: dict[str, Any],
) -> list[dict[str, Any]]:
    """The questions of a probe: each split, core modality, perceptor and target."""
    for target in targets:
        if target not in datasets.get(dataset).targets:
            raise unknown(f"target of {dataset}", target, datasets.get(dataset).targets)
    return [
        {
            "task": task,
            "dataset": dataset,
            "perceptor": perceptor,
            "split_seed": seed,
            "modality": modality,
            "split": "test",
            "hparams": {"target": target, **settings},
        }
        for seed in split_seeds
        for modality in datasets.get(dataset).core
        for perceptor in perceptors
        for target in targets
    ]


def rows_of_probes(
    experiment: str,
    questions: Sequence[dict[str, Any]],
    read: Callable[[np.ndarray, np.ndarray, dict[str, np.ndarray]], tuple[float, float]],
    *,
    chosen: str,
    version: int,
    profile: str,
    label: str,
) -> pa.Table:
    """Rows of a probe that `read` features [N, D] with labels [N]: accuracy, and what it chose."""

    def answer(question: dict[str, Any]) -> Answer:
        import json

        found = load_features(
            *(question[name] for name in ("dataset", "perceptor", "modality", "split_seed"))
        )
        parts = split_indices(found.groups, question["split_seed"])
        labels = found.targets[json.loads(question["hparams"])["target"]]
        accuracy, choice = read(found.values, labels, parts)
        majority = majority_accuracy(labels, parts)
        n = len(parts["test"])
        return [
            {"metric": "accuracy", "value": accuracy, "n": n},
            {"metric": "majority", "value": majority, "n": n},
            {"metric": chosen, "value": choice, "n": n, "split": "validation"},
        ]

    return measured(experiment, questions, answer, version=version, profile=profile, label=label)


def probe_values(rows: pa.Table) -> pd.DataFrame:
    """Columns metric, target, perceptor, modality, split_seed and value, from the rows."""
    import json

    table = rows.to_pandas()
    target = [json.loads(text)["target"] for text in table["hparams"]]
    columns = ["metric", "target", "perceptor", "modality", "split_seed", "value"]
    return table.assign(target=target)[columns]


def probe_interval(
    values: pd.DataFrame, test_share: float, *, metric: str = "accuracy", **where: str
) -> Interval:
    """Interval over splits of one metric where columns have given values, else averaged over."""
    own = values[values["metric"] == metric]
    for column, value in where.items():
        own = own[own[column] == value]
    return resampled_interval(own.groupby("split_seed")["value"].mean().tolist(), test_share)


def probe_table(values: pd.DataFrame, test_share: float) -> pd.DataFrame:
    """Accuracy [%] per modality, target and perceptor, below the majority class; mean ± half."""
    import pandas as pd

    targets, perceptors, modalities = (
        list(dict.fromkeys(values[column])) for column in ("target", "perceptor", "modality")
    )
    columns = [(target, perceptor) for target in targets for perceptor in perceptors]
    rows = []
    for modality in [None, *modalities]:
        row = {"Modality": modality or "majority class"}
        for target, perceptor in columns:
            where = {"target": target, "perceptor": perceptor}
            found = (
                probe_interval(values, test_share, metric="majority", **where)
                if modality is None
                else probe_interval(values, test_share, modality=modality, **where)
            )
            row[f"{target.capitalize()}, {perceptor}"] = percent(found)
        rows.append(row)
    return pd.DataFrame(rows)
