"""Progress of long work: a live line on a terminal or in Jupyter, plain lines in a log."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _mode() -> str:
    if os.environ.get("MGLIB_PROGRESS") == "off" or "PYTEST_CURRENT_TEST" in os.environ:
        return "off"
    kernel = "ipykernel" in sys.modules and not os.environ.get("MGLIB_BATCH")
    return "jupyter" if kernel else "terminal" if sys.stderr.isatty() else "log"


class Progress:
    """A count of `total` units with rate and time left; use it as a context manager.

    On a terminal and in Jupyter one line is redrawn; elsewhere a line is printed every 30 s and at
    the end; under pytest nothing is printed.
    """

    def __init__(self, label: str, total: float, unit: str = "it"):
        self.label, self.total, self.unit = label, total, unit
        self.done = 0.0
        self._found = 0.0
        self.note = ""
        self._mode = _mode()
        self._started = time.monotonic()
        self._drawn = self._started
        self._handle: Any = None

    def __enter__(self) -> Progress:
        if self._mode == "jupyter":
            from IPython.display import display

            self._handle = display({"text/plain": self._line()}, raw=True, display_id=True)
        return self

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Add finished units and, if given, a word on what is under way."""
        self.done += amount
        self.note = note or self.note
        now = time.monotonic()
        if now - self._drawn >= (30.0 if self._mode == "log" else 0.2):
            self._draw()
            self._drawn = now

    def tick(self, steps: int, computed: bool = True) -> None:
        """Add units; those that were found done, not computed now, do not count for the rate."""
        self._found += 0 if computed else steps
        self.advance(steps)

    def _line(self) -> str:
        seconds = time.monotonic() - self._started
        rate = (self.done - self._found) / seconds if seconds > 0 else 0.0
        left = _clock((self.total - self.done) / rate) if rate else "?"
        share = 100 * self.done / self.total if self.total else 100.0
        note = f"  {self.note}" if self.note else ""
        return (
            f"{self.label}  {self.done:,.0f}/{self.total:,.0f} {self.unit} ({share:.0f} %)  "
            f"{rate:,.1f} {self.unit}/s  {_clock(seconds)} elapsed, {left} left{note}"
        )

    def _draw(self, last: bool = False) -> None:
        if self._mode == "terminal":
            print("\r\x1b[2K" + self._line(), end="\n" if last else "", file=sys.stderr, flush=True)
        elif self._mode == "log":
            print(self._line(), file=sys.stderr, flush=True)
        elif self._handle is not None:
            self._handle.update({"text/plain": self._line()}, raw=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.note = "" if kind is None else "interrupted"
        self._draw(last=True)
