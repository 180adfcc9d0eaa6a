"""PDEBench's random one-dimensional initial states, as functions that any grid can evaluate.

Law: Takamoto et al., "PDEBench", NeurIPS 2022 (arXiv 2210.07182), scalar one-dimensional sets. The
random stream is ours: the published one cannot be had, so only distributions agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mglib.errors import MglibError

MODES = 4
DRAWN = 2  # modes drawn with replacement
RARE = 0.1  # probability of an absolute value, and of a window
EDGE = 0.01  # width of the window's flanks
# the published grid on [0, 1]: wave lengths are shares of the way from its first to its last centre
CELLS = 1024


@dataclass(frozen=True)
class Waves:
    """Random sums of four sines on [0, 1]; amplitudes, wave numbers and phases [N, 4].

    Then absolute values where `absolute` [N], `signs` [N], and where `windowed` [N] a window from
    `left` [N] to `right` [N] with tanh flanks. A mode that was not drawn has wave number 0 and so
    adds a constant; one drawn twice has twice its wave number.
    """

    amplitudes: np.ndarray
    wave_numbers: np.ndarray
    phases: np.ndarray
    absolute: np.ndarray
    signs: np.ndarray
    windowed: np.ndarray
    left: np.ndarray
    right: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """States float64 [N, X] at points [X], which are first brought into [0, 1)."""
        points = np.mod(points, 1.0)
        states = np.zeros((len(self.signs), len(points)))
        for mode in range(MODES):
            angle = self.wave_numbers[:, mode, None] * points + self.phases[:, mode, None]
            states += self.amplitudes[:, mode, None] * np.sin(angle)
        states = np.where(self.absolute[:, None], np.abs(states), states) * self.signs[:, None]
        flanks = [np.tanh((points - edge[:, None]) / EDGE) for edge in (self.left, self.right)]
        return np.where(self.windowed[:, None], states * 0.5 * (flanks[0] - flanks[1]), states)


def draw_waves(samples: int, seed: int) -> Waves:
    """`samples` random states under a seed; raises MglibError for fewer than one."""
    if samples < 1:
        raise MglibError(f"{samples} samples: at least 1 is needed")
    stream = np.random.RandomState(seed)
    drawn = stream.randint(MODES, size=(samples, DRAWN))
    counts = (drawn[:, :, None] == np.arange(MODES)).sum(axis=1)
    return Waves(
        amplitudes=stream.uniform(0, 1, (samples, MODES)),
        wave_numbers=2 * np.pi * np.arange(1, MODES + 1) * counts / (1 - 1 / CELLS),
        phases=2 * np.pi * stream.uniform(0, 1, (samples, MODES)),
        absolute=stream.uniform(0, 1, samples) < RARE,
        signs=stream.choice([-1.0, 1.0], samples),
        windowed=stream.uniform(0, 1, samples) < RARE,
        left=stream.uniform(0.1, 0.45, samples),
        right=stream.uniform(0.55, 0.9, samples),
    )


def centres(cells: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Centres [cells] of equal cells of an interval."""
    return low + (high - low) * (np.arange(cells) + 0.5) / cells


def rescaled(states: np.ndarray) -> np.ndarray:
    """States [N, X] brought to the range 0 to 1 each; raises MglibError for a constant one."""
    low, high = (bound(states, axis=1, keepdims=True) for bound in (np.min, np.max))
    if (high <= low).any():
        raise MglibError(f"state {int(np.argmin(high - low))} is constant: it has no range")
    return (states - low) / (high - low)
