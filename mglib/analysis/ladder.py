"""From strong to weak generalization by pairs: accuracy of each method, and how many pairs suffice.

Ours; no published number exists for what lies between the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mglib.analysis.families import best_of_others
from mglib.analysis.held_out import percent, verdict
from mglib.analysis.statistics import Interval, resampled_interval
from mglib.analysis.strong import RELATIVE, Rung
from mglib.errors import MglibError

if TYPE_CHECKING:
    import pandas as pd


def rung_values(values: pd.DataFrame, ladder: Sequence[Rung]) -> pd.DataFrame:
    """Of each rung and split the mean over held-out modalities: method, pairs, split_seed, value.

    `values` as from `sight_values`, of one learner.
    """
    import pandas as pd

    told = pd.DataFrame(
        [(rung.sight.title, rung.method, rung.pairs) for rung in ladder],
        columns=["sight", "rung", "pairs"],
    )
    means = values.groupby(["sight", "split_seed"], as_index=False)["value"].mean()
    found = told.merge(means, on="sight").rename(columns={"rung": "method"})
    return found[["method", "pairs", "split_seed", "value"]]


def rung_intervals(ladder: pd.DataFrame, test_share: float) -> pd.DataFrame:
    """Mean and interval over splits of each method and number of pairs, in the order given.

    Columns method, pairs, mean, low, high, splits; `ladder` as from `rung_values`.
    """
    import pandas as pd

    found = []
    for (method, pairs), own in ladder.groupby(["method", "pairs"], sort=False):
        interval = resampled_interval(own["value"].tolist(), test_share)
        found.append((method, pairs, interval.mean, interval.low, interval.high, interval.n))
    return pd.DataFrame(found, columns=["method", "pairs", "mean", "low", "high", "splits"])


def best_anchored(ladder: pd.DataFrame) -> pd.DataFrame:
    """By number of pairs (rows) and split (columns), the value of the best method that maps.

    Which one is best is said by the mean of all other splits, so that none chooses for itself.
    Relative vectors, a space of their own, are left out. Raises MglibError for a method that lacks
    a split.
    """
    import pandas as pd

    found = {}
    anchored = ladder[ladder["method"] != RELATIVE]
    every = sorted(anchored["split_seed"].unique())
    for pairs, own in anchored.groupby("pairs"):
        table = own.pivot(index="method", columns="split_seed", values="value").reindex(
            columns=every
        )
        if table.isna().any(axis=None):
            lost = table.index[table.isna().any(axis=1)][0]
            raise MglibError(f"{lost} with {pairs} pairs lacks a split that other methods have")
        found[pairs] = best_of_others(table.to_numpy(float))
    return pd.DataFrame.from_dict(found, orient="index", columns=every)


def gaps(best: pd.DataFrame, other: Mapping[int, float], test_share: float) -> dict[int, Interval]:
    """By number of pairs the interval of the best method minus another value, paired by split.

    `best` as from `best_anchored`; `other` has a value for each split.
    """
    return {
        int(pairs): resampled_interval(
            [own[split] - other[split] for split in best.columns], test_share
        )
        for pairs, own in best.iterrows()
    }


def enough(differences: Mapping[int, Interval], sign: int) -> int | None:
    """The fewest pairs from which on every difference has at least this sign; None if none.

    Sign 0: not below the other, or a tie; 1: above it. "From which on", because a wide interval
    makes a tie of few pairs that more of them then break.
    """
    found = None
    for pairs in sorted(differences, reverse=True):
        if differences[pairs].sign < sign:
            break
        found = pairs
    return found


def in_words(pairs: int | None) -> str:
    """A number of pairs as text; that none of those asked is enough."""
    return "none of those asked" if pairs is None else f"{pairs:,}"


def ladder_table(panels: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Accuracy [%] with half its interval: a line per world and method, a column per number.

    `panels`: title of the world -> what `rung_intervals` gives. A dash where none was asked.
    """
    import pandas as pd

    numbers = sorted({int(n) for table in panels.values() for n in table["pairs"]})
    lines = []
    for world, table in panels.items():
        for method in dict.fromkeys(table["method"]):
            own = table[table["method"] == method].set_index("pairs")
            line = {"World": world, "Method": method}
            for number in numbers:
                line[f"{number:,}"] = "–"
                if number in own.index:
                    at = own.loc[number]
                    interval = Interval(at["mean"], at["low"], at["high"], int(at["splits"]))
                    line[f"{number:,}"] = percent(interval)
            lines.append(line)
    return pd.DataFrame(lines)


def gap_table(
    panels: Mapping[str, tuple[Mapping[int, Interval], Mapping[int, Interval]]],
) -> pd.DataFrame:
    """By world and number of pairs, the best anchored method minus strong and weak [points].

    `panels`: title of the world -> the `gaps` to strong and those to weak.
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "World": world,
                "Pairs": f"{pairs:,}",
                "Minus strong": percent(strong[pairs], signed=True),
                "Against strong": verdict(strong[pairs]),
                "Minus weak": percent(weak[pairs], signed=True),
                "Against weak": verdict(weak[pairs]),
            }
            for world, (strong, weak) in panels.items()
            for pairs in strong
        ]
    )
