"""Notebook parameters: literals in one tagged cell, checked outside the kernel and inside it."""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mglib.errors import MglibError, unknown

_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}


# Sources of the cells run so far where there is no Jupyter (execution.run_cells), else None.
running: list[str] | None = None


def _fits(value: object, annotation: str) -> bool:
    for option in (part.strip() for part in annotation.split("|")):
        if option == "None" and value is None:
            return True
        if option.startswith("list[") and isinstance(value, list):
            if all(_fits(item, option[5:-1]) for item in value):
                return True
        elif option == "float" and isinstance(value, int | float) and not isinstance(value, bool):
            return math.isfinite(value)
        elif option == "int" and isinstance(value, int) and not isinstance(value, bool):
            return True
        elif option in ("str", "bool") and isinstance(value, _TYPES[option]):
            return True
    return False


def declared(source: str) -> dict[str, tuple[str, Any]]:
    """Name -> (annotation, default) of a parameters cell; MglibError unless all are literals."""
    found = {}
    for line in ast.parse(source).body:
        if not (
            isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value
        ):
            raise MglibError(
                "a parameters cell holds annotated literals only, such as `seed: int = 0`; "
                f"found `{ast.unparse(line)}`"
            )
        try:
            value = ast.literal_eval(line.value)
        except ValueError as error:
            raise MglibError(f"parameter '{line.target.id}' is not a literal") from error
        found[line.target.id] = (ast.unparse(line.annotation), value)
    return found


def check(given: Mapping[str, Any], known: Mapping[str, tuple[str, Any]], where: str) -> None:
    """Raise MglibError for a name that is not declared or a value of another type."""
    for name, value in given.items():
        if name not in known:
            raise unknown(f"parameter of {where}", name, known)
        annotation = known[name][0]
        if not _fits(value, annotation):
            raise MglibError(f"parameter '{name}' of {where} must be {annotation}, not {value!r}")


def parse(
    texts: Mapping[str, str], known: Mapping[str, tuple[str, Any]], where: str
) -> dict[str, Any]:
    """Command-line texts as values of the declared types: JSON where it fits, else the text."""
    values: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = {"None": None, "True": True, "False": False}.get(text, text)
        fits = name in known and _fits(value, known[name][0])
        values[name] = (
            value if fits or name not in known or not _fits(text, known[name][0]) else text
        )
    check(values, known, where)
    return values


def parameters_of(notebook: Path) -> dict[str, tuple[str, Any]]:
    """The declared parameters of a notebook file; MglibError if it has no single tagged cell."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise MglibError(f"{notebook} has {len(tagged)} cells tagged 'parameters', not one")
    return declared("".join(tagged[0]["source"]))


class Parameters(Mapping[str, Any]):
    """The checked parameters of the running notebook, by attribute or by name."""

    def __init__(self, defaults: Mapping[str, Any], given: Mapping[str, Any]):
        self.defaults = dict(defaults)
        self._values = {**defaults, **given}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._values:
            raise unknown("parameter", name, self._values)
        return self._values[name]

    def __repr__(self) -> str:
        return "Parameters(" + ", ".join(f"{k}={v!r}" for k, v in self._values.items()) + ")"

    def scale(self, **profiles: Mapping[str, Any]) -> dict[str, Any]:
        """The numbers of the parameter `profile`, each replaced by a set parameter of its name.

        Raises MglibError for a profile that the notebook does not have.
        """
        if self.profile not in profiles:
            raise unknown("profile", self.profile, profiles)
        numbers = dict(profiles[self.profile])
        numbers.update({k: self[k] for k in numbers if self._values.get(k) is not None})
        return numbers


def _assigned(source: str) -> dict[str, Any] | None:
    """The literal assignments of papermill's injected cell, None if the cell is another one."""
    if not source.lstrip().startswith("# Parameters"):
        return None
    values = {}
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            # papermill writes NaN and infinity as calls of float
            text = ast.unparse(line.value)
            special = re.fullmatch(r"float\('(-?(?:nan|inf))'\)", text)
            value = float(special[1]) if special else ast.literal_eval(line.value)
            values[line.targets[0].id] = value
    return values


def guarded(cells: Sequence[str], where: str = "this notebook") -> Parameters:
    """Check the executed cells' parameters: the last that declares some, and papermill's after it.

    Raises MglibError for an unknown name (papermill only warns), a wrong type, or no declaration.
    """
    known: dict[str, tuple[str, Any]] | None = None
    given: dict[str, Any] = {}
    for source in cells:
        injected = _assigned(source)
        if injected is not None:
            given = injected
        elif _declares(source):
            known, given = declared(source), {}
    if known is None:
        raise MglibError("no parameters cell was run before guard(); run the notebook from the top")
    check(given, known, where)
    return Parameters({name: default for name, (_, default) in known.items()}, given)


def _declares(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a cell with IPython magics declares nothing
        return False
    return bool(body) and all(isinstance(line, ast.AnnAssign) for line in body)


def guard() -> Parameters:
    """Check the running notebook's parameters; call it right after the parameters cell.

    Under papermill, in JupyterLab and in `mglib run`. Raises MglibError, which ends the run.
    """
    if running is not None:
        return guarded(running)
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        raise MglibError("guard() works inside a notebook: in Jupyter, papermill or `mglib run`")
    history = [source for source in shell.user_ns["In"] if source]
    if not history:  # nbval keeps none; what was declared still stands in the namespace
        types = shell.user_ns.get("__annotations__", {})
        history = [
            "\n".join(
                f"{name}: {inspect.formatannotation(kind)} = {shell.user_ns[name]!r}"
                for name, kind in types.items()
            )
        ]
    return guarded(history)
