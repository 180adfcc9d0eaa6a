"""Log-mel spectrograms as pictures: audio -> 64 bands x 100 frames.

Ours, after the recipe of FSD50K in NAS-Bench-360 (Tu et al., arXiv 2110.05668: windows of 30 ms
every 10 ms, decibels without their mean, about one second); bands by the HTK formula of the mel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset
from mglib.errors import MglibError
from mglib.features import FeatureSet
from mglib.perceptors._base import Input, Perceptor
from mglib.registry import perceptors

WINDOW, HOP = 0.03, 0.01  # seconds
BANDS, FRAMES = 64, 100
LOW = 50.0  # Hz, where the first band begins; the last ends at half the sample rate
QUIETEST, LOUDEST = -80.0, 0.0  # decibels; a sine of full scale has 0 over all bands
FAINT = -40.0  # decibels under the loudest frame: there a sound begins and ends
BATCH = 16  # clips: keeps the working memory below 100 MB


def mel(frequency: np.ndarray) -> np.ndarray:
    """Pitch in mel of a frequency f in Hz by the HTK formula, 2595 log10(1 + f / 700)."""
    return 2595 * np.log10(1 + np.asarray(frequency) / 700)


def hertz(pitch: np.ndarray) -> np.ndarray:
    """The frequency in Hz of a pitch in mel."""
    return 700 * (10 ** (np.asarray(pitch) / 2595) - 1)


def edges(sample_rate: int) -> np.ndarray:
    """Frequencies [BANDS + 2] in Hz, evenly spaced in mel; band b runs from b over b + 1 to b + 2.

    Raises MglibError where half the sample rate is too low for all bands.
    """
    found = hertz(np.linspace(mel(np.array(LOW)), mel(np.array(sample_rate / 2)), BANDS + 2))
    if sample_rate <= 2 * LOW or np.diff(found).min() < 1 / (4 * WINDOW):
        raise MglibError(f"{sample_rate} samples per second are too few for {BANDS} bands")
    return found


def filters(sample_rate: int, points: int) -> np.ndarray:
    """Triangles [BANDS, points / 2 + 1] over the bins of a transform, 1 at the centre of a band."""
    frequencies = np.fft.rfftfreq(points, 1 / sample_rate)
    low, centre, high = (edges(sample_rate)[at : at + BANDS, None] for at in range(3))
    rising, falling = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    return np.maximum(np.minimum(rising, falling), 0)


def middles(frames: np.ndarray) -> np.ndarray:
    """The frame [N] in the middle of each sound, of frames [N, F, samples].

    A sound is what lies between its first and last frame within FAINT of its loudest; of silence it
    is the middle of the clip.
    """
    power = np.square(frames).sum(axis=-1)
    loud = power >= power.max(axis=1, keepdims=True) * 10 ** (FAINT / 10)
    last = loud.shape[1] - 1 - loud[:, ::-1].argmax(axis=1)
    return (loud.argmax(axis=1) + last) // 2


def spectrograms(
    clips: np.ndarray, sample_rate: int, advance: Advance = lambda share: None
) -> np.ndarray:
    """Clips int16 [N, samples] -> float32 [N, BANDS, FRAMES] in decibels, zero mean per clip.

    Bands go up from the lowest; the FRAMES are those around the middle of the sound, with silence
    where the clip has ended. Values are within QUIETEST..LOUDEST before the mean is taken away;
    silence is 0 throughout. Raises MglibError for a sample rate that is too low.
    """
    from threadpoolctl import threadpool_limits

    window, hop = round(WINDOW * sample_rate), round(HOP * sample_rate)
    # padded with zeros to at least four bins for each that the window tells apart
    points = 1 << (4 * window - 1).bit_length()
    bank = filters(sample_rate, points).T
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    scale = (32768 / 2) ** 2 * points * np.square(taper).sum()  # a sine of full scale, by Parseval
    before = FRAMES // 2 * hop + window // 2
    pictures = np.empty((len(clips), BANDS, FRAMES), dtype=np.float32)
    for start in range(0, len(clips), BATCH):
        part = clips[start : start + BATCH].astype(np.float64)
        padded = np.pad(part, ((0, 0), (before, before + window)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)[:, ::hop]
        inner = frames[:, FRAMES // 2 : -(FRAMES // 2)]
        first = middles(inner * taper)  # in `inner`, which begins FRAMES / 2 later
        chosen = frames[np.arange(len(part))[:, None], first[:, None] + np.arange(FRAMES)]
        power = np.square(np.abs(np.fft.rfft(chosen * taper, points, axis=-1))) / scale
        with threadpool_limits(limits=1):  # sums must not hang on the number of cores
            levels = power @ bank
        levels = np.clip(10 * np.log10(np.maximum(levels, 1e-20)), QUIETEST, LOUDEST)
        levels -= levels.mean(axis=(1, 2), keepdims=True)
        pictures[start : start + BATCH] = levels.transpose(0, 2, 1)
        advance(len(part) / len(clips))
    return pictures


def silenced(clips: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Clips [N, samples], zero from their lengths [N] on."""
    if lengths is None:
        return clips
    return np.where(np.arange(clips.shape[1]) < lengths[:, None], clips, clips.dtype.type(0))


@perceptors.register("log_mel")
class LogMel(Perceptor):
    """Spectrogram [64, 100] of one second around the middle of the first take, in decibels.

    Ours: the first take alone, as a mean of two voices is the picture of neither; a longer sound
    loses its ends, so that a frame lasts equally long in all; levels are by full scale, from -80
    to 0 decibels, before the mean of the clip is taken away.
    """

    version = "1"
    kinds = frozenset({"audio"})
    unit_norm = False
    steps = {"audio": 4}

    def parameters(self) -> dict[str, Any]:
        """Bands, frames, times in seconds, and the range of levels in decibels."""
        return {
            "take": 0,
            "bands": BANDS,
            "frames": FRAMES,
            "window": WINDOW,
            "hop": HOP,
            "low": LOW,
            "decibels": [QUIETEST, LOUDEST],
        }

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The raw modality."""
        return [("raw", modality)]

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Audio int16 [N, takes, samples] at the dataset's rate -> float32 [N, 64, 100].

        Raises MglibError for another type or shape, and for a sample rate missing or too low.
        """
        sound, lengths = inputs[0].values, inputs[0].lengths
        if sound.dtype != np.int16 or sound.ndim != 3 or 0 in sound.shape[1:]:
            raise MglibError(f"audio is int16 [N, takes, samples], not {sound.dtype} {sound.shape}")
        if lengths is not None and lengths.shape != sound.shape[:2]:
            raise MglibError(f"lengths are [N, takes], {sound.shape[:2]}, not {lengths.shape}")
        if not dataset.sample_rate:
            raise MglibError(f"{dataset.name} does not tell the sample rate of its {modality}")
        first = silenced(sound[:, 0], None if lengths is None else lengths[:, 0])
        return spectrograms(first, dataset.sample_rate, advance), None
