"""Steady Darcy flow, -div(a grad u) = beta on the unit square, for two kinds of random media.

PDEBench: a is 1 on bumps and 0.1 elsewhere, values in cells. FNO (Li et al., arXiv 2010.08895), as
NAS-Bench-360 uses it: a is 12 or 3 by the sign of a Gaussian field, values on nodes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mglib.errors import MglibError

BUMPS = 5
LOW, HIGH = 0.1, 1.0  # PDEBench's media
GAUSSIAN_LOW, GAUSSIAN_HIGH = 3.0, 12.0  # of the published FNO data; its script shows 4 and 12
ALPHA, TAU = 2.0, 3.0
BLOCK = 8  # media solved together
WALL = ((0, 0), (1, 1), (1, 1))
TOLERANCE = 1e-8  # of the residual, in the norm of the preconditioner
ITERATIONS = 500
TINY = np.finfo(np.float64).tiny
BATCH = 100  # media drawn together: PDEBench's threshold is the mean over all of a batch


def bump_media(samples: int, cells: int, seed: int) -> np.ndarray:
    """PDEBench's media [N, cells, cells]: 1 where a sum of five bumps exceeds its mean, else 0.1.

    A bump is exp(-|x - m|^2 / s) with m uniform on the square and s on 0 to 0.5; the mean is that
    over all the samples of a batch.
    """
    stream = np.random.RandomState(seed)
    middles = stream.uniform(0, 1, (samples, BUMPS, 2))
    spreads = np.maximum(0.5 * stream.uniform(0, 1, (samples, BUMPS)), 1e-6)
    centres = (np.arange(cells) + 0.5) / cells
    # a bump is a product of one function of x and one of y
    along = np.exp(-((centres - middles[..., None]) ** 2) / spreads[..., None, None])
    total = np.einsum("nbx,nby->nxy", along[:, :, 0], along[:, :, 1])
    media = np.empty_like(total)
    for start in range(0, samples, BATCH):
        part = total[start : start + BATCH]
        media[start : start + BATCH] = np.where(part > part.mean(), HIGH, LOW)
    return media


def gaussian_fields(samples: int, nodes: int, seed: int) -> np.ndarray:
    """Fields [N, nodes, nodes] with covariance (-Laplacian + 9)^-2, Neumann, and zero mean.

    A sum of cosines by a discrete cosine transform at cell centres, as in FNO's generator; the
    constant mode is 0. Values are per centre and not interpolated to nodes.
    """
    from scipy.fft import idctn

    stream = np.random.RandomState(seed)
    squares = np.arange(nodes) ** 2
    decay = TAU ** (ALPHA - 1) * (np.pi**2 * (squares[:, None] + squares) + TAU**2) ** (-ALPHA / 2)
    modes = nodes * decay * stream.standard_normal((samples, nodes, nodes))
    modes[:, 0, 0] = 0.0
    return np.asarray(idctn(modes, axes=(1, 2), norm="ortho"))


def gaussian_media(samples: int, nodes: int, seed: int) -> np.ndarray:
    """FNO's media [N, nodes, nodes]: 12 where a Gaussian field is above 0, else 3."""
    fields = gaussian_fields(samples, nodes, seed)
    return np.where(fields > 0, GAUSSIAN_HIGH, GAUSSIAN_LOW)


