"""What numbers and labels a mask table takes."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from mglib.errors import MglibError


def whole(value: object, low: int, high: float = float("inf")) -> bool:
    """Whether a value is a whole number in low..high, and no bool."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return False
    return low <= int(value) <= high


def number(value: object, low: float, high: float) -> bool:
    """Whether a value is a number in low..high, and no bool."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return low <= float(value) <= high


def sound_labels(name: str, labels: np.ndarray | None, rows: int) -> np.ndarray:
    """Labels of a table's rows, if they are; MglibError if not."""
    if labels is None:
        raise MglibError(f"law '{name}' loses modalities by class: give the labels")
    found = np.asarray(labels)
    integers = np.issubdtype(found.dtype, np.integer)
    if found.shape != (rows,) or not integers or (found < 0).any():
        raise MglibError(
            f"labels for law '{name}' must be {rows} whole numbers from 0, not {found.dtype} "
            f"{list(found.shape)}"
        )
    return found
