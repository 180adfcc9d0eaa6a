"""What the error can be at best, from conditional entropies alone, for any number of modalities.

Entropies and informations are in nats, errors shares of wrong answers. h_S is H(Y|X_S) for the
observed subset S, e_S the Bayes error, m_S the Bayes mean squared error, and Gamma = h_S - h_T what
a wider subset T knows beyond S. For two modalities the ancestor of UME-MMA has weaker forms
(openreview gfHLOC35Zh, theorem 3.1); those for M modalities are ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mglib.errors import MglibError

ROUNDING = 1e-9  # nats by which sums of logarithms may miss their range
HALVINGS = 100
# Theorem 3.1's, for answers in [-1, 1]: wrong there, right for a range of length 1.
PUBLISHED_SQUARED_ERROR_CONSTANT = 0.5


def _within(values: ArrayLike, what: str, high: float) -> np.ndarray:
    """Values in [0, high], those that miss it by rounding set to its ends."""
    found = np.asarray(values, np.float64)
    outside = found[~((found >= -ROUNDING) & (found <= high + ROUNDING))]
    if outside.size:
        limit = f" to {high:.6g}" if np.isfinite(high) else ""
        raise MglibError(f"{what} must be from 0{limit}, not {outside.flat[0]:.6g}")
    return found.clip(0.0, high)


def _entropies(entropy: ArrayLike, classes: int) -> np.ndarray:
    if classes < 2:
        raise MglibError(f"an error is bounded for 2 or more classes, not for {classes}")
    return _within(entropy, f"an entropy of {classes} classes, in nats,", np.log(classes))


def _fano(error: np.ndarray, classes: int) -> np.ndarray:
    right = 1 - error
    wrong_class = error * np.log(np.where(error > 0, error, 1.0) / (classes - 1))
    return -(wrong_class + right * np.log(np.where(right > 0, right, 1.0)))


def binary_entropy(share: ArrayLike) -> np.ndarray:
    """H_b, the entropy in nats of an event, from its probability; raises MglibError outside [0, 1].

    Any shape, which is kept.
    """
    return _fano(_within(share, "a probability", 1.0), 2)


def fano(error: ArrayLike, classes: int) -> np.ndarray:
    """F_K: the largest H(Y|X) in nats that the Bayes error of K classes allows (Fano).

    Rises over its domain [0, 1 - 1/K] from 0 to ln K. Raises MglibError outside it.
    """
    _entropies(0.0, classes)
    return _fano(_within(error, f"a Bayes error of {classes} classes", 1 - 1 / classes), classes)


def fano_inverse(entropy: ArrayLike, classes: int) -> np.ndarray:
    """F_K^-1: the least Bayes error of K classes that H(Y|X) allows; attained by some law.

    By bisection in float64, never above the exact value; near ln K, where F_K is flat, within
    1e-8 of it. Raises MglibError for an entropy outside [0, ln K].
    """
    wanted = _entropies(entropy, classes)
    low, high = np.zeros_like(wanted), np.full_like(wanted, 1 - 1 / classes)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        under = _fano(middle, classes) <= wanted
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return low


def piecewise_ceiling(entropy: ArrayLike, classes: int) -> np.ndarray:
    """psi_K: the largest Bayes error of K classes that H(Y|X) allows; attained by some law.

    Linear between the points (ln k, 1 - 1/k), k = 1..K. Raises MglibError for an entropy outside
    [0, ln K]. Ours for missing modalities; the envelope itself is known.
    """
    counts = np.arange(1, classes + 1)
    return np.asarray(np.interp(_entropies(entropy, classes), np.log(counts), 1 - 1 / counts))


def exponential_ceiling(entropy: ArrayLike) -> np.ndarray:
    """1 - exp(-H(Y|X)), theorem 3.1's upper bound: equal to psi_K at ln k, above it between.

    Raises MglibError for an entropy below 0.
    """
    return -np.expm1(-_within(entropy, "an entropy, in nats,", np.inf))


def half_bits_ceiling(entropy: ArrayLike) -> np.ndarray:
    """H(Y|X) / (2 ln 2), half the entropy in bits (Hellman and Raviv): equal to psi_K up to ln 2.

    Raises MglibError for an entropy below 0.
    """
    return _within(entropy, "an entropy, in nats,", np.inf) / (2 * np.log(2))


def error_bounds(entropy: ArrayLike, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest Bayes error of K classes that h_S = H(Y|X_S) allows for a pattern S.

    No bound by h_S and K alone is tighter: some law attains each end. Any shape, which is kept.
    Raises MglibError for an entropy outside [0, ln K], which an estimate may be: clip it first.
    """
    return fano_inverse(entropy, classes), piecewise_ceiling(entropy, classes)


def error_cost(information: ArrayLike) -> np.ndarray:
    """The most by which e_S can exceed e_T for S within T: sqrt(Gamma / 2), of Gamma in nats.

    Raises MglibError for an information below 0. Ours, by Pinsker's inequality.
    """
    return np.sqrt(_within(information, "an information, in nats,", np.inf) / 2)


def squared_error_cost(information: ArrayLike, low: float, high: float) -> np.ndarray:
    """The most by which m_S can exceed m_T for S within T: (high - low)^2 / 2 * Gamma, in nats.

    Answers are in [low, high]. Raises MglibError for an empty range or an information below 0.
    Ours: it corrects theorem 3.1, whose constant is too small for answers in [-1, 1].
    """
    if not low < high:
        raise MglibError(f"the range of an answer goes up, not from {low:g} to {high:g}")
    return (high - low) ** 2 / 2 * _within(information, "an information, in nats,", np.inf)


def squared_error_cost_as_published(information: ArrayLike) -> np.ndarray:
    """Gamma / 2, as theorem 3.1 prints it for answers in [-1, 1]: wrong, where 2 Gamma holds.

    With X constant and Z = Y uniform on {-1, 1} the cost is 1, and Gamma / 2 is 0.347.
    """
    known = _within(information, "an information, in nats,", np.inf)
    return PUBLISHED_SQUARED_ERROR_CONSTANT * known
