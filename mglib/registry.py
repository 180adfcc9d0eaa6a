"""Names for the things that one dropped-in file adds: datasets, perceptors, algorithms, methods.

What declares `settings` can be named with some of them, as in `bound@pairs=20,seed=1`: in the order
declared, and without what is as by default, so that one thing has one name.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from mglib.errors import MglibError, unknown

Value = int | float | str


def base_name(name: str) -> str:
    """The registered name behind a name with settings: `bound` of `bound@pairs=20`."""
    return name.partition("@")[0]


@dataclass(frozen=True)
class Setting:
    """What a name may set: a `kind` (int, float or str) in low..high, or one of `words`.

    A text without `words` may be any name. `why` is the reason of its bounds, for the error.
    """

    kind: type[Value]
    default: Value
    low: float = float("-inf")
    high: float = float("inf")
    words: tuple[str, ...] = ()
    why: str = ""

    def allowed(self) -> str:
        """What it may be, for a reader."""
        words = [f"'{word}'" for word in self.words]
        if self.kind is str:
            return " or ".join(words) or "a name"
        number = "a whole number" if self.kind is int else "a number"
        number += f" from {self.low:g}" if self.low > float("-inf") else ""
        number += f" to {self.high:g}" if self.high < float("inf") else ""
        return " or ".join([number, *words])

    def read(self, text: str) -> Value:
        """The value that a text stands for; raises ValueError if it is not allowed."""
        if text in self.words:
            return text
        if self.kind is str:
            if self.words or not text.replace("_", "a").isalnum():
                raise ValueError(text)
            return text
        value = int(text) if self.kind is int else float(f"{float(text):.12g}")
        if not self.low <= value <= self.high:
            raise ValueError(text)
        return value


class Configured:
    """What a name may set: `settings` by name, of which a name with an '@' has `chosen` some."""

    settings: ClassVar[Mapping[str, Setting]] = {}
    chosen: ClassVar[Mapping[str, Value]] = {}

    @classmethod
    def values(cls) -> dict[str, Any]:
        """Every setting by its name, as chosen or by default."""
        return {name: cls.chosen.get(name, own.default) for name, own in cls.settings.items()}

    @classmethod
    def check_settings(cls) -> None:
        """Raise MglibError for settings that are allowed each, but not together."""


def _written(values: Mapping[str, Value]) -> str:
    """Settings as they stand in a name: 'pairs=20,noise=0.5'."""
    texts = {k: f"{v:.12g}" if isinstance(v, float) else str(v) for k, v in values.items()}
    return ",".join(f"{name}={text}" for name, text in texts.items())


@lru_cache(maxsize=1024)
def _with_settings(kind: str, base: Any, name: str) -> Any:
    """A subclass of `base` with the settings that a name tells, in its attribute `chosen`."""
    settings: Mapping[str, Setting] = getattr(base, "settings", {})
    if not settings:
        raise MglibError(f"{kind} '{base.name}' has no settings, so there is no '{name}'")
    told: dict[str, Value] = {}
    for part in name.partition("@")[2].split(","):
        key, mark, text = part.partition("=")
        if not mark or key in told:
            raise MglibError(
                f"{kind} '{name}' is not written {base.name}@name=value,name=value with each of "
                f"its settings ({', '.join(settings)}) at most once"
            )
        if key not in settings:
            raise unknown(f"setting of {kind} '{base.name}'", key, settings)
        setting = settings[key]
        try:
            told[key] = setting.read(text)
        except ValueError as error:
            if setting.kind is str and setting.words:
                raise unknown(f"{key} of {kind} '{base.name}'", text, setting.words) from error
            why = f": {setting.why}" if setting.why else ""
            raise MglibError(
                f"{key} of {kind} '{base.name}' must be {setting.allowed()}, not '{text}'{why}"
            ) from error
    chosen = {k: told[k] for k in settings if k in told and told[k] != settings[k].default}
    canonical = f"{base.name}@{_written(chosen)}" if chosen else base.name
    if name != canonical:
        raise MglibError(
            f"{kind} '{name}' is written '{canonical}': settings in their order, without defaults"
        )
    kept = {"__module__": base.__module__, "__doc__": base.__doc__}
    made = type(base)(base.__name__, (base,), {"name": name, "chosen": chosen, **kept})
    made.check_settings()
    return made


class Registry:
    """What is registered under a kind; modules of `package` are imported on the first look-up."""

    def __init__(self, kind: str, package: str):
        self.kind = kind
        self.package = package
        self._found: dict[str, Any] = {}
        self._walked = False

    def register(self, name: str) -> Callable[[Any], Any]:
        """Enter the decorated class under `name`; raises MglibError if the name is taken."""

        def enter(item: Any) -> Any:
            if name in self._found:
                raise MglibError(
                    f"{self.kind} '{name}' is registered twice: in "
                    f"{self._found[name].__module__} and in {item.__module__}"
                )
            item.name = name
            self._found[name] = item
            return item

        return enter

    def _walk(self) -> None:
        if self._walked:
            return
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{self.package}.{module.name}")
        self._walked = True

    def names(self) -> list[str]:
        """All registered names, sorted; settings take no part."""
        self._walk()
        return sorted(self._found)

    def get(self, name: str) -> Any:
        """What is registered under `name`, with the settings that the name tells after an '@'.

        Raises MglibError with the nearest name, for a setting or value that there is not, and for
        a name that is not written as its settings are.
        """
        self._walk()
        if name in self._found:
            return self._found[name]
        base = base_name(str(name))
        if base == name or base not in self._found:
            raise unknown(self.kind, base, self._found)
        return _with_settings(self.kind, self._found[base], name)

    def about(self, name: str) -> str:
        """What is registered under `name` in one line: its first sentence, and its settings."""
        item = self.get(name)
        text = (item.__doc__ or "").strip().splitlines()[0]
        settings: Mapping[str, Setting] = getattr(item, "settings", {})
        defaults = _written({key: setting.default for key, setting in settings.items()})
        return f"{text} [@{defaults}]" if settings else text


datasets = Registry("dataset", "mglib.data")
perceptors = Registry("perceptor", "mglib.perceptors")
algorithms = Registry("algorithm", "mglib.algorithms")
bodies = Registry("body", "mglib.transfer.bodies")
transfers = Registry("transfer method", "mglib.transfer.methods")
missing_methods = Registry("method for missing modalities", "mglib.missing.methods")
pairings = Registry("pairing", "mglib.missing.pairings")
laws = Registry("law of missing data", "mglib.missing.laws")
