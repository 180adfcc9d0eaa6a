"""The one error that users see: it names the value, what is allowed and the nearest match."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class MglibError(Exception):
    """A mistake or a missing thing that the caller can mend; printed as one line, exit status 2."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: the line alone."""
        return [f"MglibError: {self}"]


def unknown(kind: str, name: object, allowed: Iterable[str]) -> MglibError:
    """The error for a name that does not exist, with its nearest match and all that do."""
    names = sorted(allowed)
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return MglibError(f"no {kind} '{name}'{hint} (known: {', '.join(names) or 'none'})")
