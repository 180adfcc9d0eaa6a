"""The one error that users see: it names the value, what is allowed and the nearest match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SHOWN = 12  # names that an error lists; of more, the nearest


class MglibError(Exception):
    """A mistake or a missing thing that the caller can mend; printed as one line, exit status 2."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: the line alone."""
        return [f"MglibError: {self}"]


class Absent(MglibError):
    """What a user brings along is not here: that says nothing of what was once made with it."""


def unknown(kind: str, name: object, allowed: Iterable[str]) -> MglibError:
    """The error for a name that does not exist, with its nearest match and all that do."""
    names = sorted(allowed)
    near = get_close_matches(str(name), names, n=SHOWN, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    shown = names if len(names) <= SHOWN else near or names[:SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    return MglibError(f"no {kind} '{name}'{hint} (known: {', '.join(shown) or 'none'}{more})")


def unknown_key(kind: str, key: str, known: Iterable[str]) -> MglibError:
    """The error for a key that does not exist, with one that is a typing error away, if any is.

    Keys are digests, which are all alike: others are counted and not named.
    """
    names = list(known)
    near = get_close_matches(key, names, n=1, cutoff=0.8)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return MglibError(f"no {kind} '{key}'{hint} ({len(names) or 'none'} known)")


def check_different(what: str, values: Sequence[object]) -> None:
    """Raise MglibError unless a list holds one or more different things."""
    if not values or len(set(values)) < len(values):
        raise MglibError(f"{what} must be one or more different ones, not {[*values]}")
