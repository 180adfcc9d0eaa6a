"""A Quarto document as written: front matter, shortcodes and includes, each line with its place."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mglib.errors import MglibError, unknown

KEYS = {
    "title",
    "subtitle",
    "author",
    "date",
    "abstract",
    "bibliography",
    "toc",
    "toc-depth",
    "number-sections",
    "lang",
    "description",
    "format",
    "engine",
}
AUTHOR_KEYS = {"name", "affiliation", "email", "orcid"}
SHORTCODE = re.compile(r"\{\{<\s*(\S*)\s*(.*?)\s*>\}\}")
CELL = re.compile(r"^\s*(?:`{3,}|~{3,})\s*\{([A-Za-z]\w*)|`\{([A-Za-z]\w*)\}\s|`(r)\s")
EQUATION = re.compile(r"(\$\$(?:(?!\$\$).)+?\$\$)[ \t]*\{#(eq-[\w-]+)\}(\s)", re.DOTALL)
# Typst sets the PDF in the fonts of its wheel, to give the same pages everywhere; these have the
# Latin, Greek and Cyrillic letters and those of mathematics, and no emoji.
UNPRINTABLE = re.compile(
    r"[^\W\d_\u0000-\u058f\u1d00-\u2c5f\ufb00-\ufb06\U0001d400-\U0001d7ff]"
    r"|[\U0001f000-\U0001fbff]"
)


class Missing(MglibError):
    """A number, figure or table that the text asks for and that has not been made."""


class Line(NamedTuple):
    """One line of the expanded text and where it was written."""

    text: str
    file: str
    number: int

    @property
    def place(self) -> str:
        """`file:line`, as editors understand it."""
        return f"{self.file}:{self.number}"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, empty if there is none; MglibError with the line of a mistake."""
    return parse_yaml(path.read_text(encoding="utf-8"), path.name, 0) if path.is_file() else {}


def parse_yaml(text: str, file: str, skipped: int) -> dict[str, Any]:
    """A mapping from YAML text; raises MglibError with the line, counted from `skipped`."""
    import yaml

    try:
        found = yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark.line if error.problem_mark else 0) + 1 + skipped
        raise MglibError(f"{file}:{line}: not valid YAML: {error.problem}") from error
    if not isinstance(found, dict):
        raise MglibError(f"{file}:{1 + skipped}: expected 'key: value' lines")
    return found


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested mappings as (`a.b`, text)."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


