"""300 random media of two values and the steady flow through them (FNO's and NAS-Bench-360's)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mglib.data._base import Advance
from mglib.data._fields import darcy
from mglib.data._fields._dataset import MediumDataset
from mglib.data._fields.trajectories import MEDIUM, Trajectories
from mglib.errors import MglibError
from mglib.registry import datasets

NODES = 169
EVERY = 2
MATLAB = "a MATLAB 5 file with 'coeff' and 'sol' [n, 421, 421]"


@datasets.register("darcy_flow")
class DarcyFlow(MediumDataset):
    """2-D Darcy flow with source 1: the medium (12 or 3) to the steady pressure on 85 x 85 nodes.

    FNO's files are solved on 421 x 421 nodes, of which NAS-Bench-360 keeps every fifth; these on
    169 x 169, of which every second is kept: 0.1 to 0.3 % from those of three times as many. The
    published media are interpolated from cells to nodes, these are drawn on the nodes.
    """

    version = "1"
    title = "Darcy flow in two dimensions (FNO's law as in NAS-Bench-360, own solver)"
    sources = (
        "Li et al., Fourier neural operator (ICLR 2021, arXiv 2010.08895): equation and media",
        "Tu et al., NAS-Bench-360 (NeurIPS 2022, arXiv 2110.05668): resolution",
    )
    stride = 5
    test_first = False

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], stride: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same two sides from FNO's `piececonst_r421_N1024_smooth1.mat` (None: every fifth).

        NAS-Bench-360 trains on the first 1,000 of that file and tests on the first 100 of
        `smooth2`. Raises MglibError for a file that is missing or no such file.
        """
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        place, every = Path(path), slice(None, None, cls.stride if stride is None else stride)
        if not place.is_file():
            raise MglibError(f"no file '{place}'; allowed is {MATLAB}")
        try:
            found = loadmat(place, variable_names=["coeff", "sol"])
            sides = [np.asarray(found[name]) for name in ("coeff", "sol")]
        except (MatReadError, NotImplementedError, ValueError, KeyError) as error:
            raise MglibError(f"'{place}' is not {MATLAB} ({error})") from error
        if sides[0].ndim != 3 or sides[0].shape != sides[1].shape:
            raise MglibError(f"'{place}' holds {sides[0].shape} and {sides[1].shape}, not {MATLAB}")
        own = [np.ascontiguousarray(side[:, every, every, None], np.float32) for side in sides]
        return own[0], own[1]

    def trajectories(
        self, samples: int, seed: int, advance: Advance = lambda share: None
    ) -> Trajectories:
        """Pressure [N, 1, 85, 85, 1] and, among the parameters, the media [N, 85, 85]."""
        media = darcy.gaussian_media(samples, NODES, seed)
        flows = darcy.solve_nodes(media, advance=advance)
        points = np.linspace(0, 1, NODES)[::EVERY]
        return Trajectories(
            flows[:, None, ::EVERY, ::EVERY, None],
            {"t": np.zeros(1), "x": points, "y": points},
            {"beta": 1.0, MEDIUM: media[:, ::EVERY, ::EVERY]},
        )
