"""Lost frames of sequences, and the area under the curve of a metric over their rates.

All tables are bool [N, F], True = observed; what lies beyond a sequence's length is not observed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mglib.errors import MglibError, unknown
from mglib.missing.checks import number, whole
from mglib.missing.draws import uniforms


def _inside(lengths: np.ndarray, frames: int, rate: float) -> np.ndarray:
    """Which frames lie within their sequences: bool [N, F]; MglibError for what cannot be."""
    found = np.asarray(lengths)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise MglibError(f"lengths must be whole numbers [N], not {found.dtype} {[*found.shape]}")
    if not whole(frames, 1):
        raise MglibError(f"frames must be a whole number from 1, not {frames!r}")
    if found.size and not 0 <= found.min() <= found.max() <= frames:
        raise MglibError(
            f"lengths must be from 0 to {frames} frames, not {found.min()} to {found.max()}"
        )
    if not number(rate, 0, 1):
        raise MglibError(f"the rate of lost frames must be a number from 0 to 1, not {rate!r}")
    return np.arange(frames) < found[:, None]


def _lost(random: np.random.Generator, lengths: np.ndarray, rate: float) -> np.ndarray:
    """rate * length of every sequence, rounded up or down at random so that its mean is exact."""
    exact = np.round(np.asarray(lengths) * rate, 9)
    return np.floor(exact + uniforms(random, len(exact))).astype(np.int64)


def bernoulli_frames(
    random: np.random.Generator, lengths: np.ndarray, frames: int, rate: float
) -> np.ndarray:
    """Every frame is lost with probability `rate` in 0..1, by itself; lengths [N] in 0..F.

    The rate is exact in expectation. MMSA, TFR-Net, EMT-DLFR and LNLN, for audio and vision. Raises
    MglibError for lengths, frames or a rate out of range.
    """
    inside = _inside(lengths, frames, rate)
    return inside & (uniforms(random, *inside.shape) >= rate)


def burst_frames(
    random: np.random.Generator, lengths: np.ndarray, frames: int, rate: float, burst: int = 5
) -> np.ndarray:
    """Runs of `burst` frames are lost, at random starts, until the share `rate` of a sequence is.

    Ours. The last run is cut, so that rate * length frames are lost, rounded up or down with that
    mean; runs may touch and reach over the ends. Raises MglibError as `bernoulli_frames` does, and
    for a burst that is not a whole number from 1.
    """
    inside = _inside(lengths, frames, rate)
    if not whole(burst, 1):
        raise MglibError(f"burst must be a whole number of frames from 1, not {burst!r}")
    lost = _lost(random, lengths, rate)
    starts = uniforms(random, len(inside), frames + burst - 1)
    turn = np.lib.stride_tricks.sliding_window_view(starts, burst, axis=1).min(axis=2)
    first = np.argsort(np.where(inside, turn, np.inf), axis=1, kind="stable")
    return inside & (np.argsort(first, axis=1) >= lost[:, None])


def edge_frames(
    random: np.random.Generator, lengths: np.ndarray, frames: int, rate: float, edge: str = "last"
) -> np.ndarray:
    """The "first" or "last" frames of every sequence are lost, the share `rate` of its length.

    Ours. rate * length frames, rounded up or down at random with that mean. Raises MglibError as
    `bernoulli_frames` does, and for another edge.
    """
    inside = _inside(lengths, frames, rate)
    if edge not in ("first", "last"):
        raise unknown("edge of lost frames", edge, ("first", "last"))
    lost = _lost(random, lengths, rate)
    if edge == "first":
        return inside & (np.arange(frames) >= lost[:, None])
    return np.arange(frames) < (np.asarray(lengths) - lost)[:, None]


def auilc(rates: Sequence[float], values: Sequence[float]) -> float:
    """Area under a metric's curve over missing rates, by trapezoids, in units of metric times rate.

    `rates` rise strictly. TFR-Net's area under indicators line chart; divide it by the span of the
    rates for the mean of the curve. Raises MglibError for fewer than two or unordered rates.
    """
    x, y = np.asarray(rates, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2 or not (np.diff(x) > 0).all():
        raise MglibError(
            f"the area needs two or more rising rates with a value each, not rates {[*rates]} "
            f"and {len(y) if y.ndim else 'one'} values"
        )
    return float(np.trapezoid(y, x))
