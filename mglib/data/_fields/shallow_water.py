"""Shallow-water equations over a flat bed: finite volumes with HLL fluxes and limited slopes.

h_t + div(h u) = 0 and (h u)_t + div(h u u) + grad(g h^2 / 2) = 0, g = 1. Slopes of h and velocity
are limited by monotonized central differences (van Leer, J. Comput. Phys. 23, 1977), fluxes are
those of Harten, Lax and van Leer (SIAM Review 25, 1983), time is Heun's method. PDEBench computes
with PyClaw's Roe solver and wave limiters instead: both converge to the same solution, and differ
by a cell or so where it jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mglib.errors import MglibError

GRAVITY = 1.0
COURANT = 0.45
GHOSTS = 2
BLOCK = 4  # samples at once: their arrays stay in the processor's cache


def _padded(state: np.ndarray, mirrored: bool) -> np.ndarray:
    """State [3, N, X, Y] with two ghost cells along X: outflow, or a mirror at the low end."""
    padded = np.empty((*state.shape[:2], state.shape[2] + 2 * GHOSTS, state.shape[3]))
    padded[:, :, GHOSTS:-GHOSTS] = state
    padded[:, :, -GHOSTS:] = state[:, :, -1:]
    if mirrored:
        padded[:, :, :GHOSTS] = state[:, :, GHOSTS - 1 :: -1]
        padded[1, :, :GHOSTS] *= -1
    else:
        padded[:, :, :GHOSTS] = state[:, :, :1]
    return padded


def _limited(values: np.ndarray) -> np.ndarray:
    """Monotonized central slopes [3, N, X - 2, Y] of cell values [3, N, X, Y]."""
    steps = np.diff(values, axis=2)
    left, right = steps[:, :, :-1], steps[:, :, 1:]
    size = np.minimum(2 * np.minimum(np.abs(left), np.abs(right)), 0.5 * np.abs(left + right))
    return np.where(left * right > 0, np.copysign(size, left), 0.0)


def _flux_difference(state: np.ndarray, mirrored: bool) -> np.ndarray:
    """Flux out minus flux in along X [3, N, X, Y] of depth and the momenta along X and Y."""
    padded = _padded(state, mirrored)
    padded[1:] /= padded[0]  # depth and velocities: what is reconstructed
    half = 0.5 * _limited(padded)
    sides = (padded[:, :, 1:-2] + half[:, :, :-1], padded[:, :, 2:-1] - half[:, :, 1:])
    waves = [np.sqrt(GRAVITY * side[0]) for side in sides]
    slowest = np.minimum(np.minimum(sides[0][1] - waves[0], sides[1][1] - waves[1]), 0.0)
    fastest = np.maximum(np.maximum(sides[0][1] + waves[0], sides[1][1] + waves[1]), 0.0)
    kept, fluxes = [], []
    for side in sides:
        carried = side[0] * side[1]
        kept.append((side[0], carried, side[0] * side[2]))
        pressure = 0.5 * GRAVITY * side[0] ** 2
        fluxes.append((carried, carried * side[1] + pressure, carried * side[2]))
    scale = 1 / (fastest - slowest)
    both = slowest * fastest * scale
    fastest, slowest = fastest * scale, slowest * scale
    flux = np.empty_like(sides[0])
    for place in range(3):
        flux[place] = fastest * fluxes[0][place] - slowest * fluxes[1][place]
        flux[place] += both * (kept[1][place] - kept[0][place])
    return np.diff(flux, axis=2)


def slope(state: np.ndarray, width: float, mirrored: bool = False) -> np.ndarray:
    """d/dt of cell means [3, N, X, Y] of depth and the momenta along X and Y."""
    turned = state[[0, 2, 1]].swapaxes(2, 3)
    along_y = _flux_difference(turned, mirrored)[[0, 2, 1]].swapaxes(2, 3)
    return -(_flux_difference(state, mirrored) + along_y) / width


def _longest(state: np.ndarray, width: float) -> np.ndarray:
    """The longest stable steps [N, 1, 1], from the fastest wave of each along either axis."""
    speed = np.abs(state[1:]).max(axis=0) / state[0] + np.sqrt(GRAVITY * state[0])
    return np.asarray(COURANT * width / speed.max(axis=(1, 2), keepdims=True))


def solve(
    states: np.ndarray,
    width: float,
    times: Sequence[float] | np.ndarray,
    mirrored: bool = False,
    advance: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Values [N, T, X, Y, 3] at times >= 0 that do not decrease, from cell means [N, X, Y, 3].

    The last axis holds depth and the momenta along X and Y; cells have the side `width`. Waves
    leave through the boundary; `mirrored` makes mirrors of the low ends of X and Y, so that a
    quarter tells of a whole that is symmetric to both axes. Raises MglibError for other shapes,
    depths that are not above 0, times out of order and a result that is not finite.
    """
    if states.ndim != 4 or states.shape[3] != 3:
        raise MglibError(f"states are [N, X, Y, 3], not {states.shape}")
    if not (states[..., 0] > 0).all():
        raise MglibError("every depth must be above 0")
    if (np.diff([0.0, *times]) < 0).any():
        raise MglibError(f"times must be from 0 and not decrease, not {list(times)}")
    found = np.empty((len(states), len(times), *states.shape[1:]))
    for start in range(0, len(states), BLOCK):
        block = states[start : start + BLOCK]
        current = np.ascontiguousarray(np.moveaxis(block, -1, 0), dtype=np.float64)
        now = np.zeros((len(block), 1, 1))  # each sample has its own steps, whoever is beside it
        for place, time in enumerate(times):
            while (now < time).any():
                longest = _longest(current, width)
                step = np.minimum(longest, time - now)
                middle = current + step * slope(current, width, mirrored)
                current = 0.5 * (current + middle + step * slope(middle, width, mirrored))
                now = np.where(step < longest, time, now + step)
            found[start : start + BLOCK, place] = np.moveaxis(current, 0, -1)
        advance(len(block) / len(states))
    if not np.isfinite(found).all():
        raise MglibError("the solution is not finite")
    return found


def dam_break(radii: np.ndarray, cells: int, half_side: float = 2.5) -> np.ndarray:
    """Quarters [N, cells, cells, 3] at rest: depth 2 inside a radius [N] about the corner, else 1.

    The corner is the low end of both axes and the middle of the whole; a cell counts by its centre.
    """
    centres = half_side * (np.arange(cells) + 0.5) / cells
    distance = np.hypot(centres[:, None], centres[None, :])
    states = np.zeros((len(radii), cells, cells, 3))
    states[..., 0] = np.where(distance <= np.asarray(radii)[:, None, None], 2.0, 1.0)
    return states


def whole(quarters: np.ndarray) -> np.ndarray:
    """Symmetric wholes [..., 2 X, 2 Y, 3] of quarters [..., X, Y, 3], momenta mirrored."""
    found = quarters
    for axis, momentum in ((-3, 1), (-2, 2)):
        mirror = np.flip(found, axis=axis).copy()
        mirror[..., momentum] *= -1
        found = np.concatenate([mirror, found], axis=axis)
    return found
