"""The concepts as measured, pictures that can be recognised, speech that repeats bit for bit."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest

from mglib import paths
from mglib.data._espeak import Clip, synthesise
from mglib.data._glyphs import resolve
from mglib.data.emoji_concepts import CLASSES, EmojiConcepts, clips, content_words, united
from mglib.errors import MglibError
from mglib.features import load_features, unpack_strings
from mglib.perceptors.prepare import prepare

COUNTS = (168, 385, 153, 135, 218, 85, 262, 223)


@pytest.fixture(scope="module")
def raw(emoji_concepts):
    return {m: load_features(emoji_concepts, "raw", m) for m in EmojiConcepts.core}


@pytest.fixture(scope="module")
def names(raw) -> list[str]:
    return unpack_strings(raw["text"].values)


def test_counts_are_those_measured(raw):
    text = raw["text"]
    assert len(text.instance_ids) == 1629
    assert tuple(np.bincount(text.targets["class"])) == COUNTS
    assert text.card["class_names"]["class"] == list(CLASSES)
    assert len(text.card["class_names"]["subgroup"]) == 96 == len(set(text.targets["subgroup"]))
    classes_of_subgroup = {
        (s, c) for s, c in zip(text.targets["subgroup"], text.targets["class"], strict=True)
    }
    assert len(classes_of_subgroup) == 96
    assert {m: v.values.shape[1:] for m, v in raw.items() if m != "text"} == {
        "art": (72, 72, 3),
        "glyph": (72, 72),
        "speech": (2, 32000),
    }


def test_groups_by_name_are_those_measured_and_equal_pictures_join(raw, names):
    keys = [content_words(name) for name in names]
    assert len(set(keys)) == 1371
    groups = raw["text"].groups
    assert len(set(groups)) == 1358
    pictures = [[picture.tobytes() for picture in raw[m].values] for m in ("art", "glyph")]
    for column in (keys, *pictures):
        group_of: dict = {}
        assert all(
            group_of.setdefault(value, group) == group
            for value, group in zip(column, groups, strict=True)
        )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("man detective", ("detective",)),
        ("face with tears of joy", ("tears", "joy")),
        ("woman", ()),
        ("Japanese “free of charge” button", ("japanese", "free")),
        ("man’s shoe", ("man’s", "shoe")),
    ],
)
def test_content_words(name, words):
    assert content_words(name) == words


def test_union_is_transitive():
    assert united([["a", "a", "b", "c"], [1, 2, 2, 3]]).tolist() == [0, 0, 0, 1]


def test_pictures_show_what_their_names_say(raw, names):
    art, glyph = raw["art"].values.astype(float), raw["glyph"].values
    for name, channel in (("red circle", 0), ("green circle", 1), ("blue circle", 2)):
        colour = art[names.index(name), 36, 36]
        assert colour.argmax() == channel and colour.max() - np.median(colour) > 40
    assert (art[names.index("red circle"), 0, 0] == 255).all()
    assert (glyph.min(axis=(1, 2)) < 64).all() and (glyph.max(axis=(1, 2)) == 255).all()
    ink = (glyph < 128).mean(axis=(1, 2))
    assert ink.min() > 0.005 and ink[names.index("black large square")] > 0.2
    edge = np.concatenate([glyph[:, 0], glyph[:, -1], glyph[:, :, 0], glyph[:, :, -1]], axis=1)
    assert (edge > 128).mean() > 0.99, "glyphs are cut off"
    rows, columns = np.arange(72)[:, None], np.arange(72)
    dark = glyph[names.index("white circle")] < 128
    radius = np.hypot(rows - 35.5, columns - 35.5)[dark]
    assert radius.std() < 3 and radius.min() > 15


def test_sequences_resolve_to_their_ligature():
    class Font(dict):
        def getBestCmap(self):
            return {0x41: "A", 0x42: "B", 0x200D: "joiner"}

    class Of:
        def __init__(self, **fields):
            self.__dict__.update(fields)

    table = Of(
        ligatures={
            "A": [
                Of(Component=["joiner", "B"], LigGlyph="A_B"),
                Of(Component=["joiner"], LigGlyph="A_"),
            ]
        }
    )
    font = Font(GSUB=Of(table=Of(LookupList=Of(Lookup=[Of(LookupType=4, SubTable=[table])]))))
    sequences = ["A", "A\u200dB\ufe0f", "A\u200d\ufe0f", "B\u200dA"]
    assert resolve(font, sequences) == ["A", "A_B", "A_", "B"]
    with pytest.raises(MglibError, match="lacks a part"):
        resolve(font, ["C"])


def test_speech_repeats_bit_for_bit_and_its_voices_differ(raw, names):
    from scipy.signal import resample_poly

    wanted = clips(names)[:24]
    first, second = list(synthesise(wanted)), list(synthesise(wanted))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    stored, lengths = raw["speech"].values, raw["speech"].lengths
    for place, clip in enumerate(first):
        sound = np.rint(resample_poly(clip.astype(float), 320, 441))[:32000]
        assert lengths[place // 2, place % 2] == len(sound)
        kept = stored[place // 2, place % 2, : len(sound)]
        assert np.array_equal(kept, sound.clip(-32768, 32767))
    assert all(a.voice != b.voice for a, b in zip(wanted[::2], wanted[1::2], strict=True))
    assert (lengths == 32000).mean() < 0.02 and (np.abs(stored).max(axis=2) > 1000).all()


def test_speech_works_from_a_deep_cache_and_says_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_WHEELS", str(paths.cache() / "wheels"))
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "deep" / ("d" * 150)))
    assert len(next(synthesise([Clip("seven", "en-us", 170, 50, 50)]))) > 5000
    with pytest.raises(MglibError, match="espeak-ng ended before 'seven'.*no voice klingon-99"):
        list(synthesise([Clip("seven", "klingon-99", 170, 50, 50)]))


@pytest.mark.parametrize("job", [1, 20_000])
def test_a_synthesiser_that_dies_at_once_is_one_clear_error(emoji_concepts, job, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    spoken = synthesise([Clip("seven", "en-us", 170, 50, 50)] * job)
    with pytest.raises(MglibError, match="espeak-ng ended before 'seven' .exit status -?[19];"):
        next(spoken)


def test_fresh_cache_gives_the_same_bytes(emoji_concepts, raw, tmp_path, monkeypatch):
    stages = [("raw", "text"), ("frozen", "text"), ("bound", "text", 0)]
    before = [load_features(emoji_concepts, *stage).card["content_hash"] for stage in stages]
    for modality in ("art", "glyph"):
        fresh, _ = EmojiConcepts().raw(modality, lambda share: None)
        assert np.array_equal(fresh, raw[modality].values)
    monkeypatch.setenv("MGLIB_WHEELS", str(paths.cache() / "wheels"))
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path))
    prepare(emoji_concepts, ("bound",), ["text"], [0])
    after = [load_features(emoji_concepts, *stage).card["content_hash"] for stage in stages]
    assert after == before
