"""Errors of fields by hand, and where the definitions agree and differ."""

from __future__ import annotations

import numpy as np
import pytest

from mglib.analysis.field_errors import (
    mean_relative_l2,
    nrmse,
    pdebench_nrmse,
    relative_l2,
)
from mglib.errors import MglibError


def fields(*shape, seed=0):
    stream = np.random.RandomState(seed)
    return stream.standard_normal(shape), stream.standard_normal(shape)


def test_by_hand():
    truth = np.array([[[3.0], [4.0]], [[0.0], [2.0]]])
    predicted = truth + np.array([[[0.0], [1.0]], [[2.0], [0.0]]])
    assert relative_l2(predicted, truth) == pytest.approx([1 / 5, 1.0])
    assert nrmse(predicted, truth) == pytest.approx(0.6)
    assert mean_relative_l2(predicted, truth) == pytest.approx(0.6)


def test_orca_takes_space_and_channels_as_one():
    predicted, truth = fields(7, 5, 6, 2)
    expected = [
        np.sqrt(np.mean((a - b) ** 2)) / np.sqrt(np.mean(b**2))
        for a, b in zip(predicted, truth, strict=True)
    ]
    assert nrmse(predicted, truth) == pytest.approx(np.mean(expected))
    chunks = [np.mean(expected[:3]), np.mean(expected[3:6]), expected[6]]
    assert nrmse(predicted, truth, chunk=3) == pytest.approx(np.mean(chunks))
    assert nrmse(predicted, truth, chunk=7) == pytest.approx(np.mean(expected))
    with pytest.raises(MglibError, match="chunk must be at least 1"):
        nrmse(predicted, truth, chunk=0)


def test_pdebench_takes_every_channel_and_frame_by_itself():
    predicted, truth = fields(4, 3, 5, 6, 2)
    total = 0.0
    for frame in (1, 2):
        for channel in range(2):
            for sample in range(4):
                a, b = (v[sample, frame, ..., channel] for v in (predicted, truth))
                total += np.sqrt(np.mean((a - b) ** 2)) / np.sqrt(np.mean(b**2))
    assert pdebench_nrmse(predicted, truth, initial_frames=1) == pytest.approx(total / 16)
    with pytest.raises(MglibError, match="from 0 to 2"):
        pdebench_nrmse(predicted, truth, initial_frames=3)


def test_both_agree_on_one_frame_of_one_channel_and_differ_on_two():
    predicted, truth = fields(6, 1, 9, 9, 1)
    assert pdebench_nrmse(predicted, truth) == pytest.approx(nrmse(predicted, truth))
    loud = np.array([100.0, 1.0])
    predicted, truth = fields(6, 1, 9, 9, 2)
    wrong = truth * loud + np.array([0.0, 5.0])
    assert nrmse(wrong, truth * loud) < 0.1 < pdebench_nrmse(wrong, truth * loud)


def test_single_precision_is_not_the_limit():
    truth = np.full((1, 4, 1), 1e30, dtype=np.float32)
    assert relative_l2(2 * truth, truth) == pytest.approx([1.0])


def test_what_cannot_be_compared_is_refused():
    zero = np.zeros((2, 1, 3, 1))
    zero[0] = 1
    for measure in (relative_l2, nrmse, mean_relative_l2, pdebench_nrmse):
        with pytest.raises(MglibError, match="sample 1 is zero"):
            measure(zero + 1, zero)
        with pytest.raises(MglibError, match="one shape"):
            measure(zero, zero[:, :, :2])
    with pytest.raises(MglibError, match="at least 4 axes"):
        pdebench_nrmse(zero[0], zero[0])
