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


def stored(file: Any, name: str) -> Any:
    """The data set of a name that lies in the file itself; None if there is none.

    Raises MglibError for a group, a link, and for values that lie in another file.
    """
    import h5py

    link = file.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise MglibError(f"'{name}' in '{file.filename}' is a link to elsewhere: refused")
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise MglibError(f"'{name}' in '{file.filename}' is a group, not a data set")
    if found.is_virtual or found.external:
        raise MglibError(f"'{name}' in '{file.filename}' lies in another file: refused")
    return found
