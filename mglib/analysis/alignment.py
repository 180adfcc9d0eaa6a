"""How alike two views of the same instances are, whatever their widths: linear CKA."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mglib.analysis.cka import linear_cka
from mglib.analysis.measured import Answer, measured
from mglib.analysis.statistics import resampled_interval
from mglib.data.splits import split_indices
from mglib.features import load_features
from mglib.registry import datasets

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1


def alignment_rows(
    experiment: str,
    dataset: str,
    split_seeds: Iterable[int],
    *,
    profile: str,
    perceptors: Sequence[str] = ("frozen", "bound"),
) -> pa.Table:
    """Rows `cka` (plain) and `cka_debiased` on the test pairs of each two modalities.

    The second modality stands in `hparams`.
    """

    def answer(question: dict[str, Any]) -> Answer:
        import json

        other = json.loads(question["hparams"])["other"]
        one, two = (
            load_features(dataset, question["perceptor"], m, question["split_seed"])
            for m in (question["modality"], other)
        )
        test = split_indices(one.groups, question["split_seed"])["test"]
        pair = one.values[test], two.values[test]
        return [
            {"metric": metric, "value": linear_cka(*pair, debiased=debiased), "n": len(test)}
            for metric, debiased in (("cka", False), ("cka_debiased", True))
        ]

    questions = [
        {
            "task": "alignment",
            "dataset": dataset,
            "perceptor": perceptor,
            "split_seed": seed,
            "modality": first,
            "split": "test",
            "hparams": {"other": second},
        }
        for seed in split_seeds
        for perceptor in perceptors
        for first, second in combinations(datasets.get(dataset).core, 2)
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="alignment"
    )


def alignment_values(rows: pa.Table) -> pd.DataFrame:
    """Columns first, second, perceptor, metric, split_seed and value, from the rows."""
    import json

    table = rows.to_pandas().rename(columns={"modality": "first"})
    second = [json.loads(text)["other"] for text in table["hparams"]]
    columns = ["first", "second", "perceptor", "metric", "split_seed", "value"]
    return table.assign(second=second)[columns]


def alignment_table(
    values: pd.DataFrame, test_share: float, metric: str = "cka_debiased"
) -> pd.DataFrame:
    """CKA of each pair of modalities, one column per perceptor; mean ± half the interval."""
    import pandas as pd

    own = values[values["metric"] == metric]
    rows = []
    for first, second in dict.fromkeys(zip(own["first"], own["second"], strict=True)):
        pair = own[(own["first"] == first) & (own["second"] == second)]
        row = {"Pair": f"{first}, {second}"}
        for perceptor in dict.fromkeys(own["perceptor"]):
            found = pair[pair["perceptor"] == perceptor].sort_values("split_seed")["value"]
            interval = resampled_interval(found.tolist(), test_share)
            text = f"{interval.mean:.2f}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{interval.half:.2f}"
            row[perceptor.capitalize()] = text.replace("-", "−")
        rows.append(row)
    return pd.DataFrame(rows)
