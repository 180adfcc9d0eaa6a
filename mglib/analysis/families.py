"""Generalization methods against multimodal learners: by the mean of a family, and by its best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.held_out import percent, verdict
from mglib.analysis.statistics import Interval, resampled_interval

if TYPE_CHECKING:
    import pandas as pd

FIRST, SECOND = "generalization", "multimodal"


@dataclass(frozen=True)
class Contest:
    """Differences of two families, first minus second: of their means and of their best methods."""

    mean: Interval
    best: Interval


def best_of_others(table: np.ndarray) -> np.ndarray:
    """For each split the value of the method that is best in the mean of all other splits.

    table [methods, splits]; a split never takes part in the choice of its own method, so that the
    best of many is not flattered by having been picked. Ours.
    """
    splits = table.shape[1]
    rest = (table.sum(1, keepdims=True) - table) / (splits - 1)
    return np.asarray(table[rest.argmax(0), np.arange(splits)])


def family_rows(
    values: pd.DataFrame, families: Mapping[str, str], test_share: float
) -> Contest | None:
    """The contest of two families in one world; None if one of them has no method.

    `values` as from `held_out_values`; `families` maps methods to their family, others are left
    out.
    """
    means = values.groupby(["method", "split_seed"])["value"].mean().unstack("split_seed")
    tables = [
        means.loc[[m for m in means.index if families.get(m) == name]].to_numpy(float)
        for name in (FIRST, SECOND)
    ]
    if not all(len(table) for table in tables):
        return None
    mean = tables[0].mean(0) - tables[1].mean(0)
    best = best_of_others(tables[0]) - best_of_others(tables[1])
    return Contest(
        resampled_interval(mean.tolist(), test_share), resampled_interval(best.tolist(), test_share)
    )


def family_table(contests: Mapping[str, Contest | None]) -> pd.DataFrame:
    """A line per world: both differences [points] and, in words, what the best ones say."""
    import pandas as pd

    lines = []
    for world, contest in contests.items():
        line = {"World": world, "Means": "–", "Best of each": "–", "Verdict": "–"}
        if contest is not None:
            winner = {1: "generalization", -1: "multimodal", 0: "a tie"}[contest.best.sign]
            line |= {
                "Means": f"{percent(contest.mean, signed=True)} ({verdict(contest.mean)})",
                "Best of each": percent(contest.best, signed=True),
                "Verdict": winner,
            }
        lines.append(line)
    return pd.DataFrame(lines)
