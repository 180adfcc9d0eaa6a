"""The recordings as counted, windows cut right, pictures by closed form, no pickle executed."""

from __future__ import annotations

import io
import os
import pickle
import re

import numpy as np
import pytest

from mglib import paths
from mglib.data._object_array import read_object
from mglib.data.carriers import opened, read_member
from mglib.data.smartwatch import (
    AXES,
    BINS,
    EXERCISES,
    FRAME,
    HOP,
    MEMBER,
    POINTS,
    RANGES,
    RATE,
    RECORDINGS,
    Recording,
    Smartwatch,
    recordings,
    spectrograms,
)
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.perceptors.prepare import prepare

# windows of each exercise, counted from the lengths of the recordings
COUNTS = (502, 770, 780, 718, 723, 583, 601)


@pytest.fixture(scope="module")
def raw():
    prepare("smartwatch", ("raw",))
    return {m: load_features("smartwatch", "raw", m) for m in Smartwatch.core}


@pytest.fixture(scope="module")
def trusted(raw):
    """The package's table as numpy reads it when it is allowed to run the pickle."""
    with opened(RECORDINGS) as archive:
        content = io.BytesIO(read_member(archive, MEMBER))
    return np.load(content, allow_pickle=True).item()


def as_npy(value, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue() + (value if isinstance(value, bytes) else pickle.dumps(value, protocol))


def holding(value) -> np.ndarray:
    array = np.empty((), dtype=object)
    array[()] = value
    return array


def test_ten_subjects_do_seven_exercises_with_both_arms(raw):
    own = recordings()
    assert len(own) == 140
    assert {(r.subject, r.side, r.exercise) for r in own} == {
        (subject, side, exercise)
        for subject in range(1, 11)
        for side in ("left", "right")
        for exercise in range(7)
    }
    features = raw["accelerometer"]
    assert tuple(np.bincount(features.targets["class"])) == COUNTS and sum(COUNTS) == 4677
    assert features.card["class_names"] == {"class": list(EXERCISES.values())}
    assert {m: (f.values.shape, f.values.dtype.name) for m, f in raw.items()} == {
        "accelerometer": ((4677, 100, 3), "float32"),
        "gyroscope": ((4677, 100, 3), "float32"),
        "accelerometer_spectrogram": ((4677, 48, 35, 3), "uint8"),
        "gyroscope_spectrogram": ((4677, 48, 35, 3), "uint8"),
    }
    assert {f.card["kind"] for f in raw.values()} == {"series", "image"}


def test_signals_labels_and_ids_are_those_of_the_package(raw, trusted):
    place, labels = 0, trusted["y_labels"]
    for signals, exercise, subject, side in zip(
        trusted["X"], trusted["y"], trusted["subject"], trusted["side"], strict=True
    ):
        name = f"subject{subject:02}-{('left', 'right')[int(side)]}-{labels[exercise]}"
        for n, start in enumerate(range(0, len(signals) - 99, 50)):
            cut = signals[start : start + 100].astype(np.float32)
            assert np.array_equal(raw["accelerometer"].values[place], cut[:, :3])
            assert np.array_equal(raw["gyroscope"].values[place], cut[:, 3:])
            for features in raw.values():
                assert features.targets["class"][place] == exercise
                assert features.groups[place] == subject
                assert features.instance_ids[place] == f"{name}-{n:02}"
            place += 1
    assert place == len(raw["gyroscope"].values)


def test_gravity_is_one_g_and_arms_turn_within_reason(raw):
    pull = np.linalg.norm(raw["accelerometer"].values.mean(axis=1), axis=1)
    assert 0.9 < np.median(pull) < 1.1
    turn = np.linalg.norm(raw["gyroscope"].values, axis=2)
    assert 0.5 < np.median(turn) < 4 and turn.max() < 2000 * np.pi / 180  # gyroscopes end there


@pytest.mark.parametrize(("steps", "windows"), [(100, 1), (149, 1), (150, 2), (947, 17)])
def test_windows_by_hand(steps, windows):
    signals = np.arange(steps * 6, dtype=np.float64).reshape(steps, 6)
    found = Recording(1, "left", 0, signals).windows
    assert found.shape == (windows, 100, 6) and found.dtype == np.float32
    assert found[-1, 3, 2] == signals[50 * (windows - 1) + 3, 2]


def test_a_subject_is_in_one_part_only_and_both_sides_are_tested(raw):
    features = raw["gyroscope"]
    for seed in range(5):
        parts = split_indices(features.groups, seed)
        subjects = {
            part: {features.instance_ids[place][:9] for place in places}
            for part, places in parts.items()
        }
        assert [len(names) for names in subjects.values()] == [4, 3, 1, 2]
        assert len(set.union(*subjects.values())) == 10
        for part in ("train", "validation", "test"):
            assert set(features.targets["class"][parts[part]]) == set(range(7))


def test_spectrograms_against_scipy(raw):
    from scipy.signal import get_window, spectrogram

    for sensor, (low, high) in RANGES.items():
        windows = raw[sensor].values[::400].astype(float)
        frequencies, times, magnitude = spectrogram(
            windows,
            fs=RATE,
            window=get_window("hann", FRAME),
            nperseg=FRAME,
            noverlap=FRAME - HOP,
            nfft=POINTS,
            detrend=False,
            scaling="spectrum",
            mode="complex",
            axis=1,
        )
        assert len(times) == 35 and frequencies[BINS - 1] == pytest.approx(12.24, abs=0.01)
        level = 20 * np.log10(np.abs(magnitude[:, :BINS]) + 1e-12)
        expected = ((level - low) / (high - low) * 255).clip(0, 255).transpose(0, 1, 3, 2)
        shown = raw[f"{sensor}_spectrogram"].values[::400, ::-1].astype(float)
        assert np.abs(shown - expected).max() < 0.51
        for modality in (sensor, f"{sensor}_spectrogram"):
            assert np.ptp(raw[modality].values, axis=0).min() > 0, "a part shows nothing"


def test_a_sine_lights_its_own_row_and_colour():
    time = np.arange(100) / RATE
    series = np.zeros((1, 100, 3), dtype=np.float32)
    series[0, :, 1] = 0.5 * np.sin(2 * np.pi * 6.25 * time)  # 4 periods in a frame, bin 24
    series[0, :, 2] = -0.25
    picture = spectrograms(series, -60.0, 0.0)[0].astype(int)
    assert (picture[..., 0] == 0).all()
    row = BINS - 1 - 24
    assert (picture[..., 1].argmax(axis=0) == row).all()
    assert abs(picture[row, :, 1] - 255 * (1 + 20 * np.log10(0.25) / 60)).max() <= 1
    assert (picture[-1, :, 2] == np.rint(255 * (1 + 20 * np.log10(0.25) / 60))).all()
    assert (picture[BINS - 1 - 12, :, 2] == 0).all()  # a zero of the taper's transform


def test_derived_views_are_named_as_such():
    assert "two sensors" in Smartwatch.title and "derived" in Smartwatch.title
    assert Smartwatch.core == (*AXES, *(f"{sensor}_spectrogram" for sensor in AXES))
    with pytest.raises(MglibError, match="did you mean 'gyroscope'"):
        Smartwatch().raw("gyroscop", lambda share: None)


def test_fresh_cache_gives_the_same_bytes(raw, tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_WHEELS", str(paths.cache() / "wheels"))
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path))
    prepare("smartwatch", ("raw",), ["gyroscope", "accelerometer_spectrogram"])
    for modality in ("gyroscope", "accelerometer_spectrogram"):
        again = load_features("smartwatch", "raw", modality)
        assert again.card["content_hash"] == raw[modality].card["content_hash"]


