"""From a Quarto document to one HTML file and one PDF, with pandoc and Typst from wheels."""

from __future__ import annotations

import base64
import datetime
import html
import json
import mimetypes
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Literal, cast
from urllib.parse import unquote

from mglib.errors import MglibError, unknown
from mglib.paths import replace
from mglib.report.source import Document

HERE = Path(__file__).resolve().parent
To = Literal["html", "pdf", "all"]


def pandoc(text: str, folder: Path, *arguments: str) -> tuple[int, str, list[str]]:
    """Run pandoc on `text` inside `folder`: exit status, output, lines of warnings and errors."""
    import pypandoc

    done = subprocess.run(
        [pypandoc.get_pandoc_path(), "--fail-if-warnings", *arguments],
        input=text,
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


def embed(page: str, folder: Path) -> str:
    """The page with the images it names put into it."""

    def data(found: re.Match[str]) -> str:
        path = folder / unquote(html.unescape(found[2]))
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return f'{found[1]}data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"'

    return re.sub(r'(<img[^>]*?\ssrc=")(?!data:)([^"]+)"', data, page)


def _convert(document: Document, to: str, template: str, *more: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        metadata = Path(folder) / "metadata.json"
        meta = {key: value for key, value in document.meta.items() if key != "toc"}
        metadata.write_text(
            json.dumps({"lang": "en", "link-citations": True, **meta}, default=str),
            encoding="utf-8",
        )
        status, text, lines = pandoc(
            document.text,
            document.folder,
            "--from=markdown",
            f"--to={to}",
            f"--template={HERE / template}",
            "--standalone",
            f"--metadata-file={metadata}",
            f"--lua-filter={HERE / 'filter.lua'}",
            "--citeproc",
            "--mathml",
            "--wrap=none",
            *(["--toc"] if document.meta.get("toc") else []),
            f"--toc-depth={document.meta.get('toc-depth', 3)}",
            *more,
        )
    if status:
        raise document.complaint(lines)
    return text


def page(document: Document) -> str:
    """The document as one HTML page that loads nothing from elsewhere."""
    return embed(_convert(document, "html5", "paper.html"), document.folder)


def pdf(document: Document) -> bytes:
    """The document as an A4 PDF, byte for byte the same from the same source."""
    import typst

    day = datetime.datetime.fromisoformat(document.meta.get("day", "2000-01-01"))
    names = [author["name"] for author in document.meta["author"]]
    text = _convert(
        document,
        "typst",
        "paper.typ",
        "--syntax-highlighting=idiomatic",
        "--variable=names:" + json.dumps([*names, ""], ensure_ascii=False)[1:-3],
        "--variable=running:" + (" and ".join(names) if len(names) < 3 else f"{names[0]} et al."),
        f"--variable=ymd:year: {day.year}, month: {day.month}, day: {day.day}",
    )
    document.check_printable(text)
    try:
        compiler = typst.Compiler(
            text.encode(), root=document.folder.resolve(), ignore_system_fonts=True
        )
        data, warnings = compiler.compile_with_warnings(
            format="pdf", timestamp=day.replace(tzinfo=datetime.UTC)
        )
    except typst.TypstError as error:
        raise MglibError(f"Typst: {error.message}") from error
    if warnings:
        raise MglibError(f"Typst warns: {warnings[0].message}")
    return cast(bytes, data)


def render(source: Path, output: Path, to: To = "all") -> list[Path]:
    """Render a `.qmd` file to `output` with suffix .html, .pdf or both, all or none of them.

    Raises MglibError with file and line; what was rendered before then stays as it was.
    """
    if to not in ("html", "pdf", "all"):
        raise unknown("format", to, ("html", "pdf", "all"))
    document = Document(source)
    made: dict[Path, bytes | str] = {}
    if to != "pdf":
        made[output.with_suffix(".html")] = page(document)
    if to != "html":
        made[output.with_suffix(".pdf")] = pdf(document)
    for path, data in made.items():
        replace(path, data)
    return list(made)
