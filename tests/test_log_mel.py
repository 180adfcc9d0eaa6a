"""Spectrograms against the closed form of their bands, tones of known place, and a slow sum."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mglib.data.numerals import Numerals
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors.log_mel import (
    BANDS,
    FRAMES,
    LOUDEST,
    LOW,
    QUIETEST,
    LogMel,
    edges,
    filters,
    hertz,
    mel,
    spectrograms,
)

RATE = 16000
HOP = 160  # samples


def tone(frequency, start, stop, seconds=2.0, amplitude=0.1):
    """A sine from `start` to `stop` seconds in silence, int16."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = np.sin(2 * np.pi * frequency * time) * ((time >= start) & (time < stop))
    return np.rint(amplitude * 32767 * wave).astype(np.int16)


def perceived(sound, lengths=None, rate=RATE):
    own = FeatureSet(sound, lengths, {}, [], np.arange(len(sound)), {})
    dataset = SimpleNamespace(name="made up", sample_rate=rate)
    values, rest = LogMel().perceive(dataset, "speech", [own], None, lambda share: None)
    assert rest is None
    return values


def levels(clip):
    """Decibels of a clip that is silent somewhere in its picture, with their mean again."""
    picture = spectrograms(clip[None], RATE)[0].astype(np.float64)
    return picture - picture.min() + QUIETEST


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.rint(np.random.RandomState(0).randn(2, 3, 2 * RATE) * 3000).astype(np.int16)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_bands_are_evenly_spaced_in_mel(rate):
    # 700 + f is a geometric series, which says the formula without a logarithm
    shifted = 700 + edges(rate)
    np.testing.assert_allclose(shifted[0], 700 + LOW)
    np.testing.assert_allclose(shifted[-1], 700 + rate / 2)
    np.testing.assert_allclose(np.square(shifted[1:-1]), shifted[:-2] * shifted[2:])
    assert mel(np.array(1000.0)) == pytest.approx(1000, abs=0.02)  # what the scale is made to say
    np.testing.assert_allclose(hertz(mel(np.arange(0, 8000, 100.0))), np.arange(0, 8000, 100.0))


