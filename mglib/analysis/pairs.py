"""Methods against each other, paired by split: corrected resampled t-tests with Holm's correction.

Nadeau & Bengio (2003), "Inference for the generalization error", section 3; Holm (1979), "A simple
sequentially rejective multiple test procedure".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.held_out import percent, verdict
from mglib.analysis.statistics import LEVEL, Interval, resampled_interval
from mglib.errors import MglibError, unknown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PairedTest:
    """The mean of paired differences: its interval, and t and the two-sided p of its being zero."""

    interval: Interval
    t: float
    p: float


def corrected_t_test(differences: Sequence[float], test_share: float) -> PairedTest:
    """The test whose interval `resampled_interval` is, on n - 1 degrees of freedom.

    One difference per split; `test_share` of the instances is tested in each. Equal differences
    have no spread: t is infinite and p 0, or 0 and 1 if they are all zero. p is below 0.05 where
    the interval, at 95 %, excludes zero. Raises MglibError for fewer than two values, values that
    are not finite, or a share outside (0, 1).
    """
    from scipy.stats import t as student

    interval = resampled_interval(differences, test_share)
    freedom = interval.n - 1
    # Exactly equal, not by their variance: a rounded mean leaves a spread of 1e-17.
    if len(set(differences)) == 1:
        t = float(np.sign(interval.mean)) * np.inf if interval.mean else 0.0
    else:
        t = interval.mean / (interval.half / float(student.ppf((1 + LEVEL) / 2, freedom)))
    return PairedTest(interval, float(t), float(2 * student.sf(abs(t), freedom)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p of one family, in the given order: reject where it is at most the level.

    The i-th smallest of m is multiplied by m - i + 1, made no smaller than those before, and cut at
    1; the chance of any false rejection stays below the level, however the tests depend. Raises
    MglibError for a p outside [0, 1].
    """
    p = np.asarray(p_values, float)
    if not ((p >= 0) & (p <= 1)).all():
        raise MglibError(f"p values lie between 0 and 1; got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def by_split(values: pd.DataFrame) -> pd.DataFrame:
    """A line per split, a column per method: means over all else, such as modalities.

    `values` has the columns method, split_seed, value. Raises MglibError if a method lacks a split
    or a modality of it that another one has, or has a value that is not finite: such methods cannot
    be paired.
    """
    cell = [name for name in ("split_seed", "modality") if name in values]
    table = values.pivot_table(
        index=cell, columns="method", values="value", aggfunc="mean", dropna=False, sort=False
    ).dropna(how="all")
    if not np.isfinite(table.to_numpy(float)).all():
        bad = table.columns[~np.isfinite(table.to_numpy(float)).all(axis=0)][0]
        where = table.index[~np.isfinite(table[bad])][0]
        where = where if isinstance(where, tuple) else (where,)
        told = ", ".join(f"{name} {at}" for name, at in zip(cell, where, strict=True))
        raise MglibError(f"{bad} has no finite value where other methods have one: {told}")
    return table.groupby("split_seed").mean()


def compare_methods(
    values: pd.DataFrame,
    test_share: float,
    against: str | None = None,
    methods: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Every two methods compared, or every one with `against`; one family for Holm's correction.

    `values` as from `held_out_values`, averaged over modalities within each split. Columns first,
    second, mean (first minus second), low, high, t, p, p_holm, n (splits) and verdict: higher,
    lower, or a tie unless p_holm is below 0.05. The interval is not corrected for the family.
    `methods` are those compared and their order, else all. Raises MglibError for an unknown method,
    or fewer than two.
    """
    import pandas as pd

    known = list(dict.fromkeys(values["method"]))
    chosen = list(dict.fromkeys(known if methods is None else methods))
    for name in [*chosen, *([] if against is None else [against])]:
        if name not in known:
            raise unknown("method in these values", name, known)
    pairs = list(combinations(chosen, 2))
    if against is not None:
        pairs = [(name, against) for name in chosen if name != against]
    if not pairs:
        raise MglibError(f"a comparison needs two methods; got {', '.join(chosen) or 'none'}")
    used = [name for name in known if name in chosen or name == against]
    table = by_split(values[values["method"].isin(used)])
    tests = [corrected_t_test((table[a] - table[b]).tolist(), test_share) for a, b in pairs]
    corrected = holm([test.p for test in tests])
    lines = []
    for (a, b), test, adjusted in zip(pairs, tests, corrected, strict=True):
        lines.append(
            {
                "first": a,
                "second": b,
                "mean": test.interval.mean,
                "low": test.interval.low,
                "high": test.interval.high,
                "t": test.t,
                "p": test.p,
                "p_holm": adjusted,
                "n": test.interval.n,
                "verdict": verdict(test.interval) if adjusted < 1 - LEVEL else "a tie",
            }
        )
    return pd.DataFrame(lines)


def p_value(p: float) -> str:
    """A p value as tables print it: three decimals, or that it is below 0.001."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def pair_table(compared: pd.DataFrame) -> pd.DataFrame:
    """`compare_methods` in words: Comparison, Difference [points], t, p, p (Holm), Verdict."""
    import pandas as pd

    lines = []
    for row in compared.itertuples(index=False):
        gap = Interval(row.mean, row.low, row.high, row.n)
        lines.append(
            {
                "Comparison": f"{row.first} minus {row.second}",
                "Difference [points]": percent(gap, signed=True),
                "t": f"{row.t:.2f}".replace("-", "−"),
                "p": p_value(row.p),
                "p (Holm)": p_value(row.p_holm),
                "Verdict": row.verdict,
            }
        )
    return pd.DataFrame(lines)
