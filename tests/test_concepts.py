"""A concept is found by its name, in every modality."""

from __future__ import annotations

import numpy as np
import pytest

from mglib.analysis.concepts import find_concept, samples_at, takes_of, texts_of
from mglib.errors import MglibError
from mglib.features import load_features, unpack_strings
from mglib.figures.concepts import draw_samples
from mglib.perceptors.prepare import prepare


def test_a_concept_in_every_modality(emoji_concepts):
    place = find_concept(emoji_concepts, "Red Apple")
    (sample,) = samples_at(emoji_concepts, [place])
    assert sample.category == "Food & Drink" and sample.values["text"] == "red apple"
    texts = texts_of(emoji_concepts, place)
    assert len(texts) == 14 and texts["text"] == "red apple"
    assert (texts["text_de"].casefold(), texts["text_zh"]) == ("roter apfel", "红苹果")
    (takes,) = takes_of(emoji_concepts, place).values()
    assert len(takes) == 2 and all(0.2 < len(t) / sample.sample_rate <= 2 for t in takes)
    # Embedded as 16-bit sound in base64, both stay far below 200 kB.
    assert sum(len(take) * 2 * 4 / 3 for take in takes) < 200_000


def test_an_unknown_concept_is_answered_with_the_nearest(emoji_concepts):
    with pytest.raises(MglibError, match="no concept .*'red aple'; did you mean 'red apple'"):
        find_concept(emoji_concepts, "red aple")


def test_where_the_anchor_is_no_text_a_concept_is_a_class():
    prepare("smartwatch", ("raw",))
    place = find_concept("smartwatch", "Abduction")
    (sample,) = samples_at("smartwatch", [place])
    assert sample.category == "abduction"
    with pytest.raises(MglibError, match="'abductoin'; did you mean 'abduction'"):
        find_concept("smartwatch", "abductoin")
    figure = draw_samples([sample])
    curves = figure.axes[1].lines
    assert len(curves) == 3, "a curve per axis of the sensor"
    for channel, curve in enumerate(curves):
        assert np.array_equal(curve.get_ydata(), sample.values["accelerometer"][:, channel])
    assert len({curve.get_color() for curve in curves}) == 3


def test_the_first_of_several_instances_of_a_name_is_found():
    prepare("numerals", ("raw",), ["words", "speech"])
    words = unpack_strings(load_features("numerals", "raw", "words").values)
    repeated = next(word for word in words if words.count(word) > 1)
    assert find_concept("numerals", repeated) == words.index(repeated)