def test_filters_are_triangles_that_sum_to_one():
    points = 1 << 16  # bins of a quarter of a hertz
    bank, own = filters(RATE, points), edges(RATE)
    frequencies = np.arange(points // 2 + 1) * RATE / points
    assert bank.shape == (BANDS, points // 2 + 1) and bank.min() == 0 and bank.max() <= 1
    np.testing.assert_allclose(frequencies[bank.argmax(axis=1)], own[1:-1], atol=0.13)
    between = (frequencies >= own[1]) & (frequencies <= own[-2])
    np.testing.assert_allclose(bank.sum(axis=0)[between], 1)
    np.testing.assert_allclose(
        bank.sum(axis=1) * RATE / points, (own[2:] - own[:-2]) / 2, rtol=1e-3
    )  # areas
    assert bank[:, (frequencies <= LOW) | (frequencies >= RATE / 2)].max() < 1e-12


@pytest.mark.parametrize("band", [3, 20, 45, 62])
def test_a_tone_lights_its_band_while_it_lasts(band):
    own = levels(tone(edges(RATE)[band + 1], 0.5, 0.8))
    lit = np.flatnonzero(own.max(axis=0) > -60)
    assert lit.min() == pytest.approx(FRAMES // 2 - 15, abs=2)
    assert lit.max() == pytest.approx(FRAMES // 2 + 15, abs=2)
    steady = own[:, FRAMES // 2 - 12 : FRAMES // 2 + 12]
    assert (steady.argmax(axis=0) == band).all()
    # a tenth of full scale is 20 decibels below it, whatever the band
    total = 10 * np.log10((10 ** (steady / 10)).sum(axis=0))
    np.testing.assert_allclose(total, -20, atol=0.1)


def test_time_goes_right_and_pitch_up():
    clip = tone(500, 0.5, 0.7) + tone(3000, 0.7, 0.9)
    own = levels(clip).argmax(axis=0)
    low, high = (int(np.abs(edges(RATE)[1:-1] - pitch).argmin()) for pitch in (500, 3000))
    middle = FRAMES // 2
    assert low < high
    assert (own[middle - 18 : middle - 2] == low).all()
    assert (own[middle + 2 : middle + 18] == high).all()


def test_one_frame_against_a_slow_sum(noise):
    clip = noise[0, 0]
    middle = len(clip) // HOP // 2  # noise is loud from one end to the other
    picture = spectrograms(clip[None], RATE)[0].astype(np.float64)
    taper = [0.5 - 0.5 * np.cos(2 * np.pi * n / 480) for n in range(480)]
    slow, ours = [], []
    for frame, band in ((50, 0), (50, 31), (10, 63), (99, 40)):
        first = (middle - FRAMES // 2 + frame) * HOP - 240
        piece = [clip[first + n] / 32768 * taper[n] for n in range(480)]
        low, centre, high = edges(RATE)[band : band + 3]
        power = 0.0
        for bin in range(1025):
            pitch = bin * RATE / 2048
            weight = max(min((pitch - low) / (centre - low), (high - pitch) / (high - centre)), 0)
            if weight:
                turn = np.exp(-2j * np.pi * bin * np.arange(480) / 2048)
                power += weight * abs(np.dot(piece, turn)) ** 2
        mean_square = power / 2048 / (480 * 0.375)  # 3/8: mean square of the window
        slow.append(10 * np.log10(4 * mean_square))
        ours.append(picture[band, frame])
    assert abs((len(clip) - 240) / HOP / 2 - middle) < 1.5
    np.testing.assert_allclose(np.subtract(ours, ours[0]), np.subtract(slow, slow[0]), atol=1e-3)


def test_the_sound_is_in_the_middle_wherever_it_was(noise):
    sound = noise[0, 0, : 60 * HOP]
    pictures = []
    for start in (0, 17 * HOP, 140 * HOP):
        clip = np.zeros(2 * RATE, np.int16)
        clip[start : start + len(sound)] = sound
        pictures.append(spectrograms(clip[None], RATE)[0])
    assert np.array_equal(pictures[0], pictures[1]) and np.array_equal(pictures[0], pictures[2])
    dark = (pictures[0] == pictures[0].min()).all(axis=0)
    assert abs(int(dark.argmin()) - int(dark[::-1].argmin())) <= 1 and not dark[22:78].any()
    loud = tone(1000, 0.2, 0.3, amplitude=0.5)
    hiss = np.rint(loud + np.random.RandomState(0).randn(len(loud)) * 20).astype(np.int16)
    assert spectrograms(hiss[None], RATE)[0].max(axis=0)[45:55].min() > 30


def test_a_longer_sound_loses_its_ends(noise):
    own = spectrograms(noise[0, :1], RATE)[0]
    assert own.shape == (BANDS, FRAMES) and own.std() < 10 and own.min() > -50
    changed = noise[0, :1].copy()
    changed[:, : RATE // 3] = changed[:, : RATE // 3][:, ::-1]
    assert np.array_equal(spectrograms(changed, RATE)[0], own)


def test_what_lies_after_the_end_is_silence(noise):
    lengths = np.array([[9000, 5, 5], [20000, 7, 7]])
    cut = noise.copy()
    cut[0, :, 9000:], cut[1, :, 20000:] = 0, 0
    ours = perceived(noise, lengths)
    assert np.array_equal(ours, perceived(cut))
    assert np.array_equal(ours, perceived(noise[:, :1], lengths[:, :1]))  # the first take alone
    assert not np.array_equal(ours, perceived(noise))


def test_silence_is_zero_and_other_means_are(noise):
    clips = np.concatenate([noise[:, 0], np.zeros((1, 2 * RATE), np.int16)])
    pictures = spectrograms(clips, RATE)
    assert pictures.shape == (3, BANDS, FRAMES) and pictures.dtype == np.float32
    assert not pictures[2].any() and np.abs(pictures.mean(axis=(1, 2))).max() < 1e-4
    assert np.ptp(pictures, axis=(1, 2)).max() <= LOUDEST - QUIETEST
    loudest = np.sign(noise[:1, 0]) * np.int16(32767)
    assert np.isfinite(spectrograms(loudest, RATE)).all()
    assert perceived(np.zeros((1, 1, 3), np.int16)).shape == (1, BANDS, FRAMES)


def test_clips_do_not_hang_on_their_neighbours(noise):
    many = np.concatenate([noise[:, 0]] * 10)
    assert np.array_equal(spectrograms(many, RATE)[-1], spectrograms(noise[1:, 0], RATE)[0])
    assert np.array_equal(perceived(noise), perceived(noise))


@pytest.mark.parametrize(
    ("sound", "lengths", "rate", "said"),
    [
        (np.zeros((2, 1, 50)), None, RATE, "int16 .* not float64 .2, 1, 50."),
        (np.zeros((2, 50), np.int16), None, RATE, "not int16 .2, 50."),
        (np.zeros((2, 0, 50), np.int16), None, RATE, "not int16 .2, 0, 50."),
        (np.zeros((2, 1, 50), np.int16), np.zeros(2, int), RATE, "lengths are .N, takes."),
        (np.zeros((2, 1, 50), np.int16), None, None, "made up does not tell the sample rate"),
        (np.zeros((2, 1, 50), np.int16), None, 90, "90 samples per second are too few"),
        (np.zeros((2, 1, 50), np.int16), None, 1000, "1000 samples per second are too few"),
    ],
)
def test_what_is_no_sound_is_refused(sound, lengths, rate, said):
    with pytest.raises(MglibError, match=said):
        perceived(sound, lengths, rate)


def test_every_setting_is_on_the_card():
    told = LogMel().parameters()
    assert (told["bands"], told["frames"], told["decibels"]) == (64, 100, [-80.0, 0.0])
    assert LogMel().space(Numerals(), "speech") == "log_mel/speech" and not LogMel.fitted
