"""How alike two views of the same instances are, whatever their widths: linear CKA."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mglib.analysis.measured import Answer, measured
from mglib.analysis.statistics import resampled_interval
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.registry import datasets

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1


def _hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Unbiased HSIC of two Gram matrices [N, N] (Song et al. 2012, JMLR 13, eq. 5)."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    cross = k.sum(axis=0) @ m.sum(axis=0)
    whole = k.sum() * m.sum() / ((n - 1) * (n - 2))
    return float(((k * m).sum() + whole - 2 * cross / (n - 2)) / (n * (n - 3)))


def linear_cka(first: np.ndarray, second: np.ndarray, debiased: bool = True) -> float:
    """Linear centred kernel alignment of two views [N, D] and [N, E] of the same instances.

    1 for views that are equal up to rotation, scale and shift. Kornblith et al. (2019,
    arXiv 1905.00414, eq. 3); the plain form is far above 0 even for unrelated views when N is not
    much larger than D and E, so by default HSIC is estimated without bias (as in Nguyen et al.
    2021, arXiv 2010.15327), which unrelated views bring to 0 on average, possibly below. NaN for
    constant features. Raises MglibError for other shapes or for values that are not finite.
    """
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or len(first) < 4:
        raise MglibError(
            f"CKA needs [N, D] and [N, E] with at least 4 pairs, not {first.shape} and "
            f"{second.shape}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise MglibError("CKA needs finite features")
    x, y = (np.asarray(rows, dtype=np.float64) for rows in (first, second))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    k, m = x @ x.T, y @ y.T
    if debiased:
        both, own, other = _hsic(k, m), _hsic(k, k), _hsic(m, m)
    else:
        both, own, other = float((k * m).sum()), float((k * k).sum()), float((m * m).sum())
    return both / (own * other) ** 0.5 if own > 0 and other > 0 else float("nan")


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
