"""The paper: its text and what was measured brought together, checked and rendered."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mglib import paths
from mglib.errors import MglibError, unknown
from mglib.report import lint, quarto
from mglib.report.links import credited, maker
from mglib.report.notebook_page import notebook_page
from mglib.report.render import HERE, To, render
from mglib.report.source import Missing, read_yaml
from mglib.rows import REFERENCE

MATERIAL = {"figures": "*.svg", "tables": "*.md"}


def _merge(
    into: dict[str, Any], new: dict[str, Any], file: str, owners: dict[str, str], prefix: str = ""
) -> None:
    for key, value in new.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(into.setdefault(key, {}), dict):
            _merge(into[key], value, file, owners, f"{name}.")
        elif name in owners or into.get(key):
            other = next(
                owners[n]
                for n in owners
                if n == name or n.startswith(f"{name}.") or name.startswith(f"{n}.")
            )
            raise MglibError(f"the number '{name}' is written by two notebooks: {other}, {file}")
        elif not isinstance(value, str):
            raise MglibError(
                f"{file}: the number '{name}' is {value!r}; write it as a string, "
                "rounded as it is to be read"
            )
        else:
            into[key], owners[name] = value, file


def variables(files: Iterable[Path]) -> dict[str, Any]:
    """All numbers that notebooks wrote into JSON files, in one tree of strings.

    Raises MglibError for a value that is not a string and for a name that two files claim.
    """
    merged: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for path in files:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise MglibError(f"{path.name}:{error.lineno}: not valid JSON: {error.msg}") from error
        if not isinstance(content, dict):
            raise MglibError(f"{path.name}: expected an object of named numbers")
        _merge(merged, content, path.name, owners)
    return merged


def _check_claims(files: Iterable[Path]) -> None:
    """Raise MglibError for the first verdict of the text that the rows do not bear out."""
    for path in files:
        for name, holds in json.loads(path.read_text(encoding="utf-8")).items():
            if not holds:
                raise MglibError(
                    f"the paper claims '{name}', but the rows of {path.stem} say otherwise; "
                    "change the text (and the claim in the notebook), not the rows"
                )


def material_files(root: Path, material: Path, folder: str, pattern: str) -> list[Path]:
    """Files of a kind in `material`; for notebooks not run there, those that are committed.

    A record beside a file (`x.svg.json`) is none of them.
    """
    found = sorted((material / folder).glob(pattern))
    here = {path.stem for path in (material / "notebooks").glob("*.ipynb")}
    committed = root / "figures" if folder == "figures" else paths.results()
    depth = pattern if folder == "figures" else f"*/{folder}/{pattern}"
    names = {path.name for path in found}
    for path in sorted(committed.glob(depth)):
        if path.name not in names and maker(path) not in {"", *here}:
            found.append(path)
    return [path for path in found if not path.stem.endswith(".json")]


def assemble(root: Path, material: Path, source: Path) -> Path:
    """Bring text, figures, tables and numbers into the folder `source`; return its paper.qmd."""
    import yaml

    def write(name: str, content: Any) -> None:
        text = yaml.safe_dump(content, allow_unicode=True, width=10_000, sort_keys=False)
        (source / name).write_text(text, encoding="utf-8")

    source.mkdir(parents=True)
    for name in ("paper.qmd", "references.bib", "_quarto.yml"):
        if not (root / name).is_file():
            raise MglibError(f"no {name} in {root}")
    shutil.copyfile(root / "references.bib", source / "references.bib")
    shutil.copyfile(HERE / "paper.css", source / "paper.css")
    makers: dict[str, str] = {}
    for folder, pattern in MATERIAL.items():
        (source / folder).mkdir()
        for path in material_files(root, material, folder, pattern):
            shutil.copyfile(path, source / folder / path.name)
            makers[f"{folder}/{path.name}"] = maker(path)
    _check_claims(material_files(root, material, "claims", "*.json"))
    write("_variables.yml", variables(material_files(root, material, "numbers", "*.json")))
    write("_quarto.yml", quarto.project(read_yaml(root / "_quarto.yml")))
    text = (root / "paper.qmd").read_text(encoding="utf-8")
    pages = {path.stem for path in (material / "notebooks").glob("*.ipynb")}
    (source / "paper.qmd").write_text(credited(text, makers, pages), encoding="utf-8")
    return source / "paper.qmd"


def build_paper(
    to: To = "all",
    root: Path = paths.ROOT,
    report: Path | None = None,
    material: Path | None = None,
    road: str = "built-in",
) -> list[Path]:
    """Assemble, check and render the paper and, beside its HTML, the executed notebooks.

    `material` holds figures, tables, numbers and notebooks (else the report folder does); `road` is
    one of `quarto.ROADS`. Returns what was written. Raises MglibError with file and line; an
    earlier report then stays as it was.
    """
    road, report = quarto.choose_road(road), report or paths.report()
    material = material or report
    report.mkdir(parents=True, exist_ok=True)
    # Two formats may be built at once: each assembles its own copy, the last one stays.
    with tempfile.TemporaryDirectory(dir=report, prefix=".source-") as scratch:
        document = assemble(root, material, Path(scratch) / "source")
        try:
            lint.check(document)
            through = quarto.render if road == "quarto" else render
            made = through(document, report / "paper", to)
        except Missing as error:
            raise MglibError(
                f"{error}; `mglib run NOTEBOOK --profile {material.name}` writes what one makes"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(report / "source", ignore_errors=True)
                document.parent.rename(report / "source")
    if to != "pdf":
        made += [
            notebook_page(path, report / "notebooks")
            for path in sorted((material / "notebooks").glob("*.ipynb"))
        ]
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Render as the command line asks; returns 0, or 2 after one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m mglib.report.paper", description=__doc__)
    parser.add_argument("--to", default="all", help="html, pdf or all (default)")
    parser.add_argument(
        "--profile",
        default=REFERENCE,
        help="whose figures, tables and numbers to take (default reference: the paper)",
    )
    parser.add_argument("--road", default="auto", help="auto (default), quarto or built-in")
    chosen = parser.parse_args(arguments)
    try:
        material = paths.report() / chosen.profile
        if not (material / "numbers").is_dir():
            run = [path.parent.name for path in paths.report().glob("*/numbers")]
            raise MglibError(
                f"{unknown('results of profile', chosen.profile, run)}; "
                f"`mglib run NOTEBOOK --profile {chosen.profile}` makes them"
            )
        for path in build_paper(chosen.to, material=material, road=chosen.road):
            print(path)
    except MglibError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
