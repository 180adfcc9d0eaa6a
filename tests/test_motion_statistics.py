"""Statistics of a window against closed forms, slow loops and independent implementations."""

from __future__ import annotations

import numpy as np
import pytest

from mglib.analysis.probes import probe
from mglib.data.smartwatch import Smartwatch
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import data_identity, load_features
from mglib.perceptors.frozen import ENCODERS, KEYED, Frozen
from mglib.perceptors.motion_statistics import (
    BANDS,
    FLOOR,
    LAGS,
    QUANTILES,
    MotionStatistics,
    band_powers,
)
from mglib.perceptors.prepare import prepare

PARTS = {
    "mean": 1,
    "deviation": 1,
    "quantiles": len(QUANTILES),
    "change": 1,
    "crossings": 1,
    "periods": len(LAGS),
    "bands": len(BANDS),
}
TIME = np.arange(100) / 100  # in windows


def encoded(series) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    """Of one window [steps, C]: the statistics by channel and name, and the correlations."""
    row = MotionStatistics().encode(np.asarray(series, dtype=np.float32)[None])[0]
    channels = np.asarray(series).shape[1]
    single, pairs = row[: 23 * channels].reshape(channels, 23), row[23 * channels :]
    edges = np.cumsum([0, *PARTS.values()])
    named = [
        {name: own[a:b] for name, a, b in zip(PARTS, edges[:-1], edges[1:], strict=True)}
        for own in single
    ]
    return named, pairs


@pytest.fixture(scope="module")
def random_series() -> np.ndarray:
    return (np.random.RandomState(0).randn(40, 100, 3) * [1, 10, 0.1]).astype(np.float32)


@pytest.mark.parametrize(
    ("cycles", "band"), [(1, 0), (2, 1), (4, 3), (5, 4), (6, 4), (7, 5), (14, 6), (24, 7), (40, 8)]
)
def test_a_sine_has_its_power_in_its_band(cycles, band):
    sine = 3 * np.sin(2 * np.pi * cycles * TIME)
    (own,), _ = encoded(sine[:, None])
    expected = np.zeros(len(BANDS))
    expected[band] = np.log1p(3**2 / 2 / FLOOR)
    np.testing.assert_allclose(own["bands"], expected, atol=1e-4)
    assert own["mean"][0] == pytest.approx(0, abs=1e-6)
    assert own["deviation"][0] == pytest.approx(3 / 2**0.5, rel=1e-6)


def test_a_slow_sine_changes_sign_and_repeats_as_it_should():
    wave = np.sin(2 * np.pi * 5 * (TIME + 1e-3))  # period: 20 steps
    (own,), _ = encoded(wave[:, None])
    assert own["crossings"][0] == pytest.approx(9 / 99)
    # half a period, a whole and a quarter later; what leaves the window adds 1 / 100 sin(pi / 10)
    lag, edge = dict(zip(LAGS, own["periods"], strict=True)), 0.033
    assert lag[0.1] == pytest.approx(-0.9, abs=edge) and lag[0.2] == pytest.approx(0.8, abs=edge)
    assert lag[0.05] == pytest.approx(0, abs=edge)
    # the steepest step climbs 2 sin(pi / 20); its mean size over a period is 2 / pi of that
    assert own["change"][0] == pytest.approx(4 / np.pi * np.sin(np.pi / 20), rel=0.02)


def test_a_ramp_by_hand():
    (own,), _ = encoded(np.arange(100.0)[:, None])
    assert own["mean"][0] == 49.5 and own["change"][0] == 1
    assert own["deviation"][0] == pytest.approx(((100**2 - 1) / 12) ** 0.5)
    np.testing.assert_allclose(own["quantiles"], np.multiply(QUANTILES, 99), rtol=1e-6)
    assert own["crossings"][0] == pytest.approx(1 / 99)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1e-30, 3e7])
def test_constants_are_zero_but_for_their_place(value):
    named, pairs = encoded(np.full((100, 3), value))
    for own in named:
        np.testing.assert_allclose(own.pop("mean"), value, rtol=1e-6)
        np.testing.assert_allclose(own.pop("quantiles"), value, rtol=1e-6)
        assert all((part == 0).all() for part in own.values())
    assert (pairs == 0).all()


