"""Spelling: the same words in small letters, in capitals and with one capital (ours)."""

import numpy as np

from mglib.data._base import Dataset, Index, pack_strings
from mglib.registry import datasets


@datasets.register("spelling")
class Spelling(Dataset):
    """Sixty numbered words in three spellings."""

    version, title, sources, targets = "1", "Spelling", ("made up",), ("class",)
    core, anchor = ("lower", "upper", "title"), "lower"
    kinds, licences = dict.fromkeys(core, "text"), dict.fromkeys(core, "CC0-1.0")
    words = [f"{word} {n}" for n in range(20) for word in ("art", "glyph", "speech")]

    def index(self):  # ids, groups that no split parts, labels, names of the classes
        n = np.arange(60)
        return Index(self.words, n, {"class": n % 3}, {"class": ["art", "glyph", "speech"]})

    def raw(self, modality, advance):  # values [N, ...] and lengths
        return pack_strings([getattr(word, modality)() for word in self.words])
