"""4,677 windows of two smartwatch sensors and their spectrograms: 7 shoulder exercises.

Source: Burns et al., "Shoulder physiotherapy exercise recognition: machine learning the inertial
signals from a smartwatch", Physiological Measurement 39 (2018), arXiv 1802.01489; ten of its
subjects, as the package seglearn holds them. Windows, pictures and splits are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mglib.data._base import Advance, Dataset, Index
from mglib.data._object_array import read_object
from mglib.data.carriers import Carrier, opened, read_member
from mglib.errors import MglibError, unknown
from mglib.registry import datasets

RECORDINGS = Carrier(
    "seglearn",
    "1.2.5",
    "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
    "BSD-3-Clause",
    "140 smartwatch recordings of 10 subjects",
    11.3,
)
MEMBER = "seglearn/data/watch_dataset.npy"

# the package's short names, in its order, and the names that the authors give them
EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "lower trapezius row",
    "ROW": "bent-over row",
}
AXES = {"accelerometer": ["ax", "ay", "az"], "gyroscope": ["wx", "wy", "wz"]}
RATE = 50  # steps per second
STEPS = 100  # of a window
STRIDE = 50  # between the starts of windows: neighbours of a recording share half their steps
SPECTROGRAM = "_spectrogram"
FRAME = 32  # steps
HOP = 2  # steps between frames
POINTS = 192  # of the transform; its bins are RATE / POINTS = 0.26 Hz apart
BINS = 48  # from 0 to 12.2 Hz, where arms move
# decibels of 1 g and of 1 radian per second that are black and white
RANGES = {"accelerometer": (-55.0, 0.0), "gyroscope": (-45.0, 10.0)}
BATCH = 256  # windows: keeps the transform below 100 MB


@dataclass(frozen=True)
class Recording:
    """One exercise by one arm: signals [steps, 6] float64, about 20 repetitions."""

    subject: int
    side: str
    exercise: int
    signals: np.ndarray

    @property
    def windows(self) -> np.ndarray:
        """Overlapping windows [N, STEPS, 6] float32; what is left at the end is dropped."""
        view = np.lib.stride_tricks.sliding_window_view(self.signals, STEPS, axis=0)
        return view[::STRIDE].transpose(0, 2, 1).astype(np.float32)


def recordings() -> list[Recording]:
    """All recordings in the package's order; its pickle is read as data, never executed."""
    with opened(RECORDINGS) as archive:
        table = read_object(read_member(archive, MEMBER), MEMBER)
    columns, labels = sum(AXES.values(), []), list(EXERCISES)
    if table["X_labels"] != columns or table["y_labels"] != labels:
        raise MglibError(
            f"'{MEMBER}' holds {table['X_labels']} of {table['y_labels']}, "
            f"not {columns} of {labels}"
        )
    return [
        Recording(int(subject), "right" if side else "left", int(exercise), signals)
        for subject, side, exercise, signals in zip(
            table["subject"], table["side"], table["y"], table["X"], strict=True
        )
    ]


def spectrograms(
    series: np.ndarray, low: float, high: float, advance: Advance = lambda share: None
) -> np.ndarray:
    """Log-magnitude short-time Fourier transforms of series [N, STEPS, 3] as pictures.

    uint8 [N, BINS, frames, 3]: low frequencies at the bottom, one axis per colour, `low` decibels
    black and `high` white. Periodic Hann frames without padding in time; a constant c has magnitude
    |c|, a sine of amplitude a has a / 2.
    """
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    pictures = np.empty((len(series), BINS, (series.shape[1] - FRAME) // HOP + 1, 3), np.uint8)
    for start in range(0, len(series), BATCH):
        part = series[start : start + BATCH].astype(np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(part, FRAME, axis=1)[:, ::HOP]
        bins = np.fft.rfft(frames * taper, POINTS, axis=-1)[..., :BINS]
        level = 20 * np.log10(np.maximum(np.abs(bins) / taper.sum(), 1e-9))
        grey = np.clip(np.rint((level - low) / (high - low) * 255), 0, 255).astype(np.uint8)
        pictures[start : start + BATCH] = grey.transpose(0, 3, 1, 2)[:, ::-1]
        advance(len(part) / len(series))
    return pictures


@datasets.register("smartwatch")
class Smartwatch(Dataset):
    """Exercises as two sensors of one watch record them, tested on new subjects; 7 classes.

    There are two sensors, not four: each spectrogram is a derived view of its sensor's window, so
    what it shows is in the series too, but the encoders that see them share nothing.
    """

    version = "1"
    title = "Smartwatch exercises: two sensors and a derived spectrogram of each"
    licences = dict.fromkeys(
        (*AXES, *(f"{sensor}{SPECTROGRAM}" for sensor in AXES)),
        "BSD-3-Clause (seglearn, David M. Burns)",
    )
    sources = ("seglearn", "Burns et al. 2018 (arXiv 1802.01489)")
    CARRIERS = (RECORDINGS,)
    kinds = {
        **dict.fromkeys(AXES, "series"),
        **{f"{sensor}{SPECTROGRAM}": "image" for sensor in AXES},
    }
    core = tuple(kinds)
    anchor = "accelerometer"
    targets = ("class",)

    def __init__(self) -> None:
        self._recordings: list[Recording] | None = None

    @property
    def recordings(self) -> list[Recording]:
        """The recordings, read once."""
        if self._recordings is None:
            self._recordings = recordings()
        return self._recordings

    def index(self) -> Index:
        """The windows, recording by recording; a group is a subject."""
        places = [(own, n) for own in self.recordings for n in range(len(own.windows))]
        labels = list(EXERCISES)
        return Index(
            instance_ids=[
                f"subject{own.subject:02}-{own.side}-{labels[own.exercise]}-{n:02}"
                for own, n in places
            ],
            groups=np.array([own.subject for own, _ in places], dtype=np.int64),
            targets={"class": np.array([own.exercise for own, _ in places], dtype=np.int64)},
            class_names={"class": list(EXERCISES.values())},
        )

    def raw(self, modality: str, advance: Advance) -> tuple[np.ndarray, np.ndarray | None]:
        """Series float32 [N, 100, 3] in g and radians per second; spectrograms [N, 48, 35, 3].

        The package names no units: these are those of the watch's system, and magnitudes agree.
        """
        if modality not in self.kinds:
            raise unknown(f"modality of {self.name}", modality, self.kinds)
        sensor = modality.removesuffix(SPECTROGRAM)
        first = 3 * list(AXES).index(sensor)
        windows = np.concatenate([own.windows for own in self.recordings])
        series = np.ascontiguousarray(windows[..., first : first + 3])
        if modality in AXES:
            return series, None
        return spectrograms(series, *RANGES[sensor], advance), None
