"""A process as users start one, beside one that holds its memory as the engine's workers do."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Any

import torch

from mglib.trials.allocator import NAME

_KEPT: dict[tuple[Any, ...], Callable[[], float]] = {}


def _measured(make: Callable[..., Callable[[], float]], told: tuple[Any, ...]) -> float:
    """Measure with what `make` gives, which is made anew only if something else was asked last."""
    torch.set_num_threads(1)
    if (make, *told) not in _KEPT:
        _KEPT.clear()
        _KEPT[make, *told] = make(*told)
    return _KEPT[make, *told]()


class Beside:
    """One process with one thread of torch, in the environment that the user has; as a context.

    `tunables` is the user's own setting of glibc, which this process may have changed.
    """

    def __init__(self, tunables: str | None):
        self._tunables = tunables

    def __enter__(self) -> Beside:
        changed = os.environ.pop(NAME, None)
        if self._tunables is not None:
            os.environ[NAME] = self._tunables
        try:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context)
            self._pool.submit(os.getpid).result()  # it starts now, in this environment
        finally:
            os.environ.pop(NAME, None)
            if changed is not None:
                os.environ[NAME] = changed
        return self

    def measure(self, make: Callable[..., Callable[[], float]], *told: Any) -> Callable[[], float]:
        """What `make(*told)` measures there; what was made last is kept for the next call."""
        return lambda: self._pool.submit(_measured, make, told).result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
