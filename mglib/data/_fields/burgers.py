"""Viscous Burgers equation on a periodic interval: Fourier modes and an integrating factor.

u_t + (u^2 / 2)_x = viscosity u_xx. Viscosity is exact in every mode, the rest is the classical
Runge-Kutta method of order 4 on the modes that remain after the 2/3 rule (Kassam and Trefethen,
SIAM J. Sci. Comput. 26, 2005, section 2, describe the method).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mglib.errors import MglibError


def graded_steps(until: float, smallest: float = 2.5e-4, share: float = 0.02) -> np.ndarray:
    """Times [S + 1] from 0 to `until`, steps growing as the solution calms down.

    Steps double in blocks, beginning with `smallest`, and stay below max(smallest, share * time).
    """
    times = [0.0]
    while times[-1] < until:
        doublings = max(0, int(np.log2(max(1.0, share * times[-1] / smallest))))
        times.append(times[-1] + smallest * 2**doublings)
    return np.array([*times[:-1], until])


def solve(
    states: np.ndarray,
    viscosity: float,
    steps: np.ndarray,
    times: Sequence[float] | np.ndarray,
    length: float = 1.0,
    advance: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Values [N, T, X] at `times`, each of them among the times [S + 1] that `steps` goes through.

    states [N, X] at equal distances on a period `length`, at time steps[0]. Raises MglibError for
    a time that is no step, steps that do not grow, and a result that is not finite.
    """
    steps = np.asarray(steps, dtype=np.float64)
    if (np.diff(steps) <= 0).any():
        raise MglibError("the times of the steps must grow")
    wanted = [int(np.argmin(np.abs(steps - time))) for time in times]
    for time, place in zip(times, wanted, strict=True):
        if abs(steps[place] - time) > 1e-9:
            raise MglibError(f"time {time:g} is none of the {len(steps)} times of the steps")
    cells = states.shape[1]
    waves = 2 * np.pi / length * np.arange(cells // 2 + 1)
    factor = np.where(np.arange(len(waves)) <= cells // 3, -0.5j * waves, 0.0)

    def slope(modes: np.ndarray) -> np.ndarray:
        return factor * np.fft.rfft(np.fft.irfft(modes, cells, axis=1) ** 2, axis=1)

    modes = np.fft.rfft(states, axis=1)
    kept = {0: states}
    for number, step in enumerate(np.diff(steps), 1):
        half = np.exp(-viscosity * waves**2 * step / 2)
        whole = half**2
        first = slope(modes)
        second = slope(half * (modes + step / 2 * first))
        third = slope(half * modes + step / 2 * second)
        fourth = slope(whole * modes + step * half * third)
        modes = whole * modes + step / 6 * (whole * first + 2 * half * (second + third) + fourth)
        if number in wanted:
            kept[number] = np.fft.irfft(modes, cells, axis=1)
        advance(1 / (len(steps) - 1))
    found = np.stack([kept[place] for place in wanted], axis=1)
    if not np.isfinite(found).all():
        raise MglibError("the solution is not finite: take shorter steps")
    return found
