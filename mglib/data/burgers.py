"""500 random states and what the viscous Burgers equation makes of them by time 2."""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance
from mglib.data._fields import burgers
from mglib.data._fields._dataset import INPUT, FieldDataset
from mglib.data._fields.initial import centres, draw_waves
from mglib.data._fields.trajectories import Trajectories
from mglib.registry import datasets

POINTS = 256
NU = 1.0  # as the file is labelled; the viscosity is NU / pi


@datasets.register("burgers")
class Burgers(FieldDataset):
    """1-D Burgers equation with viscosity 1 / pi: the state at time 0 to the one at time 2.

    So viscous that by time 2 all waves are gone to 1e-10: the output is the mean of the input, in
    PDEBench's file `1D_Burgers_Sols_Nu1.0.hdf5` as here. ORCA takes all of its 1024 points.
    """

    version = "1"
    title = "Viscous Burgers equation in one dimension (PDEBench's law, own spectral solver)"
    kinds = {INPUT: "series"}
    end = 2.0

    def trajectories(
        self, samples: int, seed: int, advance: Advance = lambda share: None
    ) -> Trajectories:
        """Values [N, 2, 256, 1] at times 0 and 2 in the centres of cells of [0, 1]."""
        points, times = centres(POINTS), np.array([0.0, self.end])
        states = draw_waves(samples, seed).at(points)
        steps = burgers.graded_steps(self.end)
        values = burgers.solve(states, NU / np.pi, steps, times, advance=advance)
        return Trajectories(values[..., None], {"t": times, "x": points}, {"Nu": NU})
