"""FitzHugh-Nagumo diffusion and reaction in two dimensions: central differences, Runge-Kutta 4.

u_t = Du lap u + u - u^3 - k - v and v_t = Dv lap v + u - v on [-1, 1]^2 without flux through the
boundary (Klaasen and Troy, SIAM J. Appl. Math. 44, 1984; parameters of PDEBench).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mglib.errors import MglibError

DIFFUSION = (1e-3, 5e-3)  # of u and v
K = 5e-3
SIDE = 2.0
BLOCK = 8  # samples at once: their arrays stay in the processor's cache
STABLE = 2.7 / 8  # longest step of Runge-Kutta 4 times diffusion / width^2 in two dimensions


def graded_steps(until: float, first: float = 0.0125, early: float = 0.2) -> np.ndarray:
    """Times from 0 to `until`: steps `first` long to `early`, and four times as long later."""
    start = np.linspace(0, early, max(1, round(early / first)) + 1)
    rest = np.linspace(early, until, max(1, round((until - early) / (4 * first))) + 1)
    return np.concatenate([start, rest[1:]])


def laplacian(field: np.ndarray, width: float) -> np.ndarray:
    """Five-point Laplacian of cell values [..., H, W] without flux through the boundary."""
    found = -4 * field
    found[..., 1:, :] += field[..., :-1, :]
    found[..., :-1, :] += field[..., 1:, :]
    found[..., 1:] += field[..., :-1]
    found[..., :-1] += field[..., 1:]
    for edge in (np.s_[..., 0, :], np.s_[..., -1, :], np.s_[..., 0], np.s_[..., -1]):
        found[edge] += field[edge]
    found /= width**2
    return found


def slope(states: np.ndarray, width: float) -> np.ndarray:
    """d/dt of states [2, ..., H, W] = u and v."""
    u, v = states
    found = laplacian(states, width)
    found[0] *= DIFFUSION[0]
    found[1] *= DIFFUSION[1]
    found += u - v
    found[0] -= u * u * u  # several times faster than a power
    found[0] -= K
    return found


def _advanced(states: np.ndarray, step: float, width: float) -> np.ndarray:
    """One classical Runge-Kutta step."""
    first = slope(states, width)
    second = slope(states + step / 2 * first, width)
    third = slope(states + step / 2 * second, width)
    fourth = slope(states + step * third, width)
    return states + step / 6 * (first + 2 * (second + third) + fourth)


def solve(
    states: np.ndarray,
    steps: np.ndarray,
    times: Sequence[float] | np.ndarray,
    advance: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Values [N, T, H, H, 2] at `times`, each among the times [S + 1] that `steps` goes through.

    states [N, H, H, 2] hold u and v in square cells at time steps[0]. Raises MglibError for other
    shapes, a time that is no step, unstable steps and a result that is not finite.
    """
    if states.ndim != 4 or states.shape[1] != states.shape[2] or states.shape[3] != 2:
        raise MglibError(f"states are [N, H, H, 2], not {states.shape}")
    width, lengths = SIDE / states.shape[1], np.diff(steps)
    longest = STABLE * width**2 / max(DIFFUSION)
    if (lengths <= 0).any() or lengths.max() > longest:
        raise MglibError(f"steps must be above 0 and at most {longest:.3g} for stability")
    wanted = [int(np.argmin(np.abs(steps - time))) for time in times]
    if any(abs(steps[place] - time) > 1e-9 for place, time in zip(wanted, times, strict=True)):
        raise MglibError(f"times {list(times)} are not all among those of the steps")
    found = np.empty((len(states), len(times), *states.shape[1:]))
    for start in range(0, len(states), BLOCK):
        block = states[start : start + BLOCK]
        current = np.ascontiguousarray(np.moveaxis(block, -1, 0), dtype=np.float64)
        for number in range(len(steps)):
            if number:
                current = _advanced(current, float(lengths[number - 1]), width)
            for place, own in enumerate(wanted):
                if own == number:
                    found[start : start + BLOCK, place] = np.moveaxis(current, 0, -1)
        advance(len(block) / len(states))
    if not np.isfinite(found).all():
        raise MglibError("the solution is not finite: take shorter steps")
    return found
