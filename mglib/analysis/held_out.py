"""From rows to the result of leaving one modality out: values per split, means, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.statistics import Interval, resampled_interval
from mglib.registry import algorithms

if TYPE_CHECKING:
    import pandas as pd

SUPERVISED = "Supervised on it"
PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"


def held_out_values(chosen: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """Test scores of selected rows on modalities outside their training set, averaged over seeds.

    Columns modality, method, split_seed, value. ERM trained on one modality alone is scored on
    that modality and named as the upper bound.
    """
    import pandas as pd

    rows = chosen[(chosen["split"] == "test") & (chosen["metric"] == metric)]
    sets = rows["train"].str.split("+")
    unseen = np.array([m not in own for m, own in zip(rows["modality"], sets, strict=True)], bool)
    alone = rows["train"] == rows["modality"]
    several = sets.str.len() > 1
    names = rows["algorithm"].map(lambda name: algorithms.get(name).title)
    kept = pd.concat(
        [
            rows[several & unseen].assign(method=names[several & unseen]),
            rows[alone & (rows["algorithm"] == "erm")].assign(method=SUPERVISED),
        ]
    )
    return kept.groupby(["modality", "method", "split_seed"], as_index=False)["value"].mean()


def held_out_intervals(
    values: pd.DataFrame, modalities: Sequence[str], methods: Sequence[str], test_share: float
) -> pd.DataFrame:
    """Mean and interval over splits of every method on every modality, in the given orders."""
    import pandas as pd

    found = []
    for modality in modalities:
        for method in methods:
            own = values[(values["modality"] == modality) & (values["method"] == method)]
            interval = resampled_interval(own["value"].tolist(), test_share)
            found.append(
                {
                    "modality": modality,
                    "method": method,
                    "mean": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                    "splits": interval.n,
                }
            )
    return pd.DataFrame(found)


def paired_difference(
    values: pd.DataFrame, modality: str | None, first: str, second: str, test_share: float
) -> Interval:
    """Interval of first minus second, paired by split; `modality` None averages all modalities."""
    if modality is not None:
        values = values[values["modality"] == modality]
    table = values.pivot_table(index="split_seed", columns="method", values="value")
    return resampled_interval((table[first] - table[second]).tolist(), test_share)


def verdict(difference: Interval) -> str:
    """In words, whether a difference is one: the interval excludes zero or it is a tie."""
    return {1: "higher", -1: "lower", 0: "a tie"}[difference.sign]


def percent(interval: Interval | float, signed: bool = False) -> str:
    """A share as per cent with one decimal, an interval as mean and half width."""
    form = "+.1f" if signed else ".1f"
    if isinstance(interval, Interval):
        return f"{100 * interval.mean:{form}}{PLUS_MINUS}{100 * interval.half:.1f}".replace(
            "-", "−"
        )
    return f"{100 * interval:{form}}".replace("-", "−")


def accuracy_table(
    values: pd.DataFrame, intervals: pd.DataFrame, first: str, second: str, test_share: float
) -> pd.DataFrame:
    """Accuracy [%] of every method per held-out modality and on average, and first minus second.

    Every cell is a mean with half its interval over splits; the last column is paired by split.
    """
    import pandas as pd

    modalities = list(dict.fromkeys(intervals["modality"]))
    methods = list(dict.fromkeys(intervals["method"]))
    rows = []
    for modality in [*modalities, None]:
        row = {"Held out": modality or "mean"}
        own = values if modality is None else values[values["modality"] == modality]
        by_split = own.pivot_table(index="split_seed", columns="method", values="value")
        for method in methods:
            row[method] = percent(resampled_interval(by_split[method].tolist(), test_share))
        gap = paired_difference(values, modality, first, second, test_share)
        row[f"{first} − {second}"] = percent(gap, signed=True)
        rows.append(row)
    return pd.DataFrame(rows)


def recall_table(retrieval: pd.DataFrame, test_share: float) -> pd.DataFrame:
    """Recall [%] per modality by chance, frozen and bound; a dash where no space is common."""
    import pandas as pd

    rows = []
    for modality, own in retrieval.groupby("modality", sort=False):
        row = {"Query": str(modality), "Chance": percent(float(own["chance"].mean()))}
        for perceptor in ("frozen", "bound"):
            missing = own[perceptor].isna().any()
            row[perceptor.capitalize()] = (
                "–" if missing else percent(resampled_interval(own[perceptor].tolist(), test_share))
            )
        rows.append(row)
    return pd.DataFrame(rows)
