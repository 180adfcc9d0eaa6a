"""Measured beside what is known without measuring: exact ceilings, and laws of loss at test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.held_out import percent
from mglib.analysis.statistics import interval_of
from mglib.missing.ceilings.joint import bayes_errors
from mglib.missing.ceilings.shapley import shapley
from mglib.missing.results.values import under_law
from mglib.missing.subsets import subset_label, subsets
from mglib.registry import laws, pairings

if TYPE_CHECKING:
    import pandas as pd

LAW = "independent@empty=one"  # at test: each lost at a rate, one of them always there
CHANCE = 4.0  # standard errors of one test part beyond which a ceiling would be passed


def exact_accuracies(names: Sequence[str], number: int) -> pd.DataFrame:
    """The best accuracy that there is under pairings of `number` modalities: pairing, seen, value.

    For items that are read without error, averaged over the observed subsets of equal size.
    """
    import pandas as pd

    rows = []
    for name in names:
        errors = bayes_errors(pairings.get(name)().joint(number))
        for seen in range(1, number + 1):
            own = [1 - error for pattern, error in errors.items() if sum(pattern) == seen]
            rows.append((name, seen, float(np.mean(own))))
    return pd.DataFrame(rows, columns=["pairing", "seen", "value"])


def by_rate(
    values: pd.DataFrame, rates: Sequence[float], modalities: Sequence[str], share: float
) -> pd.DataFrame:
    """Mean accuracy under LAW at each rate at test, by method and rate in training.

    `values` as from `values.chosen`; columns method, rate, test_rate, mean, low, high and n.
    """
    import pandas as pd

    rows = []
    for trained, own in values.groupby("rate", sort=True):
        for rate in rates:
            shares = laws.get(LAW)().shares(len(modalities), rate)
            means = under_law(own, shares, modalities, "accuracy", float("nan"))
            for method, by_split in means.groupby(level="method", sort=False):
                found = interval_of(by_split.tolist(), share)
                rows.append((method, trained, rate, found.mean, found.low, found.high, found.n))
    columns = ["method", "rate", "test_rate", "mean", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def beyond_ceilings(values: pd.DataFrame, rows: int) -> list[str]:
    """What is better than an exact ceiling by more than chance: 'method on pairing, seen'.

    Means over splits and seeds against CHANCE standard errors of a test part of so many `rows`.
    """
    found = []
    means = values.groupby(["method", "pairing", "seen"], sort=False)["accuracy"].mean()
    for (method, pairing, seen), mean in means.items():
        exact = exact_accuracies([pairing], 2).set_index("seen").loc[seen, "value"]
        error = (exact * (1 - exact) / rows) ** 0.5
        if mean > exact + CHANCE * error + 1e-9:
            found.append(f"{method} on {pairing}, {seen} seen")
    return found


def share_table(
    values: pd.DataFrame,
    methods: Mapping[str, str],
    modalities: Sequence[str],
    chance: float,
    share: float,
) -> pd.DataFrame:
    """Shapley values of each modality in the accuracy above `chance`, by method, in points.

    `methods` are titles by name; means over splits and seeds with half their intervals. A model
    that has given a modality up shows a value near 0 for it.
    """
    import pandas as pd

    patterns = {p: subset_label(p, modalities) for p in subsets(len(modalities))}
    rows = []
    for method, title in methods.items():
        own = values[values["method"] == method]
        found = []
        for _, runs in own.groupby("split_seed", sort=False):
            seen = runs.groupby("subset")["accuracy"].mean()  # over seeds
            worth = {pattern: float(seen[name]) for pattern, name in patterns.items()}
            found.append(shapley({(False,) * len(modalities): chance, **worth}))
        row = {"Method": title}
        for name, each in zip(modalities, np.transpose(found), strict=True):
            interval = interval_of(each.tolist(), share)
            row[name] = percent(interval if interval.n > 1 else interval.mean)
        rows.append(row)
    return pd.DataFrame(rows)
