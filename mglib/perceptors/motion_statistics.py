"""Hand-made statistics of windows of a sensor: series -> 72 values for three channels.

Ours; the features are those usual in activity recognition (for instance Burns et al., arXiv
1802.01489), with nothing learned. Times are shares of the window and frequencies are cycles per
window, so that no sampling rate is asked for.
"""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance
from mglib.errors import MglibError
from mglib.perceptors._base import Encoder
from mglib.registry import perceptors

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LAGS = (0.05, 0.1, 0.2, 0.3, 0.4)  # shares of the window
BANDS = (1, 2, 3, 4, 5, 7, 10, 15, 25)  # first cycles per window of each band, the last is open
FLOOR = 1e-4  # power that doubles the argument of the logarithm: an amplitude of about 0.01
SHORTEST = 50  # steps: every band holds a frequency


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, and 0 where both vanish."""
    return above / np.where(below > 0, below, 1.0)


def centred(series: np.ndarray) -> np.ndarray:
    """Series [N, steps, C] without their means, exactly 0 for a constant channel."""
    moves = np.ptp(series, axis=1, keepdims=True) > 0
    return np.where(moves, series - series.mean(axis=1, keepdims=True), 0.0)


def zero_crossings(deviations: np.ndarray) -> np.ndarray:
    """Share of the steps [N, C] at which a series [N, steps, C] changes its sign; 0 is positive."""
    positive = deviations >= 0
    return (positive[:, 1:] != positive[:, :-1]).mean(axis=1)


def autocorrelations(deviations: np.ndarray) -> np.ndarray:
    """Correlation [N, lags, C] of a centred series with itself later, by the whole sum of squares.

    At lag l of n steps a long wave of period l has (n - l) / n; a constant has 0.
    """
    steps = deviations.shape[1]
    products = [
        (deviations[:, lag:] * deviations[:, : steps - lag]).sum(axis=1)
        for lag in (round(share * steps) for share in LAGS)
    ]
    return _ratio(np.stack(products, axis=1), np.square(deviations).sum(axis=1)[:, None])


def band_powers(deviations: np.ndarray) -> np.ndarray:
    """Power [N, bands, C] of a centred series by frequency; the bands sum to its variance."""
    steps = deviations.shape[1]
    power = np.square(np.abs(np.fft.rfft(deviations, axis=1))) / steps**2
    power[:, 1 : (steps + 1) // 2] *= 2  # the frequencies below 0
    return np.add.reduceat(power, BANDS, axis=1)


def cross_correlations(deviations: np.ndarray) -> np.ndarray:
    """Pearson correlation [N, pairs] of every two channels; 0 where one is constant."""
    norms = np.sqrt(np.square(deviations).sum(axis=1))
    first, second = np.triu_indices(deviations.shape[2], k=1)
    products = (deviations[..., first] * deviations[..., second]).sum(axis=1)
    return _ratio(products, norms[:, first] * norms[:, second])


@perceptors.register("motion_statistics")
class MotionStatistics(Encoder):
    """Per channel: mean, deviation, quantiles, change, crossings, periods, spectrum; correlations.

    23 values for each of C channels and one for each pair. All but mean and quantiles are 0 for a
    constant channel.
    """

    version = "1"
    kinds = frozenset({"series"})
    unit_norm = False
    width = 72
    steps = {"series": 1}

    def encode(
        self,
        values: np.ndarray,
        lengths: np.ndarray | None = None,
        advance: Advance = lambda share: None,
    ) -> np.ndarray:
        """float32 [N, steps, C] -> float32 [N, 23 C + C (C - 1) / 2]; 72 values for C = 3.

        Raises MglibError for another type or rank, fewer than 50 steps, and values not finite.
        """
        if values.dtype != np.float32 or values.ndim != 3:
            raise MglibError(
                f"series are float32 [N, steps, channels], not {values.dtype} {values.shape}"
            )
        if values.shape[1] < SHORTEST:
            raise MglibError(f"series have {values.shape[1]} steps, fewer than {SHORTEST}")
        bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
        if len(bad):
            raise MglibError(f"series {bad[0]} holds values that are not finite")
        series = values.astype(np.float64)
        deviations = centred(series)
        by_channel = [
            series.mean(axis=1)[:, None],
            np.sqrt(np.square(deviations).mean(axis=1))[:, None],
            np.quantile(series, QUANTILES, axis=1).transpose(1, 0, 2),
            np.abs(np.diff(series, axis=1)).mean(axis=1)[:, None],
            zero_crossings(deviations)[:, None],
            autocorrelations(deviations),
            np.log1p(band_powers(deviations) / FLOOR),
        ]
        # channel by channel: [N, statistics, C] -> [N, C * statistics]
        single = np.concatenate(by_channel, axis=1).transpose(0, 2, 1).reshape(len(values), -1)
        rows = np.concatenate([single, cross_correlations(deviations)], axis=1)
        advance(1.0)
        return rows.astype(np.float32)
