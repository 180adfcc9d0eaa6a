"""Where weak generalization turns into strong: half of the way that full binding goes. Ours.

The way leads from the majority class to the accuracy under full binding; how far a learner comes is
fitted as a function of the similarity that never falls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mglib.analysis.similarity import CKA, FULL, RECALL, Condition
from mglib.analysis.statistics import LEVEL, Interval
from mglib.analysis.worlds import World
from mglib.errors import MglibError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

Floats = NDArray[np.float64]
HALF = 0.5
DRAWS = 2000


@dataclass(frozen=True)
class Points:
    """P points, each a condition and an unseen modality, in S splits.

    score, lower, upper, recall and cka [S, P]; pairs and noise [P]. `pairs` is the number in use:
    of the fully bound, and of the noisy, all.
    """

    modalities: tuple[str, ...]
    pairs: Floats
    noise: Floats
    score: Floats
    lower: Floats
    upper: Floats
    recall: Floats
    cka: Floats

    def where(self, chosen: ArrayLike) -> Points:
        """The points of a mask [P]."""
        kept = np.flatnonzero(np.asarray(chosen, bool))
        tables = (self.score, self.lower, self.upper, self.recall, self.cka)
        return Points(
            tuple(self.modalities[i] for i in kept),
            self.pairs[kept],
            self.noise[kept],
            *(table[:, kept] for table in tables),
        )

    def of(self, modality: str | None) -> Points:
        """The points of one modality; None: all."""
        return self.where([modality in (None, own) for own in self.modalities])

    @property
    def swept(self) -> Points:
        """The points that are not fully bound: those are at the end of the way by definition."""
        return self.where((self.noise > 0) | (self.pairs < self.pairs.max()))

    def share(self, weights: Floats) -> Floats:
        """How much of the way is covered [P], of means over splits with weights [S].

        NaN where the means leave no way to go.
        """
        score, lower, upper = (weights @ table for table in (self.score, self.lower, self.upper))
        way = upper - lower
        return np.divide(score - lower, way, out=np.full(len(way), np.nan), where=way > 0)


def points_of(
    values: pd.DataFrame,
    similarity: pd.DataFrame,
    world: World,
    conditions: Sequence[Condition],
    *,
    method: str,
    lower: str,
    all_pairs: float,
) -> Points:
    """The points of one method, from `similarity_values` (with the bound `lower`) and rows.

    `all_pairs` is how many pairs there are. Raises MglibError for a value that is missing.
    """
    modalities = list(dict.fromkeys(similarity["modality"]))
    cells = [(c, m) for c in conditions for m in modalities]
    names = [(c.perceptor(world.perceptor), m) for c, m in cells]
    full = [(FULL.perceptor(world.perceptor), m) for _, m in cells]

    def table(rows: pd.DataFrame, where: list[tuple[str, str]]) -> Floats:
        wide = rows.pivot(index="split_seed", columns=["perceptor", "modality"], values="value")
        found = wide.sort_index().reindex(columns=where).to_numpy(float)
        if not len(found) or not np.isfinite(found).all():
            raise MglibError("a condition lacks a value of some modality and split")
        return found

    scores, bound = (values[values["method"] == name] for name in (method, lower))
    recall, cka = (similarity[similarity["metric"] == name] for name in (RECALL, CKA))
    return Points(
        tuple(m for _, m in cells),
        np.array([c.pairs or all_pairs for c, _ in cells], float),
        np.array([c.noise for c, _ in cells], float),
        table(scores, names),
        table(bound, full),
        table(scores, full),
        table(recall, names),
        table(cka, names),
    )


def monotone(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The least-squares fit of y that never falls with x: knots x and fitted y, by x.

    Isotonic regression, points alike in x averaged first; linear between knots.
    """
    from sklearn.isotonic import IsotonicRegression

    knots = np.unique(x)
    fit = IsotonicRegression().fit(x, y)
    return knots, np.asarray(fit.predict(knots), float)


