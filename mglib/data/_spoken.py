"""English digits in many espeak-ng voices, each hidden in the babble of four voices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mglib.data._base import Advance
from mglib.data._espeak import NATIVE_RATE, Clip, synthesise

# espeak-ng's variants but whispers, robots, storms and croaks, and but twelve of which the spectra
# are nearly those of another one that is kept. Neighbours go to the same group.
VARIANTS = (
    *"adam Alex Alicia zac Andrea Andy AnxiousAndy travis anika Annie announcer boris".split(),
    *"antonio sandro aunty f4 belinda linda benjamin mike2 caleb david Denis victor Diogo".split(),
    *"Hugo ed paul edward klatt3 f1 f3 f2 f5 Gene robert gustave Michael grandma miguel".split(),
    *"grandpa pedro ian Lee iven iven4 iven2 iven3 Jacky shelby john norbert klatt klatt4".split(),
    *"m1 max m2 pablo m3 Mike m4 m5 m6 marcelo m7 Nguyen m8 Mario Marco Reed quincy".split(),
    *"RicishayMax2 steph steph2 Tweaky".split(),
    "Mr serious",
)
ACCENTS = ("en-us", "en")  # America, Great Britain
VOICES = 4  # of a group, and in its babble: two variants in two accents
PEAK = 16384


def clips(words: Sequence[str], groups: int, each: int) -> list[Clip]:
    """`each` clips of every word in every group, the voices in turn: groups * C * each.

    A group has two variants of its own, each in two accents; rates and pitches are seeded (ours).
    """
    random = np.random.RandomState(0)
    found = []
    for group in range(groups):
        voices = [
            f"{accent}+{variant}"
            for variant in VARIANTS[2 * group : 2 * group + 2]
            for accent in ACCENTS
        ]
        for place in range(len(words) * each):
            found.append(
                Clip(
                    words[place // each],
                    voices[place % VOICES],
                    rate=int(random.randint(150, 191)),
                    pitch=int(random.randint(35, 66)),
                    range=50,
                )
            )
    return found


def _power(sound: np.ndarray) -> float:
    return float(np.square(sound).mean())


def babble(sounds: Sequence[np.ndarray], length: int, random: np.random.RandomState) -> np.ndarray:
    """Equally loud sounds, each over and over from a seeded place: float64 [length], power 1."""
    total = np.zeros(length)
    for sound in sounds:
        start = random.randint(len(sound))
        total += (
            np.take(sound, np.arange(start, start + length), mode="wrap") / _power(sound) ** 0.5
        )
    return total / _power(total) ** 0.5


def recordings(
    wanted: Sequence[Clip], groups: int, rate: int, hidden: bool, advance: Advance
) -> np.ndarray:
    """One second each at `rate` Hz, int16 [N, rate], with the word in its middle.

    `hidden` lays four talkers of the word's own group over it, one of each voice, together as loud
    as the word while it lasts (0 dB, ours).
    """
    from scipy.signal import firwin, resample_poly

    up, down = rate // 50, NATIVE_RATE // 50
    lowpass = firwin(20 * down + 1, 1 / down, window=("kaiser", 5.0))
    words = []
    for clip in synthesise(wanted):
        words.append(resample_poly(clip.astype(np.float64), up, down, window=lowpass)[:rate])
        advance(1 / len(wanted))
    random = np.random.RandomState(1)
    samples = np.empty((len(words), rate), dtype=np.int16)
    share = len(words) // groups
    for place, word in enumerate(words):
        group = place - place % share
        talkers = []
        for voice in range(VOICES):
            others = [n for n in range(group + voice, group + share, VOICES) if n != place]
            talkers.append(words[random.choice(others)])
        noise = babble(talkers, rate, random) * _power(word) ** 0.5
        mixture = noise if hidden else np.zeros(rate)
        start = (rate - len(word)) // 2
        mixture[start : start + len(word)] += word
        samples[place] = np.rint(mixture * (PEAK / np.abs(mixture).max()))
    return samples
