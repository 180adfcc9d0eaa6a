"""300 noisy states of an activator and what FitzHugh-Nagumo makes of its inhibitor by time 5."""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance
from mglib.data._fields import diffusion_reaction_2d as equation
from mglib.data._fields._dataset import INPUT, FieldDataset
from mglib.data._fields.initial import centres
from mglib.data._fields.trajectories import Trajectories
from mglib.registry import datasets

CELLS = 64


@datasets.register("diffusion_reaction_2d")
class DiffusionReaction2D(FieldDataset):
    """2-D FitzHugh-Nagumo: the activator at time 0 to the inhibitor at time 5, ORCA's odd map.

    Both begin as unit noise by cell, so that half of what decides the output is not in the input.
    Noise by cell hangs on the grid: here of 64 x 64 cells, in PDEBench's `2D_diff-react_NA_NA.h5`
    of 128 x 128, whose noise so has half the amplitude at every length that both resolve.
    """

    version = "1"
    title = "Diffusion and reaction in two dimensions (PDEBench's law on 64 x 64, own solver)"
    kinds = {INPUT: "field"}
    samples = 300
    end = 5.0
    input_channel = 0
    output_channel = 1
    layout = "groups"
    test_first = False

    def trajectories(
        self, samples: int, seed: int, advance: Advance = lambda share: None
    ) -> Trajectories:
        """Values [N, 2, 64, 64, 2] of u and v at times 0 and 5 in cells of [-1, 1]^2."""
        states = np.random.RandomState(seed).standard_normal((samples, CELLS, CELLS, 2))
        times, points = np.array([0.0, self.end]), centres(CELLS, -1, 1)
        values = equation.solve(states, equation.graded_steps(self.end), times, advance)
        return Trajectories(values, {"t": times, "x": points, "y": points})
