"""From rows to the result of leaving one modality out: values per split, means, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.statistics import PLUS_MINUS, Interval, resampled_interval
from mglib.errors import MglibError
from mglib.registry import algorithms
from mglib.trials.selection import held_out

if TYPE_CHECKING:
    import pandas as pd

SUPERVISED = "Supervised on it"


def method_name(algorithm: str, variant: str) -> str:
    """What tables call a method: its title, with the variant unless it is the first."""
    method = algorithms.get(algorithm)
    plain = variant == method.variants[0]
    return str(method.title) if plain else f"{method.title} ({variant.replace('_', ' ')})"


def held_out_values(
    chosen: pd.DataFrame, supervised: str, metric: str = "accuracy"
) -> pd.DataFrame:
    """Test scores of selected rows on modalities outside their training set, averaged over seeds.

    Columns modality, method, split_seed, value, of runs that leave out exactly one modality. The
    algorithm `supervised`, trained on one modality alone, is scored on that modality and named as
    the upper bound. Raises MglibError for a run of which no checkpoint is finite: a mean without
    it would flatter its method.
    """
    import pandas as pd

    rows = chosen[(chosen["split"] == "test") & (chosen["metric"] == metric)]
    sets = rows["train"].str.split("+")
    unseen = np.array([m not in own for m, own in zip(rows["modality"], sets, strict=True)], bool)
    alone = rows["train"] == rows["modality"]
    several = held_out(rows).str.len() == 1
    names = pd.Series(
        [method_name(*pair) for pair in zip(rows["algorithm"], rows["variant"], strict=True)],
        index=rows.index,
        dtype=object,
    )
    kept = pd.concat(
        [
            rows[several & unseen].assign(method=names[several & unseen]),
            rows[alone & (rows["algorithm"] == supervised)].assign(method=SUPERVISED),
        ]
    )
    if kept["value"].isna().any():
        lost = kept[kept["value"].isna()].iloc[0]
        raise MglibError(
            f"{lost['method']} on {lost['modality']} diverged in split {lost['split_seed']}, seed "
            f"{lost['seed']} (key {lost['key']}); lower its learning rate"
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


def method_interval(
    values: pd.DataFrame, modality: str | None, method: str, test_share: float
) -> Interval:
    """Interval of one method; `modality` None averages all modalities within each split."""
    own = values[values["method"] == method]
    if modality is not None:
        own = own[own["modality"] == modality]
    return resampled_interval(own.groupby("split_seed")["value"].mean().tolist(), test_share)


def share_of_way(
    values: pd.DataFrame, method: str, lower: str, upper: str, test_share: float
) -> Interval | None:
    """How far a method comes from the lower bound (0) to the upper (1), on average.

    None if in some split the upper bound is not above the lower: then there is no way to measure.
    """
    table = values.pivot_table(index="split_seed", columns="method", values="value")
    way = table[upper] - table[lower]
    if not (way > 0).all():
        return None
    share = (table[method] - table[lower]) / way
    return resampled_interval(share.tolist(), test_share)


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


def percent(interval: Interval | float | None, signed: bool = False) -> str:
    """A share as per cent with one decimal, an interval as mean and half width."""
    if interval is None:
        return "undefined"
    form = "+.1f" if signed else ".1f"
    if isinstance(interval, Interval):
        return f"{100 * interval.mean:{form}}{PLUS_MINUS}{100 * interval.half:.1f}".replace(
            "-", "−"
        )
    return f"{100 * interval:{form}}".replace("-", "−")


def accuracy_table(
    values: pd.DataFrame, intervals: pd.DataFrame, test_share: float
) -> pd.DataFrame:
    """Accuracy [%] of every method, a line each, on each held-out modality and on their average.

    Every cell is a mean with half its interval over splits.
    """
    import pandas as pd

    modalities = list(dict.fromkeys(intervals["modality"]))
    lines = []
    for method in dict.fromkeys(intervals["method"]):
        line = {"Method": method}
        for modality in [*modalities, None]:
            cell = percent(method_interval(values, modality, method, test_share))
            line[modality or "mean"] = cell
        lines.append(line)
    return pd.DataFrame(lines)


def recall_table(retrieval: pd.DataFrame, test_share: float) -> pd.DataFrame:
    """Recall [%] per pair by chance, frozen and bound; a dash where no cosine exists."""
    import json

    import pandas as pd

    named = retrieval.assign(
        gallery=[json.loads(h)["gallery"] for h in retrieval["hparams"]],
        chance=[
            json.loads(h)["k"] / n
            for h, n in zip(retrieval["hparams"], retrieval["n"], strict=True)
        ],
    )
    bound = named[named["perceptor"] == "bound"]
    rows = []
    for query, gallery in dict.fromkeys(zip(bound["modality"], bound["gallery"], strict=True)):
        own = named[(named["modality"] == query) & (named["gallery"] == gallery)]
        row = {"Query": query, "Gallery": gallery, "Chance": percent(float(own["chance"].mean()))}
        for perceptor in ("frozen", "bound"):
            known = own[own["perceptor"] == perceptor].dropna(subset="value")
            found = known.sort_values("split_seed")["value"].tolist()
            row[perceptor.capitalize()] = (
                percent(resampled_interval(found, test_share)) if found else "–"
            )
        rows.append(row)
    return pd.DataFrame(rows)
