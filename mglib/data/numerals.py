"""The digits 0 to 9 written by hand, spoken, named in 38 languages and printed in 19 scripts."""

from __future__ import annotations

import numpy as np

from mglib.data._base import Advance, Dataset, Index, pack_strings
from mglib.data._espeak import ESPEAK
from mglib.data._handwriting import handwriting, pictures
from mglib.data._multiple_features import FEATURES
from mglib.data._number_words import WORDS
from mglib.data._printed import FONTS, printed
from mglib.data._spoken import clips, recordings
from mglib.errors import unknown
from mglib.registry import datasets

GROUPS = len(WORDS)
EACH = 5  # instances of a digit in a group
SIZE = 64  # pixels
# Side of the hidden square, of 16 pixels, and standard deviation of the noise, where ink is 1.
HANDWRITING = {
    "handwriting": (8, 0.35),
    "handwriting_occluded": (8, 0.0),
    "handwriting_clean": (0, 0.0),
}


@datasets.register("numerals")
class Numerals(Dataset):
    """1,900 tuples, 190 of each digit, paired by class and not by instance, as AV-MNIST pairs.

    A tuple holds any handwritten, spoken, named and printed form of its digit, all of one group.
    Each of the 38 groups has its own: a block of a collection of handwriting, four voices, a
    language, and a script in a range of weight. So a test asks for unseen hands, unseen voices, an
    unseen language, and a script that was seen in its other weights or not at all. The five tuples
    of a digit in a group share one word.

    The core modalities are hard by design: a quarter of the handwriting's area is hidden and the
    voices speak through babble. `handwriting` is noisy as well, which frozen picture encoders do
    not survive; `_clean` is intact.
    Source: ours, after AV-MNIST (Vielzeuf et al., arXiv 1808.07275).
    """

    version = "1"
    title = "Numerals, paired by class, not by instance"
    licences = {
        **dict.fromkeys(
            HANDWRITING,
            "CC-BY-4.0 (UCI Optical Recognition of Handwritten Digits; UCI Multiple Features)",
        ),
        **dict.fromkeys(
            ("speech", "speech_clean"),
            "synthesised with espeak-ng (GPL-3.0-or-later, used as a tool)",
        ),
        "words": "single number words, as num2words (LGPL, used as a tool) gives them",
        "glyph": "OFL-1.1 (Noto Sans, The Noto Project Authors)",
    }
    sources = (
        "UCI Optical Recognition of Handwritten Digits, as scikit-learn carries it",
        "UCI Multiple Features",
        "espeak-ng 1.52",
        "num2words 0.5.14",
        "Noto Sans",
    )
    CARRIERS = (FEATURES, ESPEAK, FONTS)
    kinds = {
        **dict.fromkeys(HANDWRITING, "image"),
        **dict.fromkeys(("speech", "speech_clean"), "audio"),
        "words": "text",
        "glyph": "image",
    }
    core = ("handwriting_occluded", "speech", "words", "glyph")
    anchor = "words"
    targets = ("class",)
    steps = {"handwriting": 2, "speech": 8, "speech_clean": 8, "glyph": 2}
    sample_rate = 16000

    def index(self) -> Index:
        """The instances by group, digit and take; their ids name the language of the group."""
        return Index(
            instance_ids=[
                f"{language}-{digit}-{take}"
                for language in WORDS
                for digit in range(10)
                for take in range(EACH)
            ],
            groups=np.repeat(np.arange(GROUPS, dtype=np.int64), 10 * EACH),
            targets={"class": np.tile(np.repeat(np.arange(10, dtype=np.int64), EACH), GROUPS)},
            class_names={"class": [str(digit) for digit in range(10)]},
        )

    def raw(self, modality: str, advance: Advance) -> tuple[np.ndarray, np.ndarray | None]:
        """Handwriting and glyph [N, 64, 64] on white, speech [N, 1, 16000], words [N, L]."""
        if modality in HANDWRITING:
            return pictures(handwriting(GROUPS, EACH), SIZE, *HANDWRITING[modality]), None
        if modality in ("speech", "speech_clean"):
            wanted = clips(WORDS["en"], GROUPS, EACH)
            hidden = modality == "speech"
            sounds = recordings(wanted, GROUPS, self.sample_rate, hidden, advance)
            return sounds[:, None], np.full((len(sounds), 1), self.sample_rate, dtype=np.int64)
        if modality == "words":
            return pack_strings(
                [word for words in WORDS.values() for word in words for _ in range(EACH)]
            )
        if modality == "glyph":
            return printed(EACH, SIZE), None
        raise unknown(f"modality of {self.name}", modality, self.kinds)
