"""HDF5 files of others, opened for reading: nothing outside the file itself is ever followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mglib.errors import MglibError


@contextmanager
def opened(path: Path, allowed: str) -> Iterator[Any]:
    """The file for reading; every way in which it is no HDF5 file is one MglibError.

    `allowed` is what a file here may be, for that error.
    """
    try:
        import h5py
    except ImportError as error:
        raise MglibError(f"reading '{path}' needs h5py ({error})") from error
    if not path.is_file():
        raise MglibError(f"no file '{path}'; allowed is {allowed}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise MglibError(f"'{path}' is no HDF5 file ({error}); allowed is {allowed}") from error
    with file:
        yield file


def _refused(file: Any, name: str, why: str) -> MglibError:
    return MglibError(f"'{name}' in '{file.filename}' {why}: refused")


def _elsewhere(link: Any, found: Any) -> str:
    """How a link or the values of a data set lead out of where they are; empty if they do not."""
    import h5py

    if link is not None and not isinstance(link, h5py.HardLink):
        return "is a link to elsewhere"
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        return "lies in another file"
    return ""


def stored(file: Any, name: str) -> Any:
    """The data set of a name that lies in the file itself; None if there is none.

    Raises MglibError for a group, a link, and for values that lie in another file.
    """
    import h5py

    link = file.get(name, getlink=True)
    if link is None:
        return None
    if why := _elsewhere(link, None):
        raise _refused(file, name, why)
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise MglibError(f"'{name}' in '{file.filename}' is a group, not a data set")
    if why := _elsewhere(link, found):
        raise _refused(file, name, why)
    return found


def check_inside(file: Any) -> None:
    """Raise MglibError if anything in the file is a link, or holds values of another file."""

    def told(name: str, link: Any, found: Any) -> tuple[str, str] | None:
        # h5py ends a visit on what is not None; it does not bear an exception there.
        return (name, why) if (why := _elsewhere(link, found)) else None

    bad = file.visititems_links(lambda name, link: told(name, link, None))
    bad = bad or file.visititems(lambda name, found: told(name, None, found))
    if bad:
        raise _refused(file, *bad)
