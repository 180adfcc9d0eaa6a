"""Means with intervals over splits, corrected for splits of one pool sharing their instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mglib.errors import MglibError

LEVEL = 0.95  # of every interval in the paper


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; `n` values were averaged."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2

    @property
    def sign(self) -> int:
        """+1 or -1 if the interval lies above or below zero, else 0: a tie."""
        return int(self.low > 0) - int(self.high < 0)


def resampled_interval(
    values: Sequence[float], test_share: float, level: float = LEVEL
) -> Interval:
    """Corrected resampled t interval of one value per split (Nadeau & Bengio 2003, section 3).

    `test_share` is the share of instances tested in each split, in (0, 1): the variance of the mean
    is s^2 (1/n + test_share / (1 - test_share)) instead of s^2 / n. Raises MglibError for fewer
    than two values, values that are not finite, or a share outside (0, 1).
    """
    from scipy.stats import t

    x = np.asarray(values, float)
    if len(x) < 2 or not np.isfinite(x).all():
        raise MglibError(
            f"an interval needs at least two finite values, one per split; got {x.tolist()}"
        )
    if not 0 < test_share < 1:
        raise MglibError(f"test_share {test_share} is not between 0 and 1")
    spread = x.std(ddof=1) * (1 / len(x) + test_share / (1 - test_share)) ** 0.5
    half = float(t.ppf((1 + level) / 2, len(x) - 1) * spread)
    mean = float(x.mean())
    return Interval(mean, mean - half, mean + half, len(x))
