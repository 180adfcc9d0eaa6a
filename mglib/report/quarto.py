"""The other road to the same paper: Quarto, where it is installed, on the same assembled source."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from mglib.errors import MglibError, unknown
from mglib.paths import replace
from mglib.report.source import Document

ROADS = ("auto", "quarto", "built-in")
FORMATS = {"html": "html", "pdf": "typst"}
# Quarto only warns of these and ends with status 0.
_UNRESOLVED = re.compile(r"Unable to resolve crossref.*|citation .* not found.*", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# The same look as the built-in renderer's, in Quarto's words.
_LOOK: dict[str, dict[str, Any]] = {
    "html": {"theme": "none", "css": "paper.css"},
    "typst": {
        "papersize": "a4",
        "margin": {"x": "26mm", "top": "27mm", "bottom": "25mm"},
        "mainfont": "Libertinus Serif",
        "fontsize": "10.5pt",
    },
}


def choose_road(road: str = "auto") -> str:
    """'quarto' or 'built-in'; raises MglibError if Quarto is asked for and not there."""
    if road not in ROADS:
        raise unknown("road", road, ROADS)
    found = shutil.which("quarto")
    if road == "quarto" and not found:
        raise MglibError("road 'quarto' was asked for, but no quarto is on PATH; use auto")
    return "quarto" if found and road != "built-in" else "built-in"


def project(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of the assembled source: those of `_quarto.yml`, one input, one style sheet."""
    formats = {
        name: {**_LOOK[name], **(settings.get("format", {}).get(name) or {})} for name in _LOOK
    }
    return {
        **settings,
        "project": {"type": "default", "render": ["paper.qmd"]},
        "format": formats,
    }


def render(source: Path, output: Path, to: str = "all") -> list[Path]:
    """Render a `.qmd` through Quarto to `output` with suffix .html, .pdf or both, all or none.

    Quarto works in a scratch copy of the source's folder. Raises MglibError for what Quarto fails
    on, and for references and citations that it does not find.
    """
    if to not in (*FORMATS, "all"):
        raise unknown("format", to, (*FORMATS, "all"))
    Document(source)  # what one road refuses, the other does not render
    made: dict[Path, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="mglib-quarto-") as scratch:
        folder = Path(scratch) / "source"
        shutil.copytree(source.parent, folder)
        for ending in FORMATS if to == "all" else (to,):
            done = subprocess.run(
                ["quarto", "render", source.name, "--to", FORMATS[ending]],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            log = _ANSI.sub("", f"{done.stdout}\n{done.stderr}").strip()
            if lost := _UNRESOLVED.search(log):
                raise MglibError(f"Quarto: {lost[0].strip()}")
            made_here = folder / f"{source.stem}.{ending}"
            if done.returncode or not made_here.is_file():
                last = log.splitlines()[-1].strip() if log else "no message"
                raise MglibError(f"Quarto ended with status {done.returncode}: {last}")
            made[output.with_suffix(f".{ending}")] = made_here.read_bytes()
    for path, data in made.items():
        replace(path, data)
    return list(made)
