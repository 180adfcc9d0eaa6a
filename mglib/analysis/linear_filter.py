"""The best linear map of fields that treats every place alike: one matrix for each frequency.

Ours, in closed form: what of a field is a filtered input needs no network, and what a network does
not learn of it is the network's fault, not the target's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mglib.errors import MglibError

PENALTIES = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)  # shares of the inputs' mean power over frequencies
BORDERS = ("periodic", "mirrored")


def _spectrum(fields: np.ndarray, border: str) -> np.ndarray:
    """Fields [N, C, *size] -> their Fourier coefficients [N, C, *frequencies], each axis extended.

    "mirrored" puts the reflected field behind the field, so that no jump stands at the border.
    """
    axes = tuple(range(2, fields.ndim))
    if border == "mirrored":
        for axis in axes:
            fields = np.concatenate([fields, np.flip(fields, axis)], axis)
    return np.asarray(np.fft.rfftn(fields, axes=axes))


@dataclass(frozen=True)
class LinearFilter:
    """A fitted map: weights [*frequencies, C_in, C_out], and the means that it goes between."""

    weights: np.ndarray
    centre: np.ndarray
    answer_centre: np.ndarray
    border: str

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs [N, C_in, *size] -> answers [N, C_out, *size]."""
        size = inputs.shape[2:]
        spectrum = np.moveaxis(_spectrum(inputs - self.centre, self.border), 1, -1)
        found = np.moveaxis(np.einsum("n...i,...io->n...o", spectrum, self.weights), -1, 1)
        whole = tuple(2 * n if self.border == "mirrored" else n for n in size)
        axes = tuple(range(2, inputs.ndim))
        values = np.fft.irfftn(found, s=whole, axes=axes)
        for axis, own in zip(axes, size, strict=True):
            values = np.take(values, np.arange(own), axis)
        return np.asarray(values + self.answer_centre)


def fit_filter(
    inputs: np.ndarray, answers: np.ndarray, penalty: float, border: str = "periodic"
) -> LinearFilter:
    """Ridge regression at each frequency of answers [N, C_out, *size] on inputs [N, C_in, *size].

    Both less their mean over instances at each place. `penalty` is a share of the inputs' power per
    channel, averaged over frequencies, so that those which the inputs lack are left out. A
    "periodic" field goes on at its other side, a "mirrored" one is reflected at its border. Raises
    MglibError for fields of different sizes, an unknown border, a penalty that is not positive, or
    one instance alone.
    """
    if inputs.shape[2:] != answers.shape[2:] or len(inputs) != len(answers) or inputs.ndim < 3:
        raise MglibError(
            f"a filter goes between fields of one size, not {inputs.shape} and {answers.shape}"
        )
    if border not in BORDERS or not penalty > 0 or len(inputs) < 2:
        raise MglibError(
            f"a filter needs a border of {BORDERS}, a penalty above 0 and two instances, not "
            f"'{border}', {penalty} and {len(inputs)}"
        )
    centre, answer_centre = inputs.mean(0, keepdims=True), answers.mean(0, keepdims=True)
    seen = np.moveaxis(_spectrum(inputs - centre, border), 1, -1)
    wanted = np.moveaxis(_spectrum(answers - answer_centre, border), 1, -1)
    gram = np.einsum("n...i,n...j->...ij", seen.conj(), seen)
    cross = np.einsum("n...i,n...o->...io", seen.conj(), wanted)
    power = float(np.einsum("...ii->...", gram).real.mean()) / seen.shape[-1]
    ridge = penalty * max(power, np.finfo(np.float64).tiny) * np.eye(seen.shape[-1])
    return LinearFilter(np.linalg.solve(gram + ridge, cross), centre, answer_centre, border)
