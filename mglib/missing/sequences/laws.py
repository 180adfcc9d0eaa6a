"""Which frames are lost: the laws by name, and their tables, drawn by seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mglib.errors import MglibError, unknown
from mglib.missing.checks import number
from mglib.missing.frames import bernoulli_frames, burst_frames, edge_frames

NONE = "none"
VICTIM = "victim"  # of several modalities the last is lost whole: no law of frames
LAWS: dict[str, Callable[[np.random.Generator, np.ndarray, int, float], np.ndarray]] = {
    NONE: bernoulli_frames,
    "bernoulli": bernoulli_frames,
    "burst": burst_frames,
    "first": partial(edge_frames, edge="first"),
    "last": partial(edge_frames, edge="last"),
}


def check_law(law: str, rate: float) -> None:
    """Raise MglibError for an unknown law of lost frames, or a rate that it does not allow.

    A rate is from 0 to below 1: of sequences that are lost whole there is nothing to learn or to
    ask (TFR-Net scores them, and its authors advise to ignore it). "none" has the rate 0.
    """
    if law not in LAWS:
        raise unknown("law of lost frames", law, LAWS)
    if not number(rate, 0, 1) or rate == 1:
        raise MglibError(f"the rate of lost frames must be a number from 0 to below 1, not {rate}")
    if (law == NONE) != (rate == 0):
        raise MglibError(f"frames are lost at rate 0 by law '{NONE}', not at {rate} by '{law}'")


def draw(law: str, rate: float, lengths: np.ndarray, frames: int, seed: int) -> np.ndarray:
    """Which frames are there, bool [N, F], of sequences of some lengths [N]; the same by one seed.

    At a higher rate the same seed loses the same frames and more.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    return LAWS[law](random, lengths, frames, rate)
