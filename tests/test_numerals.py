"""Numerals as their sources have them: every group has its own, and the hardness is as said."""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from mglib.data import _spoken
from mglib.data._base import unpack_strings
from mglib.data._handwriting import pictures
from mglib.data._multiple_features import FEATURES, FOLDER
from mglib.data._number_words import WORDS
from mglib.data._printed import FONTS, SCRIPTS, printed
from mglib.data.carriers import opened, read_member
from mglib.data.numerals import EACH, GROUPS, SIZE, Numerals
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.perceptors.prepare import prepare

MODALITIES = tuple(Numerals.kinds)


@pytest.fixture(scope="module")
def raw():
    prepare("numerals", ("raw",), MODALITIES)
    return {modality: load_features("numerals", "raw", modality) for modality in MODALITIES}


def shaped(features) -> np.ndarray:
    """Values [groups, C, each, ...]."""
    return features.values.reshape(GROUPS, 10, EACH, *features.values.shape[1:])


def test_classes_and_groups_are_balanced(raw):
    words = raw["words"]
    assert Counter(words.targets["class"].tolist()) == dict.fromkeys(range(10), 190)
    pairs = Counter(zip(words.groups.tolist(), words.targets["class"].tolist(), strict=True))
    assert len(pairs) == GROUPS * 10 == 380 and set(pairs.values()) == {EACH}
    assert {m: features.values.shape[1:] for m, features in raw.items() if m != "words"} == {
        **dict.fromkeys(("handwriting", "handwriting_occluded", "handwriting_clean"), (SIZE, SIZE)),
        **dict.fromkeys(("speech", "speech_clean"), (1, 16000)),
        "glyph": (SIZE, SIZE),
    }


def test_a_group_has_one_language_and_no_two_are_nearly_the_same(raw):
    words = raw["words"]
    spoken = unpack_strings(words.values)
    for word, name, digit, group in zip(
        spoken, words.instance_ids, words.targets["class"], words.groups, strict=True
    ):
        language, number, _ = name.split("-")
        assert WORDS[language][digit] == word and int(number) == digit
        assert list(WORDS)[group] == language
    assert all(len(set(own)) == 10 for own in WORDS.values())
    shared = [
        sum(a == b for a, b in zip(WORDS[one], WORDS[other], strict=True))
        for one, other in combinations(WORDS, 2)
    ]
    assert max(shared) < 5
    assert WORDS["de"][7] == "sieben" and WORDS["fr"][5] == "cinq" and WORDS["ru"][3] == "три"


def unit(pictures: np.ndarray) -> np.ndarray:
    """Centred rows of norm 1 [N, pixels]."""
    rows = pictures.reshape(len(pictures), -1) - pictures.mean((1, 2))[:, None]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_handwriting_is_that_of_its_source_in_disjoint_blocks(raw):
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    with opened(FEATURES) as archive:
        lines = io.BytesIO(read_member(archive, f"{FOLDER}/mfeat-pix.csv"))
    table = np.genfromtxt(lines, delimiter=",", skip_header=1)
    digits = load_digits()
    shown = shaped(raw["handwriting_clean"])[..., 2::4, 2::4]
    padded = np.pad(table[:, :-1].reshape(-1, 16, 15), ((0, 0), (0, 0), (0, 1)))
    sources = (
        (digits.images, digits.target, np.arange(1797) * 19 / 1797),
        (padded, table[:, -1], np.tile(np.arange(200) * 19 / 200, 10)),
    )
    for parity, (ink, labels, block) in enumerate(sources):
        times = 16 // ink.shape[1]
        grown = zoom(ink, (1, times, times), order=1, grid_mode=True, mode="nearest")
        alike = unit(255 - shown[parity::2].reshape(-1, 16, 16).astype(float)) @ unit(grown).T
        used = alike.argmax(1)
        assert alike.max(1).min() > 0.97 and len(set(used)) == len(used) == 950
        assert np.array_equal(labels[used], np.tile(np.repeat(np.arange(10), EACH), 19))
        distance = block[used] - np.repeat(np.arange(19), 10 * EACH)
        assert distance.min() > -0.3 and distance.max() < 1.1, "a block is not contiguous"


def test_a_square_is_hidden_and_noise_has_its_deviation():
    full = np.full((300, 16, 16), 255, dtype=np.uint8)
    hidden = pictures(full, 16, square=8) == 255
    assert (hidden.sum((1, 2)) == 64).all()
    assert (hidden.any(1).sum(1) == 8).all() and (hidden.any(2).sum(1) == 8).all()
    places = {tuple(map(int, np.argwhere(picture)[0])) for picture in hidden}
    assert {place for corner in places for place in corner} == set(range(9))
    grey = np.full((300, 16, 16), 102, dtype=np.uint8)
    noisy = pictures(grey, 16, noise=0.1) / 255
    assert noisy.mean() == pytest.approx(0.6, abs=0.002)
    assert noisy.std() == pytest.approx(0.1, abs=0.002)
    assert np.array_equal(pictures(grey, 16, noise=0.1), pictures(grey, 16, noise=0.1))


def test_harder_handwriting_is_the_clean_one_with_less_to_see(raw):
    clean, occluded, noisy = (
        raw[f"handwriting{suffix}"].values.astype(int) for suffix in ("_clean", "_occluded", "")
    )
    assert (occluded >= clean).all() and ((occluded > clean).any((1, 2))).mean() > 0.99
    changed = (occluded != clean).mean((1, 2))
    assert changed.max() <= 0.4 and changed.mean() > 0.05
    assert np.corrcoef(occluded.ravel(), noisy.ravel())[0, 1] > 0.5


