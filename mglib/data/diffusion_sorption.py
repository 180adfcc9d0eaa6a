"""500 even states and what diffusion with sorption from one side makes of them by time 500."""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance
from mglib.data._fields import diffusion_sorption
from mglib.data._fields._dataset import INPUT, FieldDataset
from mglib.data._fields.initial import CELLS, centres
from mglib.data._fields.trajectories import Trajectories
from mglib.registry import datasets

POINTS = 256
HIGHEST = 0.2  # of the even states, which are uniform from 0


@datasets.register("diffusion_sorption")
class DiffusionSorption(FieldDataset):
    """1-D diffusion with sorption: the even state at time 0 to the state at time 500.

    One number decides a sample: its even first value, as issue 61 of PDEBench confirms for
    `1D_diff-sorp_NA_NA.h5`, of which ORCA takes all 1024 points. Solved on 1024 cells, since the
    boundary value lies half a cell outside; every fourth is kept.
    """

    version = "1"
    title = "Diffusion and sorption in one dimension (PDEBench's law, own stiff solver)"
    kinds = {INPUT: "series"}
    end = 500.0
    layout = "groups"
    test_first = False

    def trajectories(
        self, samples: int, seed: int, advance: Advance = lambda share: None
    ) -> Trajectories:
        """Values [N, 2, 256, 1] at times 0 and 500 in the centres of cells of [0, 1]."""
        levels = np.random.RandomState(seed).uniform(0, HIGHEST, samples)
        states = np.repeat(levels[:, None], CELLS, axis=1)
        last = diffusion_sorption.solve(states, [self.end], advance=advance)
        every = CELLS // POINTS
        values = np.concatenate([states[:, None], last], axis=1)[..., ::every, None]
        texts = [f"initial_value: {level!r}\n" for level in levels.tolist()]
        coordinates = {"t": np.array([0.0, self.end]), "x": centres(CELLS)[::every]}
        return Trajectories(values, coordinates, {"config": texts})