class Document:
    """A `.qmd` file with includes, variables and metadata put in.

    Raises MglibError, with file and line, for what Quarto would run or this renderer does not
    know, and Missing for an include or a variable that does not exist.
    """

    def __init__(self, path: Path):
        if not path.is_file():
            raise MglibError(f"no document {path}")
        self.folder = path.parent
        self._variables = dict(flatten(read_yaml(self.folder / "_variables.yml")))
        lines = self._read(path.name, ())
        end = next((i for i, line in enumerate(lines[1:], 1) if line.text.rstrip() == "---"), 0)
        if not end or lines[0].text.rstrip() != "---":
            raise MglibError(f"{path.name}:1: no front matter: begin with --- title: … ---")
        self.front, self.lines = lines[1:end], lines[end + 1 :]
        project = read_yaml(self.folder / "_quarto.yml")
        project.pop("project", None)
        written = parse_yaml("\n".join(line.text for line in self.front), path.name, 1)
        for key in [*project, *written]:
            if key not in KEYS:
                place = self.place(f"{key}:") if key in written else "_quarto.yml"
                raise MglibError(f"{place}: {unknown('front matter key', key, KEYS)}")
        self._meta = {**project, **written}
        self.meta: dict[str, Any] = {key: self._filled(value) for key, value in self._meta.items()}
        self.lines = [self._expand(line) for line in self.lines]
        self._balanced()
        self._complete(path.name)

    @property
    def text(self) -> str:
        """The text for pandoc, an equation's id around the equation as pandoc knows ids."""
        return EQUATION.sub(r"[\1]{#\2}\3", "\n".join(line.text for line in self.lines) + "\n")

    def place(self, needle: str, nth: int = 1) -> str:
        """`file:line` of the nth time that `needle` stands in the text, else the file."""
        pattern = re.compile(re.escape(needle) + (r"(?![\w-])" if needle[-1:].isalnum() else ""))
        found = [line for line in [*self.front, *self.lines] if pattern.search(line.text)]
        return found[min(nth, len(found)) - 1].place if found else self.front[0].file

    def complaint(self, lines: list[str]) -> MglibError:
        """The error for what the filter or pandoc itself reported, one report a line."""
        found: list[MglibError] = []
        for line in lines:
            if line.startswith("PROBLEM\t"):
                needle, nth, kind, text, known = line.split("\t")[1:]
                names: Iterable[str] = known.split()
                if kind == "figure file":
                    names = self._files((self.folder / text).parent)
                error = Missing if kind == "figure file" else MglibError
                message = str(unknown(kind, text, names)) if kind else text
                found.append(error(f"{self.place(needle, int(nth))}: {message}"))
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            return type(found[0])(f"{found[0]}{more}")
        text = " ".join(line.strip() for line in lines) or "pandoc failed"
        text = text.replace("[WARNING] ", "").replace(" Failing because there were warnings.", "")
        math = re.search(r"TeX math (.*?), rendering", text)
        return MglibError(f"{self.place(math[1] if math else text)}: {text}")

    def check_printable(self, text: str) -> None:
        """Raises MglibError for a letter of `text` that the PDF would show as an empty box."""
        if letter := UNPRINTABLE.search(text):
            raise MglibError(
                f"{self.place(letter[0])}: the PDF cannot show '{letter[0]}': show "
                "it in a figure, or in HTML only with content-visible"
            )

    def _files(self, folder: Path) -> list[str]:
        return [path.relative_to(self.folder).as_posix() for path in folder.glob("*.*")]

    def _read(self, name: str, above: tuple[str, ...]) -> list[Line]:
        lines: list[Line] = []
        text = (self.folder / name).read_text(encoding="utf-8")
        for number, content in enumerate(text.splitlines(), 1):
            line = Line(content, name, number)
            if cell := CELL.search(content):
                kind = next(filter(None, cell.groups()))
                raise MglibError(
                    f"{line.place}: executable {kind} code in the paper: compute in a "
                    "notebook and include the table, figure or number it writes"
                )
            code = SHORTCODE.search(content)
            if not code or code[1] != "include":
                lines.append(line)
                continue
            if code[0] != content.strip():
                raise MglibError(f"{line.place}: an include stands alone on its line")
            if code[2] in above or code[2] == name:
                raise MglibError(f"{line.place}: {code[2]} includes itself")
            target = self.folder / code[2]
            if not target.is_file():
                known = self._files(target.parent)
                raise Missing(f"{line.place}: {unknown('include file', code[2], known)}")
            lines += self._read(code[2], (*above, name))
        return lines

    def _expand(self, line: Line) -> Line:
        def value(code: re.Match[str]) -> str:
            name, argument = code[1], code[2]
            if line.text[: code.start()].endswith("{") or name not in ("var", "meta"):
                raise MglibError(
                    f"{line.place}: " + str(unknown("shortcode", name, ("var", "meta", "include")))
                )
            known = self._variables if name == "var" else dict(flatten(self._meta))
            if argument not in known:
                kind = "variable" if name == "var" else "metadata"
                raise Missing(f"{line.place}: {unknown(kind, argument, known)}")
            return known[argument]

        return line._replace(text=SHORTCODE.sub(value, line.text))

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if isinstance(value, str) and (code := SHORTCODE.search(value)):
            file, number = (*self.place(code[0]).split(":"), "1")[:2]
            return self._expand(Line(value, file, int(number))).text
        return value

    def _balanced(self) -> None:
        opened: list[Line] = []
        for line in self.lines:
            if fence := re.match(r"\s*:{3,}\s*(\S?)", line.text):
                if fence[1]:
                    opened.append(line)
                elif not opened:
                    raise MglibError(f"{line.place}: this ::: closes nothing")
                else:
                    opened.pop()
        if opened:
            raise MglibError(f"{opened[-1].place}: this ::: block is never closed")

    def _complete(self, file: str) -> None:
        """Brings the metadata into the one form that the templates read."""
        meta = self.meta
        if not str(meta.get("title") or "").strip():
            raise MglibError(f"{file}:1: the front matter has no title")
        authors = meta.get("author") or []
        authors = authors if isinstance(authors, list) else [authors]
        meta["author"] = [a if isinstance(a, dict) else {"name": str(a)} for a in authors]
        for author in meta["author"]:
            for key in author:
                if key not in AUTHOR_KEYS:
                    raise MglibError(
                        f"{self.place(f'{key}:')}: {unknown('author key', key, AUTHOR_KEYS)}"
                    )
            if "email" in author:
                author["email"] = f"<{author['email']}>"
        if "date" in meta:
            try:
                day = datetime.date.fromisoformat(str(meta["date"]))
            except ValueError as error:
                raise MglibError(
                    f"{self.place('date:')}: date '{meta['date']}' is not "
                    "year-month-day, like 2026-11-21"
                ) from error
            meta["date"] = f"{day:%B} {day.day}, {day.year}"
            meta["day"] = day.isoformat()
        files = meta.get("bibliography") or []
        meta["bibliography"] = files if isinstance(files, list) else [files]
        for name in meta["bibliography"]:
            if not (self.folder / name).is_file():
                known = [path.name for path in self.folder.glob("*.bib")]
                raise MglibError(
                    f"{self.place('bibliography:')}: {unknown('bibliography', name, known)}"
                )
