"""Centred kernel alignment: how alike two views of the same instances are."""

from __future__ import annotations

import numpy as np

from mglib.errors import MglibError


def _hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Unbiased HSIC of two Gram matrices [N, N] (Song et al. 2012, JMLR 13, eq. 5)."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    cross = k.sum(axis=0) @ m.sum(axis=0)
    whole = k.sum() * m.sum() / ((n - 1) * (n - 2))
    return float(((k * m).sum() + whole - 2 * cross / (n - 2)) / (n * (n - 3)))


def linear_cka(first: np.ndarray, second: np.ndarray, debiased: bool = True) -> float:
    """Linear centred kernel alignment of two views [N, D] and [N, E] of the same instances.

    1 for views that are equal up to rotation, scale and shift. Kornblith et al. (2019,
    arXiv 1905.00414, eq. 3); the plain form is far above 0 even for unrelated views when N is not
    much larger than D and E, so by default HSIC is estimated without bias (as in Nguyen et al.
    2021, arXiv 2010.15327), which unrelated views bring to 0 on average, possibly below. NaN for
    constant features. Raises MglibError for other shapes or for values that are not finite.
    """
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or len(first) < 4:
        raise MglibError(
            f"CKA needs [N, D] and [N, E] with at least 4 pairs, not {first.shape} and "
            f"{second.shape}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise MglibError("CKA needs finite features")
    x, y = (np.asarray(rows, dtype=np.float64) for rows in (first, second))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    k, m = x @ x.T, y @ y.T
    if debiased:
        both, own, other = _hsic(k, m), _hsic(k, k), _hsic(m, m)
    else:
        both, own, other = float((k * m).sum()), float((k * k).sum()), float((m * m).sum())
    return both / (own * other) ** 0.5 if own > 0 and other > 0 else float("nan")
