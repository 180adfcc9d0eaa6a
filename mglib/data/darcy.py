"""300 random media of two values and the steady flow through them (PDEBench's kind)."""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance
from mglib.data._fields import darcy
from mglib.data._fields._dataset import MediumDataset
from mglib.data._fields.initial import centres
from mglib.data._fields.trajectories import MEDIUM, Trajectories
from mglib.registry import datasets

CELLS = 128
EVERY = 2
BETA = 0.1


@datasets.register("darcy")
class Darcy(MediumDataset):
    """2-D Darcy flow with source 0.1: the medium (1 or 0.1) to the steady pressure.

    Steady, while PDEBench's `2D_DarcyFlow_beta0.1_Train.hdf5` holds the state at about time 2 of
    the unsteady equation, lower by 0.2 % on average and by 3 % where the medium is mostly 0.1.
    Solved on the published 128 x 128 cells; every second is kept, as ORCA does.
    """

    version = "1"
    title = "Darcy flow in two dimensions (PDEBench's law, own steady solver)"
    stride = 2

    def trajectories(
        self, samples: int, seed: int, advance: Advance = lambda share: None
    ) -> Trajectories:
        """Pressure [N, 1, 64, 64, 1] and, among the parameters, the media [N, 64, 64]."""
        media = darcy.bump_media(samples, CELLS, seed)
        flows = darcy.solve_cells(media, BETA, advance=advance)
        points = centres(CELLS)[::EVERY]
        return Trajectories(
            flows[:, None, ::EVERY, ::EVERY, None],
            {"t": np.zeros(1), "x": points, "y": points},
            {"beta": BETA, MEDIUM: media[:, ::EVERY, ::EVERY]},
        )
