"""Joint laws of digits and a label with exact ceilings: what perfectly readable items would give.

Arrays [10, ..., 10, K] as in `joint`, with every digit uniform by itself.
"""

from __future__ import annotations

from math import erf, sqrt

import numpy as np

from mglib.errors import MglibError, unknown

DIGITS = 10
HALVES = ("even", "up")
WIDEST = 100.0  # a standard deviation: the shift has long been uniform there
MOST = 5  # modalities of a table of 10^M K cells


def shift_law(sigma: float) -> np.ndarray:
    """The law [10], modulo 10, of a Normal(0, sigma) rounded to the nearest whole number.

    `sigma` is the standard deviation, from 0 to 100; raises MglibError outside.
    """
    if not 0 <= sigma <= WIDEST:
        raise MglibError(f"sigma must be a number from 0 to {WIDEST:g}, not {sigma:g}")
    shifts = np.zeros(DIGITS)
    if sigma == 0:
        shifts[0] = 1.0
        return shifts
    reach = int(10 * sigma) + DIGITS
    for shift in range(-reach, reach + 1):
        ends = [erf((shift + side) / (sigma * sqrt(2))) for side in (-0.5, 0.5)]
        shifts[shift % DIGITS] += (ends[1] - ends[0]) / 2
    return shifts / shifts.sum()


def half_sum(first: np.ndarray, second: np.ndarray, halves: str = "even") -> np.ndarray:
    """round((first + second) / 2), halves to the even number or up; whole numbers of any shape.

    Raises MglibError for another word than "even" or "up".
    """
    if halves not in HALVES:
        raise unknown("rounding of halves", halves, HALVES)
    total = np.asarray(first) + np.asarray(second)
    if halves == "up":
        return (total + 1) // 2
    return np.rint(total / 2).astype(np.int64)


def labelled(digits: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The law [10, ..., 10, K] of a law of digits [10, ..., 10] and the label of each cell."""
    return digits[..., None] * (np.asarray(labels)[..., None] == np.arange(classes))


def _places(modalities: int) -> np.ndarray:
    """The digit of each modality in each cell: [M, 10, ..., 10]."""
    if not 1 <= modalities <= MOST:
        raise MglibError(f"a law of digits is tabled for 1 to {MOST} modalities, not {modalities}")
    return np.indices((DIGITS,) * modalities)


def two_digits(sigma: float, halves: str = "even") -> np.ndarray:
    """x uniform, y = (x + rounded Normal(0, sigma)) mod 10, label round((x + y) / 2).

    [10, 10, 10]. AAV-MNIST of UME-MMA's ancestor (section 5.2) with readable digits; `sigma` read
    as standard deviation and halves rounded to even are our reading. Raises MglibError for a sigma
    outside 0 to 100 or another word than "even" or "up".
    """
    first, second = _places(2)
    law = shift_law(sigma)[(second - first) % DIGITS] / DIGITS
    return labelled(law, half_sum(first, second, halves), DIGITS)


def xor(modalities: int = 2, classes: int = 2) -> np.ndarray:
    """Independent digits, label their sum modulo `classes`: without one of them nothing is known.

    [10, ..., 10, K]. With 2 classes the exclusive or of parities. Raises MglibError for less than
    2 or more than 5 modalities, or for classes that are neither 2 nor 10. Ours.
    """
    check_classes(classes)
    if modalities < 2:
        raise MglibError(f"an exclusive or is of 2 or more modalities, not of {modalities}")
    sums = _places(modalities).sum(axis=0)
    return labelled(np.full(sums.shape, 1 / sums.size), sums % classes, classes)


def check_classes(classes: int) -> None:
    """Raise MglibError unless sums of digits modulo `classes` are told apart as 2 or 10 classes."""
    if classes not in (2, DIGITS):
        raise MglibError(f"classes of a sum of digits must be 2 or {DIGITS}, not {classes}")


def same_digit(modalities: int) -> np.ndarray:
    """One uniform digit in all modalities, and the label: any one of them knows all.

    [10, ..., 10, 10]. Raises MglibError for less than 1 or more than 5 modalities. Ours.
    """
    places = _places(modalities)
    return labelled((places == places[0]).all(axis=0) / DIGITS, places[0], DIGITS)


def copy_law(synergy: float) -> np.ndarray:
    """The law [10], modulo 10, of a digit minus what it copies: drawn anew with chance `synergy`.

    Raises MglibError for a synergy outside 0 to 1.
    """
    if not 0 <= synergy <= 1:
        raise MglibError(f"synergy must be a number from 0 to 1, not {synergy:g}")
    return np.where(np.arange(DIGITS) == 0, 1 - synergy, 0.0) + synergy / DIGITS


def three_digits(synergy: float) -> np.ndarray:
    """Three noisy copies of one hidden digit, label their sum modulo 10: [10, 10, 10, 10].

    The hidden digit is uniform; each modality copies it, or with chance `synergy` has a digit drawn
    anew. At 0 all are equal and any one knows the label (3 d mod 10 differs for every digit d); at
    1 it takes all three. All three together always know it. Raises MglibError for a synergy outside
    0 to 1. Ours.
    """
    offsets = np.arange(DIGITS)
    copies = copy_law(synergy)[(offsets - offsets[:, None]) % DIGITS]  # [hidden, seen]
    digits = np.einsum("ha,hb,hc->abc", copies, copies, copies) / DIGITS
    return labelled(digits, _places(3).sum(axis=0) % DIGITS, DIGITS)