def half_way(x: Floats, y: Floats) -> float:
    """The least x at which the monotone fit of y [P] on x [P] reaches one half.

    The least x of all if it is reached there already, infinite if it never is, NaN without any
    finite y.
    """
    known = np.isfinite(y)
    if not known.any():
        return float("nan")
    knots, fitted = monotone(x[known], y[known])
    if fitted[-1] < HALF:
        return float("inf")
    after = int(np.argmax(fitted >= HALF))
    if after == 0:
        return float(knots[0])
    return float(np.interp(HALF, fitted[after - 1 : after + 1], knots[after - 1 : after + 1]))


def half_way_in(points: Points, weights: Floats, measure: str) -> float:
    """Half-way in "pairs" (interpolated by their logarithm, without the noisy), or in "recall"."""
    if measure == "recall":
        return half_way(weights @ points.recall, points.share(weights))
    clean = points.where(points.noise == 0)
    return float(np.exp(half_way(np.log(clean.pairs), clean.share(weights))))


def rank_correlation(points: Points, weights: Floats, measure: str) -> float:
    """Spearman's correlation of the share of the way with "recall" or "cka" over swept points.

    NaN for fewer than three points, or where one side is constant.
    """
    from scipy.stats import spearmanr

    own = points.swept
    x, y = weights @ getattr(own, measure), own.share(weights)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        return float("nan")
    return float(spearmanr(x, y).statistic)


def over_splits(
    points: Points,
    statistic: Callable[[Points, Floats, str], float],
    measure: str,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Interval | None:
    """A statistic of the means over splits, with its percentile bootstrap interval over splits.

    All S^S equally likely draws where these are no more than `draws`, else so many random ones.
    Draws in which the statistic is undefined are left out; None if it is so on all splits. With few
    splits, which share instances, the interval is narrow: it tells how far the curve hangs on
    single splits.
    """
    n = len(points.score)
    point = statistic(points, np.full(n, 1 / n), measure)
    if np.isnan(point):
        return None
    if n**n <= draws:
        chosen = np.array(list(product(range(n), repeat=n)))
    else:
        chosen = np.random.default_rng(0).integers(n, size=(draws, n))
    weights = np.stack([np.bincount(own, minlength=n) for own in chosen]) / n
    different, count = np.unique(weights, axis=0, return_counts=True)
    found = np.repeat([statistic(points, own, measure) for own in different], count)
    found = found[~np.isnan(found)]
    edges = [(1 - level) / 2, (1 + level) / 2]
    # An observed value, as between one and infinity there is no mean.
    low, high = np.quantile(found, edges, method="inverted_cdf")
    return Interval(point, float(low), float(high), n)


def told(interval: Interval | None, form: str, least: float, factor: float = 1) -> str:
    """An interval as "10 (5 to 20)", times `factor`; "≤" at the least value there is."""
    if interval is None:
        return "undefined"

    def number(value: float) -> str:
        if np.isinf(value):
            return "not reached"
        mark = "≤\N{NO-BREAK SPACE}" if value <= least * (1 + 1e-9) else ""
        return mark + f"{factor * value:{form}}".replace("-", "−")

    return f"{number(interval.mean)} ({number(interval.low)} to {number(interval.high)})"


def half_way_table(points: Points) -> pd.DataFrame:
    """A line per modality and one for all: half-way in pairs and recall, and rank correlations."""
    import pandas as pd

    lines = []
    for modality in [*dict.fromkeys(points.modalities), None]:
        own = points.of(modality)
        mean = np.full(len(own.score), 1 / len(own.score))
        lines.append(
            {
                "Unseen": modality or "all",
                "Half-way [pairs]": told(
                    over_splits(own, half_way_in, "pairs"), ".0f", own.pairs.min()
                ),
                "Half-way [recall, %]": told(
                    over_splits(own, half_way_in, "recall"), ".1f", (mean @ own.recall).min(), 100
                ),
                "Correlation, recall": told(
                    over_splits(own, rank_correlation, "recall"), ".2f", -np.inf
                ),
                "Correlation, CKA": told(over_splits(own, rank_correlation, "cka"), ".2f", -np.inf),
            }
        )
    return pd.DataFrame(lines)