def test_every_group_has_voices_of_its_own():
    wanted = _spoken.clips(WORDS["en"], GROUPS, EACH)
    assert len(_spoken.VARIANTS) == len(set(_spoken.VARIANTS)) == 2 * GROUPS
    variants = [clip.voice.partition("+")[2] for clip in wanted]
    group_of: dict[str, int] = {}
    for place, (clip, variant) in enumerate(zip(wanted, variants, strict=True)):
        assert group_of.setdefault(variant, place // 50) == place // 50
        assert clip.text == WORDS["en"][place // EACH % 10]
    assert len(group_of) == 2 * GROUPS
    assert all(len({clip.voice for clip in wanted[at : at + 50]}) == 4 for at in range(0, 1900, 50))


def test_babble_is_four_equally_loud_voices_of_the_group_at_0_decibels(monkeypatch):
    rate, count = 16000, 32
    pitch = 400 + 50 * np.arange(count)  # Hz: whole periods in a clip, so that sines are orthogonal

    def sines(clips):
        seconds = np.arange(11025) / 22050
        for place in range(len(clips)):
            yield 3000 * (1 + place % 3) * np.sin(2 * np.pi * pitch[place] * seconds)

    monkeypatch.setattr(_spoken, "synthesise", sines)
    clips = _spoken.clips(("a", "b", "c", "d"), 2, 4)
    mixed = _spoken.recordings(clips, 2, rate, True, lambda share: None)
    clean = _spoken.recordings(clips, 2, rate, False, lambda share: None)
    middle = slice(rate // 4, 3 * rate // 4)
    assert (clean[:, : rate // 4 - 50] == 0).all() and (clean[:, 3 * rate // 4 + 50 :] == 0).all()
    assert (np.abs(clean).max(1) == 16384).all() and (np.abs(mixed).max(1) == 16384).all()
    power = np.abs(np.fft.rfft(mixed[:, middle] / 16384)) ** 2  # bins of 2 Hz
    loud = power[:, pitch // 2]
    assert (loud.sum(1) / power.sum(1) > 0.95).all()
    for place in range(count):
        others = np.delete(np.arange(count), place)
        babble = [n for n in others if loud[place, n] > 0.1 * loud[place, place]]
        assert len(babble) == 4 == len({clips[n].voice for n in babble})
        assert {n // 16 for n in babble} == {place // 16}
        assert loud[place, others].sum() / loud[place, place] == pytest.approx(1, rel=0.1)
        assert loud[place, babble] / loud[place, place] == pytest.approx(0.25, rel=0.15)


def test_speech_says_the_word_in_the_middle_of_its_second(raw):
    clean = raw["speech_clean"].values[:, 0].astype(float)
    sounding = np.abs(clean) > 0
    first, last = sounding.argmax(1), 15999 - sounding[:, ::-1].argmax(1)
    assert np.abs(first + last - 15999).max() < 2000
    assert (last - first).min() > 2500 and np.mean(last - first == 15999) < 0.01
    energy = np.square(raw["speech"].values[:, 0].astype(float))
    assert (energy[:, :1600].mean(1) > 0.02 * energy.mean(1)).all(), "babble from the beginning"
    assert np.array_equal(raw["speech"].lengths, np.full((1900, 1), 16000))


def test_printed_numerals_are_those_of_unicode():
    from fontTools.ttLib import TTFont

    with opened(FONTS) as archive:
        for font, zero in SCRIPTS:
            content = io.BytesIO(read_member(archive, f"manimgx_fonts/NotoSans{font}[wght].ttf"))
            known = TTFont(content, lazy=True).getBestCmap()
            assert [unicodedata.digit(chr(zero + digit)) for digit in range(10)] == list(range(10))
            assert all(zero + digit in known for digit in range(10))
    assert 2 * len(SCRIPTS) == GROUPS


def test_glyphs_are_whole_and_differ(raw):
    glyph = shaped(raw["glyph"])
    border = np.concatenate(
        [glyph[..., 0], glyph[..., -1], glyph[..., 0, :], glyph[..., -1, :]], -1
    )
    assert (border > 128).mean() > 0.999, "glyphs are cut off"
    assert (glyph.min((-1, -2)) < 64).all()
    assert len({picture.tobytes() for picture in raw["glyph"].values}) == 1900
    columns = np.arange(SIZE)
    ink = 255.0 - raw["glyph"].values
    centre = (ink.sum(1) * columns).sum(1) / ink.sum((1, 2))
    assert np.abs(centre - (SIZE - 1) / 2).max() < SIZE / 8


def test_a_group_is_a_range_of_weight(monkeypatch):
    monkeypatch.setattr("mglib.data._printed.SCRIPTS", SCRIPTS[:1])
    monkeypatch.setattr("mglib.data._printed.HEIGHTS", (0.7, 0.7))
    ink = (255.0 - printed(3, SIZE).reshape(2, 10, 3, SIZE, SIZE)).mean((1, 3, 4))
    light, heavy = ink[ink[:, 0].argsort()]
    assert (np.diff([*light, *heavy]) > 0).all()


@pytest.mark.parametrize("modality", [m for m in MODALITIES if m != "speech_clean"])
def test_a_second_run_gives_the_same_bytes(raw, modality):
    values, _ = Numerals().raw(modality, lambda share: None)
    assert values.dtype == raw[modality].values.dtype
    assert np.array_equal(values, raw[modality].values)


def test_what_is_not_there_is_said(monkeypatch):
    with pytest.raises(MglibError, match="did you mean 'handwriting'"):
        Numerals().raw("handwritting", lambda share: None)
    from sklearn import datasets

    table = datasets.load_digits()
    table.target[0] = 1
    monkeypatch.setattr(datasets, "load_digits", lambda: table)
    with pytest.raises(MglibError, match="scikit-learn's digits have sha256 .*, not 87ff0c9e"):
        Numerals().raw("handwriting", lambda share: None)
