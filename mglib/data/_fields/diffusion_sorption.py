"""Diffusion with Freundlich sorption, u_t = D / R(u) u_xx: cells and a stiff Rosenbrock method.

R(u) = 1 + (1 - porosity) / porosity * density * k * n (u + 1e-6)^(n - 1). Boundaries are as
PDEBench's: the cell left of the first is 1, the one right of the last D times the slope before it.
Time is RODAS3, of order 3 and L-stable (Sandu et al., Atmospheric Environment 31, 1997), so that
the jump at the left boundary needs no step limit; PDEBench uses an explicit method of order 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mglib.errors import MglibError

DIFFUSION = 5e-4
POROSITY = 0.29
DENSITY = 2880.0
FREUNDLICH_K = 3.5e-4
FREUNDLICH_N = 0.874
OFFSET = 1e-6
LEFT = 1.0
BLOCK = 15  # samples at once: their arrays stay in the processor's cache
SORBED = (1 - POROSITY) / POROSITY * DENSITY * FREUNDLICH_K * FREUNDLICH_N


def slope(states: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """du/dt of states [N, X] on [0, 1], and its derivative: below, on and above the diagonal.

    The diagonals are [N, X]; the first of `below` and the last of `above` are 0.
    """
    width = 1 / states.shape[1]
    shifted = np.maximum(states, 0.0) + OFFSET  # rounding may go below 0, where no power exists
    power = SORBED * shifted ** (FREUNDLICH_N - 1)
    pace = DIFFUSION / (1 + power)
    bend = -2 * states
    bend[:, 1:] += states[:, :-1]
    bend[:, :-1] += states[:, 1:]
    bend[:, 0] += LEFT
    bend[:, -1] += DIFFUSION / width * (states[:, -2] - states[:, -1])
    pace /= width**2
    below, above = pace.copy(), pace.copy()
    on = -2 * pace
    on += bend * pace / (1 + power) * power / shifted * (1 - FREUNDLICH_N)
    below[:, 0] = above[:, -1] = 0.0
    below[:, -1] += pace[:, -1] * DIFFUSION / width
    on[:, -1] -= pace[:, -1] * DIFFUSION / width
    return pace * bend, (below, on, above)


def steady_state(cells: int) -> np.ndarray:
    """The state [cells] that does not change: a straight line between the boundaries."""
    drop = 1 / (cells + 1 + DIFFUSION * cells)
    return LEFT - drop * np.arange(1, cells + 1)


def graded_steps(until: float, count: int, first: float) -> np.ndarray:
    """Times [count + 1] from 0 to `until`, evenly spaced in the logarithm of time + first."""
    edges = first * np.expm1(np.linspace(0, np.log1p(until / first), count + 1))
    edges[-1] = until
    return edges


def _step(states: np.ndarray, step: float) -> np.ndarray:
    """One step of RODAS3: four stages with one tridiagonal matrix for all samples."""
    from scipy.linalg.lapack import dgttrf, dgttrs

    shape = states.shape
    rate, (below, on, above) = slope(states)
    # one long tridiagonal system: nothing couples the last cell of a sample to the next sample
    factors = dgttrf(-below.ravel()[1:], 2 / step - on.ravel(), -above.ravel()[:-1])
    if factors[-1] != 0:
        raise MglibError("the step's matrix is singular: take shorter steps")

    def solved(right: np.ndarray) -> np.ndarray:
        return np.asarray(dgttrs(*factors[:-1], right.ravel())[0]).reshape(shape)

    first = solved(rate)
    second = solved(rate + 4 / step * first)
    third = solved(slope(states + 2 * first)[0] + (first - second) / step)
    ahead = slope(states + 2 * first + third)[0]
    fourth = solved(ahead + (first - second) / step - 8 / (3 * step) * third)
    return states + 2 * first + third + fourth


def solve(
    states: np.ndarray,
    times: Sequence[float] | np.ndarray,
    steps: int = 100,
    first: float = 2e-4,
    advance: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Values [N, T, X] at positive growing times [T], from states [N, X] on [0, 1] (X >= 2).

    `steps` go to the last time, shortest at first, when they are shorter than `first`; every time
    is met by cutting the step that crosses it. Raises MglibError for other times and shapes, and
    where too few steps let a value leave the range of the first state and the boundaries.
    """
    if states.ndim != 2 or states.shape[1] < 2:
        raise MglibError(f"states are [N, X] with X >= 2, not {states.shape}")
    if len(times) == 0 or times[0] <= 0 or (np.diff(times) <= 0).any():
        raise MglibError(f"times must be positive and grow, not {list(times)}")
    edges = np.union1d(graded_steps(float(times[-1]), steps, first), times)
    places = np.searchsorted(edges, times)
    low, high = min(0.0, float(states.min())), max(LEFT, float(states.max()))
    centre, reach = (low + high) / 2, 0.6 * (high - low)  # a tenth of the range to spare
    found = np.empty((len(states), len(times), states.shape[1]))
    for start in range(0, len(states), BLOCK):
        current = np.asarray(states[start : start + BLOCK], dtype=np.float64)
        for number, step in enumerate(np.diff(edges), 1):
            current = _step(current, float(step))
            if not (np.abs(current - centre) <= reach).all():  # not a number is no better
                raise MglibError(f"{steps} steps are too few: values leave their range")
            found[start : start + BLOCK, np.flatnonzero(places == number)] = current[:, None]
        advance(len(current) / len(states))
    return found
