"""Diffusion and logistic reaction on a periodic interval: Strang splitting of two exact flows.

u_t - diffusion u_xx = rate u (1 - u). The published one-dimensional files are reported to relax
towards about 0.5, as if the reaction were missing (issue 94 of PDEBench, open); these solve the
equation as it is written, so the two differ where that is so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mglib.errors import MglibError


def logistic(states: np.ndarray, rate: float, time: float) -> np.ndarray:
    """The exact solution of u' = rate u (1 - u) after a time, from states of any shape."""
    growth = np.expm1(rate * time)
    return states * (1 + growth) / (1 + states * growth)


def solve(
    states: np.ndarray,
    diffusion: float,
    rate: float,
    times: Sequence[float] | np.ndarray,
    step: float = 0.001,
    length: float = 1.0,
) -> np.ndarray:
    """Values [N, T, X] at times >= 0 that do not decrease, from states [N, X] on a period `length`.

    Half a step of diffusion (exact in every Fourier mode), a step of reaction, half a step of
    diffusion; `step` is the longest. Raises MglibError for a time before the last one.
    """
    cells = states.shape[1]
    waves = 2 * np.pi / length * np.arange(cells // 2 + 1)
    found, now, current = [], 0.0, np.asarray(states, dtype=np.float64)
    for time in times:
        if time < now:
            raise MglibError(f"time {time:g} is before {now:g}: give times in their order")
        count = int(np.ceil((time - now) / step - 1e-9))
        if count:
            width = (time - now) / count
            decay = np.exp(-diffusion * waves**2 * width)
            modes = np.sqrt(decay) * np.fft.rfft(current, axis=1)
            for number in range(count):
                reacted = logistic(np.fft.irfft(modes, cells, axis=1), rate, width)
                last = number == count - 1  # else this half step and the next one are one
                modes = (np.sqrt(decay) if last else decay) * np.fft.rfft(reacted, axis=1)
            current = np.fft.irfft(modes, cells, axis=1)
        found.append(current)
        now = time
    return np.stack(found, axis=1)
