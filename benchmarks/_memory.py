"""What a computation takes of memory at its peak, in a fresh process where nothing else counts."""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from benchmarks._world import threads

Result = TypeVar("Result")


def peak() -> int:
    """KiB that this process had in memory at most; getrusage would count its parent's, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (own for own in status.splitlines() if own.startswith("VmHWM:"))
    return int(line.split()[1])


def taken(make: Callable[..., Callable[[], object]], *told: Any) -> float:
    """MiB that doing what `make` gives takes at its peak beyond what was there before; one thread.

    It is done twice and the second time counts, when what it needs of libraries is loaded.
    """
    with threads(1):
        once = make(*told)
        once()
        # Give back what is free and forget the peak: Linux then counts anew from what is in use.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = peak()
        once()
        return (peak() - before) / 1024


def elsewhere(function: Callable[..., Result], *told: Any) -> Callable[[], Result]:
    """Gives what a function gives in a fresh process."""

    def measured() -> Result:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(function, *told).result()

    return measured
