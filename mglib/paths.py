"""Where things lie and how they get there: checkout, cache, fresh rows, report; and the cores."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mglib.errors import MglibError

ROOT = Path(__file__).resolve().parent.parent
UNWRITABLE = {  # what `writing` takes for a full or forbidden place
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EFBIG,
}


def cache() -> Path:
    """Prepared data and features (`MGLIB_CACHE`, else `data/cache` in the checkout)."""
    return Path(os.environ.get("MGLIB_CACHE", ROOT / "data" / "cache")).expanduser().resolve()


def models() -> Path:
    """Folders of foundation models by name (`MGLIB_MODELS`, else `data/models` in the checkout)."""
    return Path(os.environ.get("MGLIB_MODELS", ROOT / "data" / "models")).expanduser().resolve()


def rows() -> Path:
    """Fresh result rows (`MGLIB_ROWS`, else `_rows` in the checkout)."""
    return Path(os.environ.get("MGLIB_ROWS", ROOT / "_rows")).expanduser().resolve()


def results() -> Path:
    """The committed reference rows (`MGLIB_RESULTS`, else `results` in the checkout)."""
    return Path(os.environ.get("MGLIB_RESULTS", ROOT / "results")).expanduser().resolve()


def report() -> Path:
    """Executed notebooks, figures, tables and the paper (`MGLIB_REPORT`, else `_report`)."""
    return Path(os.environ.get("MGLIB_REPORT", ROOT / "_report")).expanduser().resolve()


def replace(path: Path, data: bytes | str) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if isinstance(data, str):
            fresh.write_text(data, encoding="utf-8")
        else:
            fresh.write_bytes(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, variable: str = "MGLIB_CACHE") -> Iterator[None]:
    """Turn a full disk or a folder without write permission into one clear MglibError.

    `variable` is the environment variable that moves `path` elsewhere.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise MglibError(
            f"cannot write {path}: {error.strerror}; make room there or set "
            f"{variable} to a folder that can be written"
        ) from error


def cores() -> int:
    """CPU cores that this process may use: under taskset or Slurm, fewer than the machine has."""
    return len(os.sched_getaffinity(0))
