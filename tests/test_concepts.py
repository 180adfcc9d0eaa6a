"""A concept is found by its name, in every modality."""

from __future__ import annotations

import pytest

from mglib.analysis.concepts import find_concept, samples_at, takes_of, texts_of
from mglib.errors import MglibError


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
