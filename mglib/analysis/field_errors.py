"""Errors of predicted fields relative to the true ones: two nRMSE and the mean relative L2.

The two definitions of nRMSE differ where samples have several channels or frames, and so must not
be compared: PDEBench's (arXiv 2210.07182) norms each of them by itself.
"""

from __future__ import annotations

import numpy as np

from mglib.errors import MglibError


def _pair(predicted: np.ndarray, truth: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64; raises MglibError for shapes that differ or have too few axes."""
    if predicted.shape != truth.shape or truth.ndim < rank or truth.size == 0:
        raise MglibError(
            f"predicted {predicted.shape} and true {truth.shape} must be of one shape with at "
            f"least {rank} axes"
        )
    return predicted.astype(np.float64), truth.astype(np.float64)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below by sample (first axis); raises MglibError where the truth is all zero."""
    if not (below > 0).all():
        sample = int(np.argwhere(~(below > 0))[0][0])
        raise MglibError(f"the truth of sample {sample} is zero throughout: no relative error")
    return above / below


def relative_l2(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """|predicted - truth| / |truth| of each sample [N], values [N, ...] flattened.

    Raises MglibError for shapes that differ and for a sample whose truth is zero.
    """
    own, true = _pair(predicted, truth, 2)
    flat = (len(true), -1)
    norms = [np.linalg.norm(part.reshape(flat), axis=1) for part in (own - true, true)]
    return _ratio(*norms)


def mean_relative_l2(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean over samples of the relative L2 error: the metric of Darcy flow in NAS-Bench-360.

    Values [N, ...] as decoded, not normalised; raises MglibError as `relative_l2`.
    """
    return float(relative_l2(predicted, truth).mean())


def nrmse(predicted: np.ndarray, truth: np.ndarray, chunk: int | None = None) -> float:
    """nRMSE as ORCA and its successors report it: a mean over samples, space and channels as one.

    A ratio of root mean squares is one of norms, so without `chunk` it equals `mean_relative_l2`.
    `chunk` averages the means of so many samples each, as their evaluation does: if the last chunk
    is smaller, its samples weigh more. Raises MglibError as `relative_l2`, and for a chunk below 1.
    """
    errors = relative_l2(predicted, truth)
    if chunk is None:
        return float(errors.mean())
    if chunk < 1:
        raise MglibError(f"chunk must be at least 1, not {chunk}")
    parts = [errors[start : start + chunk].mean() for start in range(0, len(errors), chunk)]
    return float(np.mean(parts))


def pdebench_nrmse(predicted: np.ndarray, truth: np.ndarray, initial_frames: int = 0) -> float:
    """PDEBench's nRMSE of values [N, T, space..., channels], without the first frames.

    The root mean square over space of each sample, frame and channel, relative to that of the
    truth; averaged over samples, then over frames and channels. `initial_frames` are those that a
    model was given (PDEBench once counted them, its issue 41). Raises MglibError for shapes that
    differ, no frame left, and a truth that is zero in all of a frame's space.
    """
    own, true = _pair(predicted, truth, 4)
    if not 0 <= initial_frames < true.shape[1]:
        raise MglibError(f"initial_frames must be from 0 to {true.shape[1] - 1}")
    own, true = own[:, initial_frames:], true[:, initial_frames:]
    space = tuple(range(2, true.ndim - 1))
    sizes = [np.sqrt(np.mean(np.square(part), axis=space)) for part in (own - true, true)]
    return float(_ratio(*sizes).mean(axis=0).mean())