def test_arrays_lists_and_numbers_are_read_as_numpy_writes_them():
    value = {
        "numbers": [1, 2.5, None, True, np.float64(0.1), np.int32(7)],
        "arrays": [np.arange(6.0).reshape(2, 3), np.array([b"ab"])],
        "text": ("PEN", "日"),
    }
    for protocol in (2, 4):
        found = read_object(as_npy(holding(value), protocol), "made_up.npy")
        assert found["numbers"] == value["numbers"] and found["text"] == value["text"]
        for ours, theirs in zip(found["arrays"], value["arrays"], strict=True):
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)


class Asks:
    """Pickles as a call."""

    def __init__(self, call, *arguments):
        self.call = (call, arguments)

    def __reduce__(self):
        return self.call


def test_what_a_pickle_asks_to_run_is_refused_and_not_run(tmp_path):
    flag = tmp_path / "executed"
    for payload, named in (
        (Asks(os.system, f"touch {flag}"), "posix.system"),
        (Asks(exec, f"open({str(flag)!r}, 'w')"), "builtins.exec"),
        (Asks(getattr, np.arange(3), "tofile"), "builtins.getattr"),
        (np.save, "numpy.save"),
        (np.ndarray.tofile, "builtins.getattr"),
    ):
        wrapped = holding({"X": [payload]})
        with pytest.raises(MglibError, match=f"^refused 'made_up.npy': .*'{named}'") as caught:
            read_object(as_npy(wrapped, protocol=4), "made_up.npy")
        assert "\n" not in str(caught.value)
        assert not flag.exists()
    pickle.loads(pickle.dumps(Asks(exec, f"open({str(flag)!r}, 'w').close()")))
    assert flag.exists(), "the payload would have run"


def test_names_are_not_followed_with_dots():
    dotted = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    with pytest.raises(MglibError, match=re.escape("'numpy.ndarray.tofile'")):
        read_object(as_npy(dotted), "made_up.npy")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "made_up.npy' cannot be read"),
        (b"PK\x03\x04 no array", "magic string"),
        (as_npy(holding([1, 2]))[:-3], "cannot be read"),
        (
            as_npy(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R."),
            "rot13",
        ),
        (as_npy({"no": "array"}), "no attribute 'item'"),
    ],
)
def test_damaged_files_are_one_clear_line(content, said):
    with pytest.raises(MglibError, match=said) as caught:
        read_object(content, "made_up.npy")
    assert "\n" not in str(caught.value)


def test_plain_arrays_are_not_objects():
    file = io.BytesIO()
    np.save(file, np.arange(3))
    with pytest.raises(MglibError, match=r"int64 \(3,\), not one object"):
        read_object(file.getvalue(), "made_up.npy")


def test_a_table_of_other_columns_is_refused(monkeypatch):
    table = {"X_labels": ["ax"], "y_labels": ["PEN"]}
    monkeypatch.setattr("mglib.data.smartwatch.read_object", lambda content, name: table)
    with pytest.raises(MglibError, match=r"holds \['ax'\] of \['PEN'\], not \['ax', 'ay'"):
        recordings()
