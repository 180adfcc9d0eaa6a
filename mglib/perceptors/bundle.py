"""The feature store in one archive, to be published or carried to a machine without a network."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mglib import paths
from mglib.errors import MglibError, unknown
from mglib.features import path_of, recipe, state
from mglib.perceptors._imported import Imported, record_path
from mglib.progress import Progress
from mglib.registry import datasets, perceptors

LARGEST = 4 * 2**30
WHEN = (1980, 1, 1, 0, 0, 0)  # of every member, so that one store gives one archive
# How reading a member fails: checksum, deflate, its end, a password, another compression.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError)
FOLDERS = ("features", "imports")


@dataclass(frozen=True)
class Taken:
    """What became of the features of an archive: files taken, there already, and of other code."""

    taken: int
    kept: int
    outdated: int


def _cards() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every card in the store that can be read, with its place."""
    for path in sorted((paths.cache() / "features").glob("*/*/*.json")):
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if isinstance(card, dict):
            yield path, card


def _owners(names: Sequence[str]) -> set[str]:
    """The datasets that have the features of some, which may be rows of others' features."""
    return {datasets.get(name).features_of or name for name in names}


def _recipe(card: dict[str, Any]) -> dict[str, Any] | None:
    """What a card's features would be made from now; None if nothing of the kind is made now."""
    try:
        question = [card[name] for name in ("dataset", "perceptor", "modality", "split_seed")]
        return recipe(*question)
    except (KeyError, MglibError):
        return None


def write_bundle(target: Path, names: Sequence[str] = ()) -> int:
    """All sound features of some datasets (none: of all) into a zip archive; how many files.

    Equal stores give equal archives. Raises MglibError for an unknown dataset, if there is nothing
    to write, and if the archive cannot be written.
    """
    owners = _owners(names)
    members: list[Path] = []
    for card_path, card in _cards():
        wanted = _recipe(card)
        if wanted is None or (owners and wanted["dataset"] not in owners):
            continue
        content = path_of(wanted)
        if content.with_suffix(".json") == card_path and state(wanted) == "ready":
            members += [content, card_path]
            imported = record_path(wanted["dataset"], wanted["perceptor"])
            if imported.is_file() and imported not in members:
                members.append(imported)
    if not members:
        raise MglibError(
            f"no prepared features{' of ' + ', '.join(names) if names else ''} in "
            f"{paths.cache() / 'features'}; `mglib prepare` makes them"
        )
    fresh = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fill(fresh, members, target.name)
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise MglibError(f"cannot write '{target}': {error.strerror}") from error
    return sum(path.suffix == ".safetensors" for path in members)


def _fill(fresh: Path, members: Sequence[Path], title: str) -> None:
    with (
        zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive,
        Progress(f"bundle {title}", len(members), "files") as progress,
    ):
        for path in members:
            place = path.relative_to(paths.cache()).as_posix()
            member = zipfile.ZipInfo(place, WHEN)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, path.read_bytes())
            progress.advance(1, place)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise MglibError(f"no file '{name}' in {archive.filename}") from None
    if member.file_size > LARGEST:
        raise MglibError(f"'{name}' in {archive.filename} unpacks to too much: refused")
    try:
        return archive.read(member)
    except DAMAGE as error:
        raise MglibError(f"'{name}' in {archive.filename} is damaged: {error}") from error


def _json(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    try:
        found = json.loads(_read(archive, name))
    except ValueError as error:
        raise MglibError(f"'{name}' in {archive.filename} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise MglibError(f"'{name}' in {archive.filename} is no JSON object")
    return found


def take_bundle(source: Path, names: Sequence[str] = ()) -> Taken:
    """Features of some datasets (none: of all) out of an archive into the store.

    Taken is what the present versions made and what nothing damaged since; whoever made the archive
    is trusted. What is there already is left alone, what other code made is counted. Raises
    MglibError for a file that is no such archive and for content that does not fit its card; what
    was taken before stays.
    """
    owners = _owners(names)
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise MglibError(f"'{source}' is no archive of `mglib bundle`: {error}") from error
    with archive:
        listed = [name for name in archive.namelist() if name.split("/")[0] in FOLDERS]
        cards = sorted(n for n in listed if n.startswith("features/") and n.endswith(".json"))
        if not cards:
            raise MglibError(f"'{source}' is no archive of `mglib bundle`: it holds no features")
        if owners and not (there := {name.split("/")[1] for name in cards}) & owners:
            raise unknown(f"dataset in '{source}'", names[0], there)
        _take_records(archive, [n for n in listed if n.startswith("imports/")], owners)
        taken = kept = outdated = 0
        with Progress(f"unpack {source.name}", len(cards), "files") as progress:
            for name in cards:
                progress.advance(1, name)
                card = _json(archive, name)
                if owners and card.get("dataset") not in owners:
                    continue
                wanted = _recipe(card)
                if wanted is None or any(card.get(f) != value for f, value in wanted.items()):
                    outdated += 1
                elif state(wanted) == "ready":
                    kept += 1
                else:
                    content = _read(archive, name.removesuffix(".json") + ".safetensors")
                    _place(wanted, card, content, source)
                    taken += 1
    return Taken(taken, kept, outdated)


def _take_records(archive: zipfile.ZipFile, listed: Sequence[str], owners: set[str]) -> None:
    """What imported features were imported from, where nothing of the kind was imported here."""
    senses = {n for n in perceptors.names() if issubclass(perceptors.get(n), Imported)}
    for name in listed:
        parts = name.removesuffix(".json").split("/")
        known = len(parts) == 3 and parts[1] in datasets.names() and parts[2] in senses
        if not known or (owners and parts[1] not in owners):
            continue
        target = record_path(parts[1], parts[2])
        if not target.is_file():
            told = _json(archive, name)
            with paths.writing(target):
                paths.replace(target, json.dumps(told, indent=1) + "\n")


def _place(wanted: dict[str, Any], card: dict[str, Any], content: bytes, source: Path) -> None:
    if hashlib.sha256(content).hexdigest() != card.get("content_hash"):
        raise MglibError(
            f"{wanted['dataset']}/{wanted['perceptor']}/{wanted['modality']} in '{source}' is "
            "damaged: its sha256 is not the one on its card"
        )
    path = path_of(wanted)
    beside = path.with_suffix(".json")
    with paths.writing(path):
        beside.unlink(missing_ok=True)
        paths.replace(path, content)
        paths.replace(beside, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