def test_one_still_channel_beside_a_moving_one():
    series = np.stack([np.full(100, 0.1), np.sin(9 * TIME), -2 * np.sin(9 * TIME) + 5], axis=1)
    named, pairs = encoded(series)
    np.testing.assert_allclose(pairs, [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(named[1]["periods"], named[2]["periods"], rtol=1e-4)


def test_against_independent_implementations(random_series):
    from scipy.signal import periodogram
    from scipy.stats import pearsonr

    rows = MotionStatistics().encode(random_series)
    assert rows.shape == (40, MotionStatistics.width) and rows.dtype == np.float32
    for window, row in zip(random_series.astype(float), rows, strict=True):
        expected = []
        for channel in window.T:
            frequencies, power = periodogram(channel, fs=100, scaling="spectrum")
            last = [*BANDS[1:], 51]
            expected += [
                channel.mean(),
                channel.std(),
                *np.percentile(channel, [5, 25, 50, 75, 95]),
            ]
            expected.append(
                sum(abs(b - a) for a, b in zip(channel, channel[1:], strict=False)) / 99
            )
            own = channel - channel.mean()
            signs = [value >= 0 for value in own]
            expected.append(sum(a != b for a, b in zip(signs, signs[1:], strict=False)) / 99)
            full = np.correlate(own, own, "full")[99:]
            expected += [full[lag] / full[0] for lag in (5, 10, 20, 30, 40)]
            expected += [
                np.log1p(power[(frequencies > a - 0.5) & (frequencies < b - 0.5)].sum() / FLOOR)
                for a, b in zip(BANDS, last, strict=True)
            ]
        expected += [pearsonr(window[:, a], window[:, b])[0] for a, b in ((0, 1), (0, 2), (1, 2))]
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [50, 51, 100, 101])
def test_bands_share_out_the_variance(steps):
    series = np.random.RandomState(1).randn(5, steps, 2)
    series -= series.mean(axis=1, keepdims=True)
    powers = band_powers(series)
    assert powers.shape == (5, len(BANDS), 2) and powers.min() > 0
    np.testing.assert_allclose(powers.sum(axis=1), series.var(axis=1), rtol=1e-10)


def test_a_window_has_its_features_alone_and_in_company(random_series):
    whole = MotionStatistics().encode(random_series)
    alone = np.concatenate([MotionStatistics().encode(window[None]) for window in random_series])
    assert np.array_equal(whole, alone)
    shares: list[float] = []
    MotionStatistics().encode(random_series, None, shares.append)
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(
    ("series", "said"),
    [
        (np.zeros((2, 100, 3)), "float32 .N, steps, channels., not float64 .2, 100, 3."),
        (np.zeros((100, 3), np.float32), "not float32 .100, 3."),
        (np.zeros((2, 49, 3), np.float32), "49 steps, fewer than 50"),
        (np.array([0, 0, np.nan], np.float32)[:, None, None].repeat(60, 1), "series 2 holds"),
    ],
)
def test_what_is_no_series_is_refused(series, said):
    with pytest.raises(MglibError, match=said):
        MotionStatistics().encode(series)


def test_frozen_sees_series_through_it_and_other_keys_stay():
    prepare("smartwatch", ("raw", "frozen"), ["accelerometer"])
    frozen = load_features("smartwatch", "frozen", "accelerometer")
    series = load_features("smartwatch", "raw", "accelerometer").values
    assert np.array_equal(frozen.values, MotionStatistics().encode(series))
    assert np.isfinite(frozen.values).all() and frozen.values.std(axis=0).min() > 0
    assert ENCODERS["series"] is MotionStatistics
    assert data_identity("smartwatch", "frozen")["versions"]["perceptors"].keys() == {
        "raw",
        "frozen",
        "motion_statistics",
        "efficientnet_lite0",
    }
    for dataset in ("emoji_concepts", "smartwatch"):
        identity = data_identity(dataset, "frozen")
        named = identity["versions"]["perceptors"].keys() | identity["parameters"]["frozen"].keys()
        assert {ENCODERS[kind].name for kind in ENCODERS if kind not in KEYED} & named == (
            {"motion_statistics"} if dataset == "smartwatch" else set()
        )
    assert Frozen().parameters() == {
        "image": "efficientnet_lite0",
        "audio": "speech_embedding",
        "text": "universal_sentence_encoder",
    }


@pytest.mark.parametrize(("sensor", "least"), [("accelerometer", 0.65), ("gyroscope", 0.5)])
def test_exercises_of_new_subjects_are_recognised(sensor, least):
    prepare("smartwatch", ("frozen",), Smartwatch.core[:2])
    features = load_features("smartwatch", "frozen", sensor)
    scores = [
        probe(features.values, features.targets["class"], split_indices(features.groups, seed))[0]
        for seed in range(3)
    ]
    assert np.mean(scores) > least  # the most frequent class: .17
