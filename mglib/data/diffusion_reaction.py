"""500 random states and what diffusion with logistic growth makes of them by time 0.29."""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance
from mglib.data._fields import diffusion_reaction
from mglib.data._fields._dataset import INPUT, FieldDataset
from mglib.data._fields.initial import CELLS, centres, draw_waves, rescaled
from mglib.data._fields.trajectories import Trajectories
from mglib.registry import datasets

POINTS = 256
NU = 0.5
RHO = 1.0


@datasets.register("diffusion_reaction")
class DiffusionReaction(FieldDataset):
    """1-D diffusion and logistic reaction: the state at time 0 to the one at time 0.29.

    The published file `ReacDiff_Nu0.5_Rho1.0.hdf5` is reported to relax towards about 0.5, as if
    the reaction were missing (issue 94 of PDEBench, open): outputs are not comparable with those
    here, which solve the equation as written. ORCA takes all of its 1024 points and its frame 29.
    """

    version = "1"
    title = "Diffusion and reaction in one dimension (PDEBench's law, own splitting solver)"
    kinds = {INPUT: "series"}
    end = 0.29

    def trajectories(
        self, samples: int, seed: int, advance: Advance = lambda share: None
    ) -> Trajectories:
        """Values [N, 2, 256, 1] at times 0 and 0.29: every fourth cell of the 1024 solved on."""
        points, times = centres(CELLS), np.array([0.0, self.end])
        states = rescaled(draw_waves(samples, seed).at(points))
        values = diffusion_reaction.solve(states, NU, RHO, times)[..., :: CELLS // POINTS, None]
        advance(1.0)
        coordinates = {"t": times, "x": points[:: CELLS // POINTS]}
        return Trajectories(values, coordinates, {"Nu": NU, "Rho": RHO})
