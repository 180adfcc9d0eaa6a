"""500 random states and what linear advection makes of them by time 2, exactly."""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance
from mglib.data._fields import advection
from mglib.data._fields._dataset import INPUT, FieldDataset
from mglib.data._fields.initial import centres, draw_waves
from mglib.data._fields.trajectories import Trajectories
from mglib.registry import datasets

POINTS = 256
BETA = 0.4


@datasets.register("advection")
class Advection(FieldDataset):
    """1-D linear advection with speed 0.4: the state at time 0 to the one at time 2.

    Exact, so that jumps stay jumps; PDEBench's file `1D_Advection_Sols_beta0.4.hdf5` comes from an
    upwind scheme, which smears them.
    """

    version = "1"
    title = "Linear advection in one dimension (PDEBench's law, solved exactly)"
    kinds = {INPUT: "series"}
    end = 2.0
    stride = 4

    def trajectories(
        self, samples: int, seed: int, advance: Advance = lambda share: None
    ) -> Trajectories:
        """Values [N, 2, 256, 1] at times 0 and 2 in the centres of cells of [0, 1]."""
        points, times = centres(POINTS), np.array([0.0, self.end])
        values = advection.solve(draw_waves(samples, seed).at, points, times, BETA)
        advance(1.0)
        return Trajectories(values[..., None], {"t": times, "x": points}, {"beta": BETA})
