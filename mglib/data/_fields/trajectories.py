"""Solutions of an equation over time, as solvers give them and files hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mglib.errors import MglibError

MEDIUM = "nu"  # PDEBench's name of Darcy's coefficient


@dataclass(frozen=True)
class Trajectories:
    """Solutions of one equation: values float32 [N, T, space..., channels] and what they are of.

    coordinates: "t" [T], "x" [X], and "y" [Y] where there is one. parameters: what the file says:
    numbers such as "beta"; for Darcy the medium "nu" [N, X, Y]; "config", the YAML text of each
    sample, where each is a group.
    """

    values: np.ndarray
    coordinates: dict[str, np.ndarray]
    parameters: dict[str, Any] = field(default_factory=dict)

    def frame(self, time: float) -> np.ndarray:
        """Values [N, space..., channels] at a time; MglibError if no frame is that of the time."""
        return self.values[:, frames_at(self.coordinates["t"], [time])[0]]


def frames_at(known: np.ndarray, times: Sequence[float]) -> list[int]:
    """Which of the known times [T] are these, up to a tenth of the shortest step.

    Raises MglibError for a time that is none of them.
    """
    known = np.asarray(known, dtype=np.float64)
    gap = float(np.diff(known).min()) if len(known) > 1 else 1.0
    found = []
    for time in times:
        near = int(np.argmin(np.abs(known - time)))
        if abs(known[near] - time) > 0.1 * gap:
            raise MglibError(
                f"no frame at time {time:g}: there are {len(known)} from {known[0]:g} to "
                f"{known[-1]:g}"
            )
        found.append(near)
    return found
