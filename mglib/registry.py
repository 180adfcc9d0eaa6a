"""Names for the things that one dropped-in file adds: datasets, perceptors, algorithms, methods."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from mglib.errors import MglibError, unknown


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
        """All registered names, sorted."""
        self._walk()
        return sorted(self._found)

    def get(self, name: str) -> Any:
        """What is registered under `name`; raises MglibError with the nearest name."""
        self._walk()
        if name not in self._found:
            raise unknown(self.kind, name, self._found)
        return self._found[name]


datasets = Registry("dataset", "mglib.data")
perceptors = Registry("perceptor", "mglib.perceptors")
algorithms = Registry("algorithm", "mglib.algorithms")
