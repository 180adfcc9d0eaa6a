"""Where things lie: the checkout, the cache of prepared data, fresh rows and the report."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cache() -> Path:
    """Prepared data and features (`MGLIB_CACHE`, else `data/cache` in the checkout)."""
    return Path(os.environ.get("MGLIB_CACHE", ROOT / "data" / "cache")).expanduser().resolve()


def rows() -> Path:
    """Fresh result rows (`MGLIB_ROWS`, else `_rows` in the checkout)."""
    return Path(os.environ.get("MGLIB_ROWS", ROOT / "_rows")).expanduser().resolve()


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