def _flow(
    centre: np.ndarray,
    down: np.ndarray,
    across: np.ndarray,
    right: np.ndarray,
    tolerance: float,
) -> np.ndarray:
    """Solve the five-point equations of media [N, H, W] with zeros around them.

    centre [N, H, W] is the diagonal, down and across the conductances of the inner faces. Conjugate
    gradients, preconditioned by the Laplacian through sine transforms: their number hangs on the
    contrast of the media alone. Stops when every residual has fallen by `tolerance`.
    """
    from scipy.fft import dstn

    rows, columns = centre.shape[1:]
    eigenvalues = [
        4 * np.sin(np.pi * np.arange(1, n + 1) / (2 * n + 2)) ** 2 for n in (rows, columns)
    ]
    inverse = 1 / (4 * (rows + 1) * (columns + 1) * (eigenvalues[0][:, None] + eigenvalues[1]))

    def applied(field: np.ndarray) -> np.ndarray:
        found = centre * field
        found[:, 1:] -= down * field[:, :-1]
        found[:, :-1] -= down * field[:, 1:]
        found[:, :, 1:] -= across * field[:, :, :-1]
        found[:, :, :-1] -= across * field[:, :, 1:]
        return found

    def conditioned(field: np.ndarray) -> np.ndarray:
        modes = dstn(field, type=1, axes=(1, 2))
        modes *= inverse
        return np.asarray(dstn(modes, type=1, axes=(1, 2)))

    def product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.einsum("nij,nij->n", one, other)[:, None, None]

    found = np.zeros_like(centre)
    residual = np.broadcast_to(right, centre.shape).copy()
    better = conditioned(residual)
    direction, size = better, product(residual, better)
    goal = tolerance**2 * size
    for _ in range(ITERATIONS):
        if (size <= goal).all():
            return found
        image = applied(direction)
        # a sample that is solved exactly divides 0 by 0: it has nothing left to move
        pace = size / np.maximum(product(direction, image), TINY)
        found += pace * direction
        residual -= pace * image
        better = conditioned(residual)
        last, size = size, product(residual, better)
        direction = better + size / np.maximum(last, TINY) * direction
    raise MglibError(
        f"no solution to {tolerance:g} after {ITERATIONS} iterations: too much contrast"
    )


def _faces(media: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diagonal, and conductances down and across, of the places [N, H, W] inside a rim.

    media [N, H + 2, W + 2]; a face has the mean of its two sides.
    """
    down = 0.5 * (media[:, 1:, 1:-1] + media[:, :-1, 1:-1])
    across = 0.5 * (media[:, 1:-1, 1:] + media[:, 1:-1, :-1])
    centre = down[:, 1:] + down[:, :-1] + across[:, :, 1:] + across[:, :, :-1]
    return centre, down[:, 1:-1], across[:, :, 1:-1]


def _checked(media: np.ndarray) -> None:
    if media.ndim != 3 or min(media.shape[1:]) < 3 or not (media > 0).all():
        raise MglibError(f"media are positive [N, H, W] with 3 or more a side, not {media.shape}")


def solve_cells(
    media: np.ndarray,
    beta: float | np.ndarray,
    tolerance: float = TOLERANCE,
    advance: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """PDEBench's flow [N, H, H] in cells, zero in the centres of the cells around the square.

    media [N, H, H]; beta is a number or a source [H, H]. Its zero so lies half a cell outside the
    square. The published values are those at about time 2 of u_t = div(a grad u) + beta from rest,
    which is 0.2 % short of this steady state on average and 3 % where a is mostly 0.1. Raises
    MglibError for other shapes and media that are not positive.
    """
    _checked(media)
    width = 1 / media.shape[1]
    right = width**2 * np.broadcast_to(np.asarray(beta, dtype=np.float64), media.shape[1:])
    found = np.empty(media.shape)
    for start in range(0, len(media), BLOCK):
        block = media[start : start + BLOCK]
        # the face to a cell outside has the conductance of the cell inside
        found[start : start + BLOCK] = _flow(*_faces(np.pad(block, WALL, "edge")), right, tolerance)
        advance(len(block) / len(media))
    return found


def solve_nodes(
    media: np.ndarray,
    beta: float | np.ndarray = 1.0,
    tolerance: float = TOLERANCE,
    advance: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """FNO's flow [N, H, H] on nodes that include the boundary, where it is zero.

    media [N, H, H] on the same nodes; beta is a number or a source [H, H]. Raises MglibError for
    other shapes and media that are not positive.
    """
    _checked(media)
    width = 1 / (media.shape[1] - 1)
    right = width**2 * np.broadcast_to(np.asarray(beta, dtype=np.float64), media.shape[1:])
    found = np.zeros(media.shape)
    for start in range(0, len(media), BLOCK):
        block = media[start : start + BLOCK]
        flow = _flow(*_faces(block), right[1:-1, 1:-1], tolerance)
        found[start : start + BLOCK, 1:-1, 1:-1] = flow
        advance(len(block) / len(media))
    return found
