"""Average ranks of methods over blocks (datasets, or splits), and which ranks are told apart.

Demsar (2006), "Statistical comparisons of classifiers over multiple data sets", section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.statistics import LEVEL
from mglib.errors import MglibError

if TYPE_CHECKING:
    import pandas as pd

# Demsar's rule of thumb: with no more blocks Friedman's statistic does not follow chi-squared.
FEW_BLOCKS = 10


@dataclass(frozen=True)
class Ranking:
    """Average ranks over blocks, 1 the best, and the tests on them at `level`.

    `ranks` runs from the best method to the worst. `statistic` and `p` are Friedman's, corrected
    for ties; `critical_difference` is Nemenyi's. `groups` are the largest sets of neighbours, two
    or more, that it does not separate.
    """

    ranks: dict[str, float]
    blocks: int
    statistic: float
    p: float
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]
    level: float = LEVEL

    @property
    def note(self) -> str:
        """That few blocks make the ranks a description and no test; empty if there are enough."""
        if self.blocks > FEW_BLOCKS:
            return ""
        hopeless = self.critical_difference > len(self.ranks) - 1
        return f"Descriptive: {len(self.ranks)} methods over only {self.blocks} blocks" + (
            "; even the first and the last rank could not be told apart" if hopeless else ""
        )


def block_ranks(
    values: pd.DataFrame, block: str = "dataset", method: str = "method", value: str = "value"
) -> pd.DataFrame:
    """A line per block, a column per method: its rank there, 1 for the highest value.

    Ties share the mean of their ranks; values of one method in one block are averaged first. Raises
    MglibError unless every method has a finite value in every block, or for fewer than two methods
    or two blocks.
    """
    table = values.pivot_table(
        index=block, columns=method, values=value, aggfunc="mean", dropna=False, sort=False
    )
    if min(table.shape) < 2:
        raise MglibError(
            f"ranks need two methods and two blocks; got {table.shape[1]} and {table.shape[0]}"
        )
    missing = ~np.isfinite(table.to_numpy(float))
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise MglibError(
            f"{table.columns[column]} has no finite value in {block} {table.index[row]}; methods "
            "are ranked where all have one"
        )
    # Rounded: means of the same numbers in another order must tie.
    return table.round(12).rank(axis=1, ascending=False, method="average")


def friedman(ranks: pd.DataFrame) -> tuple[float, float]:
    """Friedman's chi-squared, corrected for ties, and its p, from `block_ranks`: [blocks, methods].

    Approximate below about ten blocks. Where all methods tie in every block they are 0 and 1.
    """
    from scipy.stats import chi2

    table = ranks.to_numpy(float)
    n, k = table.shape
    between = n * float(((table.mean(axis=0) - (k + 1) / 2) ** 2).sum())
    # The variance of the ranks within blocks; k (k + 1) / 12 without ties.
    within = float(((table - (k + 1) / 2) ** 2).sum()) / (n * (k - 1))
    statistic = between / within if within else 0.0
    return statistic, float(chi2.sf(statistic, k - 1))


def critical_difference(methods: int, blocks: int, level: float = LEVEL) -> float:
    """Nemenyi's: average ranks at least so far apart differ, for all pairs at once.

    q sqrt(k (k + 1) / (6 N)) with q the studentized range of k methods over root 2; N blocks.
    Raises MglibError for fewer than two methods, no block, or a level outside (0, 1).
    """
    from scipy.stats import studentized_range

    if methods < 2 or blocks < 1 or not 0 < level < 1:
        raise MglibError(
            f"a critical difference needs two methods, a block and a level between 0 and 1; got "
            f"{methods}, {blocks} and {level}"
        )
    q = float(studentized_range.ppf(level, methods, np.inf)) / 2**0.5
    return float(q * (methods * (methods + 1) / (6 * blocks)) ** 0.5)


def groups_within(ranks: dict[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    """The largest sets of methods, two or more, whose average ranks are less than that apart.

    From the best rank on; a set that lies in another is left out.
    """
    order = sorted(ranks, key=lambda name: ranks[name])
    found: list[tuple[str, ...]] = []
    reached = 0
    for start, name in enumerate(order):
        end = sum(ranks[other] - ranks[name] < difference for other in order)
        if end - start > 1 and end > reached:
            found.append(tuple(order[start:end]))
            reached = end
    return tuple(found)


def rank_methods(
    values: pd.DataFrame,
    block: str = "dataset",
    methods: Sequence[str] | None = None,
    level: float = LEVEL,
) -> Ranking:
    """Rank methods over blocks by their `value`, higher being better.

    `values` has the columns method, value and `block`; `methods` are those compared, else all.
    Blocks should share no data: splits of one dataset do, and their ranks only describe. Raises
    MglibError as `block_ranks` and `critical_difference` do.
    """
    if methods is not None:
        values = values[values["method"].isin(list(methods))]
    table = block_ranks(values, block)
    means = table.mean().sort_values(kind="stable")
    ranks = {str(name): float(rank) for name, rank in means.items()}
    n, k = table.shape
    difference = critical_difference(k, n, level)
    statistic, p = friedman(table)
    return Ranking(ranks, n, statistic, p, difference, groups_within(ranks, difference), level)


def rank_table(ranking: Ranking) -> pd.DataFrame:
    """Method, average rank and the letters of the groups it is in; none is told from its group."""
    import pandas as pd

    lines = []
    for name, rank in ranking.ranks.items():
        own = [chr(ord("a") + i) for i, group in enumerate(ranking.groups) if name in group]
        lines.append(
            {"Method": name, "Average rank": f"{rank:.2f}", "Groups": ", ".join(own) or "–"}
        )
    return pd.DataFrame(lines)
