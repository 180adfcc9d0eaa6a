"""The best linear filter of fields: known filters are found, and it is least squares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from mglib.analysis.linear_filter import fit_filter
from mglib.errors import MglibError
from mglib.transfer.body import TargetShape
from mglib.transfer.results.linear_filters import (
    filter_errors,
    filter_gaps,
    filter_rows,
    filtered,
)
from mglib.transfer.target import Target, Units


def noise(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape)


def test_a_shift_and_a_blur_are_found_exactly():
    x = noise(40, 1, 12, 10)
    y = 3 + 0.5 * np.roll(x, 3, axis=2) - 2 * np.roll(x, -1, axis=3)
    fitted = fit_filter(x[:30], y[:30], 1e-10)
    assert np.allclose(fitted.predict(x[30:]), y[30:], atol=1e-6)


def test_channels_are_mixed():
    x = noise(50, 2, 16)
    y = np.stack([np.roll(x[:, 0], 1, -1) - x[:, 1], np.roll(x[:, 1], 5, -1)], 1)
    fitted = fit_filter(x[:40], y[:40], 1e-10)
    assert np.allclose(fitted.predict(x[40:]), y[40:], atol=1e-6)


def test_borders_that_reflect():
    """Diffusion between closed walls: every cosine loses a share of its own."""
    from scipy.fft import dctn, idctn

    x = noise(60, 1, 15, 8)
    decay = np.exp(-0.02 * (np.arange(15)[:, None] ** 2 + np.arange(8)[None] ** 2))
    axes = (2, 3)
    y = idctn(dctn(x, axes=axes, norm="ortho") * decay, axes=axes, norm="ortho")
    for border, right in (("mirrored", True), ("periodic", False)):
        fitted = fit_filter(x[:50], y[:50], 1e-10, border)
        assert np.allclose(fitted.predict(x[50:]), y[50:], atol=1e-6) == right


def test_it_is_ridge_regression_on_all_shifts():
    """The same written out: one row for each place, one column for each shift of the input."""
    size, penalty = 6, 0.3
    x, y = noise(9, 1, size), noise(9, 1, size, seed=1)
    fitted = fit_filter(x, y, penalty)
    centred, wanted = x - x.mean(0), y - y.mean(0)
    rows = np.stack([np.roll(centred[:, 0], shift, axis=1) for shift in range(size)], -1)
    rows = rows.reshape(-1, size)
    # the power of a frequency is the sum over instances of |coefficient|^2, which is `size` times
    # what the same penalty weighs beside sums over places
    power = (np.abs(np.fft.rfft(centred[:, 0])) ** 2).sum(0).mean()
    kernel = np.linalg.solve(
        rows.T @ rows + penalty * power * np.eye(size), rows.T @ wanted.reshape(-1)
    )
    assert np.allclose(fitted.predict(x)[:, 0] - y.mean(0), (rows @ kernel).reshape(9, size))


def test_a_great_penalty_says_the_mean():
    x, y = noise(20, 1, 8), 5 + noise(20, 1, 8, seed=1)
    assert np.allclose(fit_filter(x, y, 1e12).predict(x), y.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "more"),
    [
        (noise(5, 1, 8), noise(5, 1, 9), {}),
        (noise(5, 1, 8), noise(4, 1, 8), {}),
        (noise(1, 1, 8), noise(1, 1, 8), {}),
        (noise(5, 1, 8), noise(5, 1, 8), {"penalty": 0.0}),
        (noise(5, 1, 8), noise(5, 1, 8), {"border": "open"}),
    ],
)
def test_what_cannot_be_fitted_is_refused(x, y, more):
    with pytest.raises(MglibError, match="a filter "):
        fit_filter(x, y, **{"penalty": 1e-3, **more})


def test_the_filter_is_chosen_by_validation_and_read_on_the_test_part():
    x = noise(80, 1, 10, 10).astype(np.float32)
    y = (2 + np.roll(x, 1, axis=2) + 0.3 * noise(80, 1, 10, 10, seed=1)).astype(np.float32)
    parts = {"train": np.arange(60), "validation": np.arange(60, 70), "test": np.arange(70, 80)}
    one, nothing = torch.ones(1), torch.zeros(1)
    target = Target(
        torch.from_numpy(x),
        torch.from_numpy(y),
        Units(nothing, one, nothing, one),
        parts,
        np.arange(80),
        TargetShape(1, (10, 10), output=(1, 10, 10)),
    )
    found = filtered(target)
    noise_share = np.sqrt(0.09 / (4 + 1 + 0.09))
    assert found["mirrored"] == 0 and found["test"] == pytest.approx(noise_share, rel=0.15)
    poisoned = Target(**{**vars(target), "answers": target.answers.clone()})
    poisoned.answers[70:] *= -1
    other = filtered(poisoned)
    read = {"test", "mean"}  # what the test part decides
    assert {k: other[k] for k in other.keys() - read} == {k: found[k] for k in found.keys() - read}
    constant = np.linalg.norm((y[:60].mean(0) - y[70:]).reshape(10, -1), axis=1)
    constant = (constant / np.linalg.norm(y[70:].reshape(10, -1), axis=1)).mean()
    assert found["mean"] == pytest.approx(constant, rel=1e-5)
    assert other["test"] > found["test"]


def test_rows_of_targets(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    names = ["advection", "smartwatch"]
    rows = filter_rows("filters", names, [0], profile="quick")
    found = filter_errors(rows, names)
    assert list(found.index) == ["advection"], "classes have no filter"
    assert found["advection"] < 1e-3, "advection is a shift, a filter says it exactly"
    assert filter_errors(rows, names, "mean")["advection"] == pytest.approx(1, abs=0.1)
    monkeypatch.setenv("MGLIB_TRAIN", "never")
    assert filter_rows("filters", names, [0], profile="quick").equals(rows), "all has its rows"


def test_gaps_to_the_filter_are_over_the_splits_of_the_method():
    place = {"dataset": "advection", "perceptor": "raw", "modality": "input", "metric": "test"}
    rows = pa.Table.from_pylist([{**place, "split_seed": s, "value": s / 10} for s in (0, 1, 2)])
    runs = [("advection", "mona", s, 0.3) for s in (0, 2)] + [("smartwatch", "mona", 0, 1.0)]
    values = pd.DataFrame(runs, columns=["target", "method", "split_seed", "own"])
    values["target"] = pd.Categorical(values["target"], ["smartwatch", "advection"])
    gaps = filter_gaps(rows, values)
    assert gaps.to_dict() == {("advection", "mona"): pytest.approx((0.3 + 0.1) / 2)}
