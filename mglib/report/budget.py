"""Seconds that a notebook may take: `notebooks/budget.toml`, read by `mglib run`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mglib import paths
from mglib.errors import MglibError
from mglib.report.output import results_folder
from mglib.report.parameters import parameters_of

FILE = Path("notebooks", "budget.toml")


def budgets() -> dict[str, dict[str, float]]:
    """Notebook -> profile -> seconds on 2 cores; raises MglibError if the file is no such table."""
    try:
        found = tomllib.loads((paths.ROOT / FILE).read_text(encoding="utf-8"))
        return {
            notebook: {profile: float(seconds) for profile, seconds in own.items()}
            for notebook, own in found.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise MglibError(f"{FILE} is no table of seconds: {error}") from error


def overrun(notebook: Path, given: Mapping[str, Any], seconds: float) -> str:
    """One line if a run took longer than its budget, else nothing.

    Only whole runs of a profile have one: no shards, no other parameters. `MGLIB_BUDGET=off` ends
    the matter; `told` leaves the line, and `mglib run` does not fail for it.
    """
    if os.environ.get("MGLIB_BUDGET") == "off" or given.get("shard"):
        return ""
    defaults = {name: default for name, (_, default) in parameters_of(notebook).items()}
    values = {**defaults, **given}
    profile = str(values.get("profile", "quick"))
    limit = budgets().get(notebook.stem, {}).get(profile)
    if limit is None or seconds <= limit or results_folder(values, defaults).name != profile:
        return ""
    return (
        f"{notebook.stem} took {seconds:.0f} s at profile {profile}, more than its {limit:.0f} s "
        f"in {FILE}; its results are kept (MGLIB_BUDGET=off allows any time)"
    )
