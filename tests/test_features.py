"""The store finds what is damaged, outdated or missing, and loses nothing when it is killed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import _tiny
import numpy as np
import pytest

from mglib import paths
from mglib.cli import main
from mglib.data import splits
from mglib.data._base import pack_strings, unpack_strings
from mglib.errors import MglibError
from mglib.features import STANDARD_SPLITS, data_identity, load_features, recipe, source_hashes
from mglib.perceptors.prepare import prepare

PERCEPTORS = ("raw", "shifted")


def outcomes(name: str) -> dict[str, str]:
    return {row.stage: row.outcome for row in prepare(name, PERCEPTORS, split_seeds=[0, 1])}


def contents() -> dict[str, str]:
    folder = paths.cache() / "features"
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_strings_survive_packing():
    strings = ["", "a", "wörd", "猫の顔"]
    packed, lengths = pack_strings(strings)
    assert unpack_strings(packed) == strings
    assert lengths.tolist() == [len(string.encode()) for string in strings]


def test_round_trip(tiny):
    prepare(tiny, PERCEPTORS, split_seeds=[0])
    word = load_features(tiny, "raw", "word")
    assert unpack_strings(word.values)[3] == "wörd 3"
    assert word.lengths is not None and word.lengths[3] == 7
    picture = load_features(tiny, "raw", "picture")
    assert np.array_equal(picture.values, _tiny.Tiny().raw("picture", lambda share: None)[0])
    assert picture.instance_ids[11] == "instance 11" and picture.lengths is None
    assert picture.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert picture.card["class_names"]["class"] == ["x", "y", "z"]
    fitted = load_features(tiny, "shifted", "picture", 0)
    assert fitted.card["split_seed"] == 0 and fitted.card["space"] == "shifted/picture"
    file = paths.cache() / "features/tiny/shifted/picture.split0.safetensors"
    assert fitted.card["content_hash"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_second_run_keeps_all_and_a_fresh_one_is_identical(tiny, tmp_path, monkeypatch):
    assert set(outcomes(tiny).values()) == {"made"}
    first = contents()
    assert set(outcomes(tiny).values()) == {"kept"}
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "elsewhere"))
    outcomes(tiny)
    assert contents() == first and len(first) == 12


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "no card", "bad card"])
def test_damage_is_named_and_rebuilt(tiny, damage, capsys):
    outcomes(tiny)
    before = contents()
    path = paths.cache() / "features" / "tiny" / "shifted" / "picture.split1.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if damage == "no card":
        path.with_suffix(".json").unlink()
    elif damage == "bad card":
        path.with_suffix(".json").write_text("{")
    else:
        path.write_bytes({"flip": content, "truncate": content[:50], "empty": b""}[damage])
    remedy = r"picture\.split1.*`mglib prepare tiny --perceptor shifted`"
    with pytest.raises(MglibError, match=remedy):
        load_features(tiny, "shifted", "picture", 1)
    capsys.readouterr()
    found = outcomes(tiny)
    rebuilt = "made" if damage == "no card" else "rebuilt"
    assert found.pop("shifted/picture split 1") == rebuilt and set(found.values()) == {"kept"}
    said = capsys.readouterr().err
    if damage != "no card":
        assert f"damaged cache file {path}" in said and f"rebuilt {path}" in said
    assert contents() == before


def test_damaged_input_is_rebuilt_even_when_only_its_consumer_is_asked_for(tiny):
    outcomes(tiny)
    for name in ("raw/picture.safetensors", "shifted/picture.split0.safetensors"):
        (paths.cache() / "features" / "tiny" / name).write_bytes(b"x")
    rows = prepare(tiny, ("shifted",), ["picture"], [0])
    assert {row.stage: row.outcome for row in rows} == {
        "shifted/picture split 0": "rebuilt",
        "raw/picture": "rebuilt",
    }


def test_a_raised_version_makes_the_file_outdated(tiny, monkeypatch, capsys):
    outcomes(tiny)
    monkeypatch.setattr(_tiny.Shifted, "version", "2")
    with pytest.raises(MglibError, match="outdated cache file .* other versions"):
        load_features(tiny, "shifted", "word", 0)
    found = outcomes(tiny)
    assert {stage for stage, what in found.items() if what == "rebuilt"} == {
        f"shifted/{modality} split {seed}" for modality in ("picture", "word") for seed in (0, 1)
    }
    assert load_features(tiny, "shifted", "word", 0).card["versions"]["perceptors"] == {
        "raw": "1",
        "shifted": "2",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tinny", "raw", "word"), "no dataset 'tinny'; did you mean 'tiny'"),
        (("tiny", "shiftd", "word"), "no perceptor 'shiftd'; did you mean 'shifted'"),
        (("tiny", "raw", "wrod"), "no modality of tiny 'wrod'; did you mean 'word'"),
        (("tiny", "raw", "word"), "no prepared features .*`mglib prepare tiny` makes them"),
        (("tiny", "shifted", "word"), "fitted per split: give a split_seed"),
        (("tiny", "shifted", "word", -1), "whole number from 0, not -1"),
        (("tiny", "speech_embedding", "word"), "takes audio, but modality 'word' of tiny is text"),
    ],
)
def test_errors_name_value_and_remedy(tiny, arguments, message):
    with pytest.raises(MglibError, match=message):
        load_features(*arguments)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("frozen", "text"), "mglib prepare emoji_concepts"),
        (("frozen", "text_de"), "mglib prepare emoji_concepts --modality text_de"),
        (("bound", "text", STANDARD_SPLITS - 1), "mglib prepare emoji_concepts"),
        (("bound", "text", 7), "mglib prepare emoji_concepts --splits 8"),
        (
            ("universal_sentence_encoder", "text_de"),
            "mglib prepare emoji_concepts --perceptor universal_sentence_encoder "
            "--modality text_de",
        ),
    ],
)
def test_the_remedy_makes_what_is_missing(arguments, remedy, tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path))
    with pytest.raises(MglibError, match=f"no prepared features .*`{remedy}` makes them"):
        load_features("emoji_concepts", *arguments)


def test_the_standard_splits_are_prepared_by_default(tiny):
    stages = [row.stage for row in prepare(tiny, ("shifted",), ["word"])]
    assert (
        stages[0] == "shifted/word split 0"
        and f"shifted/word split {STANDARD_SPLITS}" not in stages
    )
    assert len(stages) == STANDARD_SPLITS + 1


def test_the_number_of_standard_splits_is_written_once(tiny, monkeypatch):
    monkeypatch.setattr("mglib.features.STANDARD_SPLITS", 2)
    assert main(["prepare", tiny, "--perceptor", "shifted", "--modality", "word"]) == 0
    made = sorted(path.name for path in paths.cache().rglob("shifted/*.safetensors"))
    assert made == ["word.split0.safetensors", "word.split1.safetensors"]
    with pytest.raises(MglibError, match="`mglib prepare tiny --perceptor shifted --splits 3`"):
        load_features(tiny, "shifted", "word", 2)


def test_identity_is_json_and_needs_nothing_prepared(tiny):
    found = data_identity(tiny, "shifted")
    assert json.loads(json.dumps(found)) == found
    assert not paths.cache().exists()
    assert found["versions"] == {"dataset": "1", "perceptors": {"raw": "1", "shifted": "1"}}
    assert found["splitting"]["fractions"][0] == ["binding", 0.4]
    assert found["sources"] == source_hashes(tiny, "shifted") == {}
    with pytest.raises(MglibError, match="did you mean 'shifted'"):
        data_identity(tiny, "shiftd")


@pytest.mark.parametrize("change", ["fractions", "order", "version"])
def test_another_splitting_makes_what_is_fitted_outdated(tiny, change, monkeypatch):
    outcomes(tiny)
    before = {name: data_identity(tiny, name) for name in PERCEPTORS}
    shares = splits.FRACTIONS
    if change == "version":
        monkeypatch.setattr(splits, "SPLIT_VERSION", splits.SPLIT_VERSION + 1)
    elif change == "fractions":
        monkeypatch.setattr(splits, "FRACTIONS", {**shares, "binding": 0.2, "train": 0.5})
    else:
        monkeypatch.setattr(splits, "FRACTIONS", dict(reversed(shares.items())))
    assert all(data_identity(tiny, name) != before[name] for name in PERCEPTORS)
    with pytest.raises(MglibError, match="outdated cache file .* other splitting"):
        load_features(tiny, "shifted", "word", 0)
    load_features(tiny, "raw", "word")


@pytest.mark.parametrize(
    ("place", "value", "changed"),
    [
        ("mglib.perceptors.raw.Raw.version", "9", {"raw", "frozen", "bound"}),
        ("mglib.perceptors.frozen.Frozen.version", "9", {"frozen", "bound"}),
        (
            "mglib.perceptors.universal_sentence_encoder.UniversalSentenceEncoder.version",
            "9",
            {"frozen", "bound"},
        ),
        ("mglib.perceptors.bound.PENALTIES", np.array([1.0, 10.0]), {"bound"}),
        ("mglib.data.emoji_concepts.EmojiConcepts.version", "9", {"raw", "frozen", "bound"}),
        ("mglib.features.FORMAT", 9, {"raw", "frozen", "bound"}),
    ],
)
def test_what_decides_the_features_is_in_identity_and_recipe(place, value, changed, monkeypatch):
    def known(name: str) -> list[dict]:
        return [data_identity("emoji_concepts", name), recipe("emoji_concepts", name, "text", 0)]

    before = {name: known(name) for name in ("raw", "frozen", "bound")}
    monkeypatch.setattr(place, value)
    for name, (identity, wanted) in before.items():
        now = known(name)
        assert (now[0] != identity, now[1] != wanted) == (name in changed, name in changed)


def test_an_encoder_decides_its_own_kind_and_what_is_bound_to_it(monkeypatch):
    stages = [(name, m) for name in ("frozen", "bound") for m in ("art", "speech", "text")]
    before = {stage: recipe("emoji_concepts", *stage, 0) for stage in stages}
    with monkeypatch.context() as patch:
        patch.setattr("mglib.perceptors.speech_embedding.SpeechEmbedding.version", "9")
        changed = [s for s in stages if recipe("emoji_concepts", *s, 0) != before[s]]
    assert changed == [("frozen", "speech"), ("bound", "speech")]
    anchors = "mglib.perceptors.universal_sentence_encoder.UniversalSentenceEncoder.version"
    monkeypatch.setattr(anchors, "9")
    changed = [s for s in stages if recipe("emoji_concepts", *s, 0) != before[s]]
    assert changed == [("frozen", "text"), *((("bound", m)) for m in ("art", "speech", "text"))]


def test_prepare_refuses_unknown_names(tiny):
    with pytest.raises(MglibError, match="did you mean 'picture'"):
        prepare(tiny, modalities=["pictur"])
    with pytest.raises(MglibError, match="takes audio"):
        prepare(tiny, ("speech_embedding",))


def test_killed_at_any_point_it_resumes_to_the_same_content(tmp_path):
    script = str(Path(_tiny.__file__))
    environment = {**os.environ, "MGLIB_PROGRESS": "off", "PYTHONPATH": str(paths.ROOT)}

    def run(cache: Path, seconds: float | None) -> None:
        child = subprocess.Popen(
            [sys.executable, script], env={**environment, "MGLIB_CACHE": str(cache)}
        )
        if seconds is None:
            assert child.wait() == 0
            return
        while not list(cache.glob("features/tiny/raw/*.json")):
            time.sleep(0.02)
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        child.wait()

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    run(killed, 0.5)
    done = {path: path.stat().st_mtime_ns for path in killed.glob("features/tiny/*/*.json")}
    leftover = killed / "features" / "tiny" / "raw" / ".word.safetensors.999999999.tmp"
    leftover.write_bytes(b"half")
    run(killed, None)
    run(whole, None)
    assert done and all(path.stat().st_mtime_ns == at for path, at in done.items())
    assert not leftover.exists()
    listing = [
        {
            str(path.relative_to(cache)): path.read_bytes()
            for path in cache.rglob("*.*")
            if path.is_file()
        }
        for cache in (killed, whole)
    ]
    assert listing[0] == listing[1]


def test_full_disk_and_unwritable_cache_are_one_clear_error(tiny, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(MglibError, match="cannot write .*: No space left on device; make room"):
            prepare(tiny, ("raw",))
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MglibError, match="cannot write .*MGLIB_CACHE"):
        prepare(tiny, ("raw",))
    with pytest.raises(OSError, match="Input/output"), paths.writing(tmp_path):
        raise OSError(errno.EIO, "Input/output error")


def test_the_error_names_the_variable_that_moves_the_place(tmp_path):
    with pytest.raises(MglibError, match="make room there or set MGLIB_ROWS to a folder"):
        with paths.writing(tmp_path, "MGLIB_ROWS"):
            raise OSError(errno.EROFS, "Read-only file system")


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    assert paths.cores() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    assert paths.cores() == 1


def test_card_is_json_without_paths_of_this_machine(tiny):
    outcomes(tiny)
    for path in (paths.cache() / "features").rglob("*.json"):
        card = json.loads(path.read_text())
        assert str(paths.cache()) not in path.read_text() and card["dataset"] == "tiny"
