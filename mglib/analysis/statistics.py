"""Means with intervals over splits that share instances, and with the published standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mglib.errors import MglibError

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95  # of every interval in the paper
PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"


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


def interval_of(values: Sequence[float], share: float) -> Interval:
    """The mean of one value per split with its interval; of a single one without (NaN)."""
    if len(values) == 1:
        return Interval(values[0], float("nan"), float("nan"), 1)
    return resampled_interval(values, share)


def standard_error(values: Sequence[float]) -> float:
    """The "±" of DomainBed's and ModalBed's tables: standard deviation (ddof 0) over root n.

    ModalBed's captions call it a standard deviation. Zero for one value; with n trials it is
    sqrt((n - 1) / n) of the usual estimate, which for the published three is 0.82. Raises
    MglibError for no value, or one that is not finite.
    """
    x = np.asarray(values, float)
    if not len(x) or not np.isfinite(x).all():
        raise MglibError(f"a standard error needs finite values, one per trial; got {x.tolist()}")
    return float(x.std(ddof=0) / len(x) ** 0.5)


def published_table(
    values: pd.DataFrame, modalities: Sequence[str], methods: Sequence[str]
) -> pd.DataFrame:
    """Accuracy [%] as in DomainBed's and ModalBed's tables: mean over trials ± standard error.

    `values` has the columns modality, method and value, one row per trial. The last column is the
    mean of the modalities' means and has no error. A dash stands for a cell without trials, and for
    an average with such a cell.
    """
    import pandas as pd

    rows = []
    for method in methods:
        row, means = {"Method": method}, []
        for modality in modalities:
            own = values[(values["method"] == method) & (values["modality"] == modality)]
            x = own["value"].to_numpy(float)
            row[modality] = "–"
            if len(x):
                means.append(float(x.mean()))
                row[modality] = (
                    f"{100 * x.mean():.1f}{PLUS_MINUS}{100 * standard_error(x.tolist()):.1f}"
                )
        whole = len(means) == len(modalities) and means
        row["Avg"] = f"{100 * np.mean(means):.1f}" if whole else "–"
        rows.append(row)
    return pd.DataFrame(rows, columns=["Method", *modalities, "Avg"])
