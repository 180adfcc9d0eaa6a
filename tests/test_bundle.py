"""One archive of the store: what it gives back is what was there, and nothing else gets in."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import _modalbed
import numpy as np
import pytest

from mglib import paths
from mglib.cli import main
from mglib.errors import MglibError
from mglib.features import load_features, path_of, recipe, state
from mglib.perceptors.bundle import Taken, take_bundle, write_bundle
from mglib.perceptors.import_features import import_features
from mglib.perceptors.prepare import prepare

FILES = 6  # two modalities raw, and fitted in two splits


@pytest.fixture
def archive(tiny, tmp_path, monkeypatch):
    """An archive of the prepared tiny dataset, and an empty cache."""
    prepare(tiny, ("raw", "shifted"), split_seeds=[0, 1])
    path = tmp_path / "out" / "features.zip"
    assert write_bundle(path) == FILES
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "other"))
    return path


def test_the_store_comes_back_bit_for_bit_without_computing(archive, tmp_path, monkeypatch):
    assert take_bundle(archive) == Taken(FILES, 0, 0)
    monkeypatch.setattr("_tiny.Tiny.raw", None)  # nothing is computed any more
    assert {item.outcome for item in prepare("tiny", ("raw", "shifted"), split_seeds=[0, 1])} == {
        "kept"
    }
    own, other = tmp_path / "cache" / "features", tmp_path / "other" / "features"
    files = sorted(path.relative_to(own) for path in own.rglob("*") if path.is_file())
    assert len(files) == 2 * FILES
    assert all((own / name).read_bytes() == (other / name).read_bytes() for name in files)
    assert take_bundle(archive) == Taken(0, FILES, 0)


def test_equal_stores_give_equal_archives(archive, tmp_path):
    take_bundle(archive)
    again = tmp_path / "again.zip"
    write_bundle(again, ["tiny"])
    assert again.read_bytes() == archive.read_bytes()


def test_what_other_code_made_and_other_datasets_are_left(archive, monkeypatch):
    monkeypatch.setattr("_tiny.Shifted.version", "2")
    assert take_bundle(archive, ["tiny"]) == Taken(2, 0, 4)
    with pytest.raises(MglibError, match=r"no dataset in .* 'numerals' \(known: tiny\)"):
        take_bundle(archive, ["numerals"])
    with pytest.raises(MglibError, match="did you mean 'tiny'"):
        take_bundle(archive, ["tin"])


def rewritten(archive, edit):
    """The archive with members changed: name -> content, None to leave it out."""
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members |= edit(members)
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in members.items():
            if content is not None:
                new.writestr(name, content)


WORD = "features/tiny/raw/word"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: {f"{WORD}.safetensors": m[f"{WORD}.safetensors"] + b"x"}, "raw/word .* damaged"),
        (lambda m: {f"{WORD}.json": m[f"{WORD}.json"][:9]}, "is not JSON"),
        (lambda m: {f"{WORD}.safetensors": None}, f"no file '{WORD}.safetensors' in"),
        (lambda m: {f"{WORD}.json": b"{"}, f"'{WORD}.json' in .* is not JSON"),
        (lambda m: {f"{WORD}.json": b"[]"}, f"'{WORD}.json' in .* is no JSON object"),
        (lambda m: dict.fromkeys(m), "it holds no features"),
    ],
)
def test_damage_is_refused_and_leaves_no_half_file(edit, message, archive):
    rewritten(archive, edit)
    with pytest.raises(MglibError, match=message):
        take_bundle(archive)
    assert state(recipe("tiny", "raw", "word", None)) == "missing"
    assert not [*paths.cache().rglob("*.tmp")]


def test_flipped_bytes_and_folders_are_one_clear_error(archive, tmp_path):
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(f"{WORD}.json")
    content = bytearray(archive.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    for place in range(start, start + 20):
        content[place] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(MglibError, match=f"'{WORD}.json' in .* is damaged"):
        take_bundle(archive)
    with pytest.raises(MglibError, match="is no archive of `mglib bundle`"):
        take_bundle(tmp_path)


def test_nothing_lands_outside_the_store(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "x" / "y" / "other"))

    def climb(members):
        card = members[f"{WORD}.json"]
        return {
            "features/../../../evil.json": card,
            "features/../../../evil.safetensors": members[f"{WORD}.safetensors"],
            "features/tiny/raw/../../../../up.json": json.dumps({"dataset": "../up"}).encode(),
            "imports/../evil.json": b"{}",
            "/absolute.json": b"{}",
        }

    rewritten(archive, climb)

    def outside():
        return {p for p in tmp_path.rglob("*") if p.is_file() and "other" not in p.parts}

    before = outside()
    take_bundle(archive)
    assert outside() == before
    assert not [*tmp_path.rglob("evil*"), *tmp_path.rglob("up.json")]
    assert not Path("/absolute.json").exists()


def test_imported_features_come_with_what_they_were_imported_from(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "cache"))
    import_features(_modalbed.write(tmp_path / "files"))
    before = load_features("msr_vtt", "imagebind", "audio")
    write_bundle(tmp_path / "features.zip")
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "other"))
    assert take_bundle(tmp_path / "features.zip") == Taken(3, 0, 0)
    assert np.array_equal(load_features("msr_vtt", "imagebind", "audio").values, before.values)
    import_features(_modalbed.write(tmp_path / "files", count=80))
    assert take_bundle(tmp_path / "features.zip") == Taken(0, 0, 3), "imported here stays"
    assert len(load_features("msr_vtt", "imagebind", "audio").values) == 78


def test_nothing_to_write_and_no_archive(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MglibError, match="no prepared features of numerals"):
        write_bundle(tmp_path / "x.zip", ["numerals"])
    assert not [*tmp_path.iterdir()]
    (tmp_path / "x.zip").write_text("text")
    for path in (tmp_path / "x.zip", tmp_path / "absent.zip"):
        with pytest.raises(MglibError, match="is no archive of `mglib bundle`"):
            take_bundle(path)


def test_where_nothing_can_be_written_nothing_stays(tiny, tmp_path):
    prepare(tiny, ("raw",))
    before = {*tmp_path.iterdir()}
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    for target in (tmp_path / "folder", tmp_path / "file" / "x.zip"):
        with pytest.raises(MglibError, match="cannot write '"):
            write_bundle(target)
    assert {*tmp_path.iterdir()} == before | {tmp_path / "folder", tmp_path / "file"}
    assert (tmp_path / "file").read_text() == "kept"


def test_damaged_features_stay_out(tiny, tmp_path):
    prepare(tiny, ("raw",))
    path = path_of(recipe("tiny", "raw", "word", None))
    path.write_bytes(path.read_bytes()[:-1])
    assert write_bundle(tmp_path / "x.zip") == 1


def test_commands(tiny, tmp_path, monkeypatch, capsys):
    prepare(tiny, ("raw",))
    file = str(tmp_path / "features.zip")
    assert main(["bundle", file, "tiny"]) == 0
    assert "2 feature files" in capsys.readouterr().out
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "other"))
    assert main(["prepare", "tiny", "--perceptor", "raw", "--from", file]) == 0
    told = capsys.readouterr().out
    assert "took 2, there already 0, of other code 0" in told and "tiny: kept 2" in told
    assert main(["bundle", file, "tinny"]) == 2
