"""An executed notebook as one readable HTML page that loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from mglib import paths
from mglib.errors import MglibError
from mglib.report.render import HERE, pandoc

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FOREIGN = re.compile(r"<script|<iframe|<link|\s(?:src|data)=(?![\"']?data:)", re.IGNORECASE)
_DRESS = (
    (r'<img role="img"', r'<img alt="Figure drawn by the cell above" role="img"'),
    (r"<table.*?</table>", r'<div class="scroll" role="group" tabindex="0">\g<0></div>'),
)
_SHOWN = (
    "text/html",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/markdown",
    "text/plain",
)


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _output(output: dict[str, Any]) -> dict[str, Any] | None:
    """The output as it can be shown offline, or None where only a live page could show it."""
    kept = {key: value for key, value in output.items() if key != "metadata"}
    if output["output_type"] == "stream":
        # What a progress line overwrote with a carriage return was never meant to stay.
        lines = _ANSI.sub("", _text(output["text"])).split("\n")
        kept["text"] = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
    elif output["output_type"] == "error":
        kept["traceback"] = [_ANSI.sub("", line) for line in output["traceback"]]
    else:
        data = {kind: _text(value) for kind, value in output["data"].items() if kind in _SHOWN}
        if _FOREIGN.search(data.get("text/html", "")) or set(output["data"]) - set(_SHOWN):
            data.pop("text/html", None)
        if not data or (set(data) == {"text/plain"} and set(output["data"]) - set(_SHOWN)):
            return None
        if "text/html" in data:
            data["text/html"] = re.sub(
                r"<style scoped>.*?</style>", "", data["text/html"], flags=re.DOTALL
            )
        kept |= {"data": data, "metadata": {}}
    return kept


def _cell(cell: dict[str, Any]) -> dict[str, Any]:
    source = _text(cell["source"])
    if cell["cell_type"] != "code":
        return {"cell_type": cell["cell_type"], "metadata": {}, "source": source}
    tags = [tag for tag in cell["metadata"].get("tags", []) if tag.endswith("parameters")]
    outputs: list[dict[str, Any]] = []
    for output in filter(None, map(_output, cell["outputs"])):
        if outputs and output.get("name") and outputs[-1].get("name") == output["name"]:
            outputs[-1]["text"] += output["text"]
        else:
            outputs.append(output)
    return {
        "cell_type": "code",
        "metadata": {"tags": tags},
        "outputs": outputs,
        "execution_count": cell["execution_count"],
        "source": re.sub(r"^#\s*NBVAL_\w+\s*\n|^# Parameters\n", "", source),
    }


def notebook_page(notebook: Path, folder: Path | None = None) -> Path:
    """Render an executed notebook to `folder` (else `_report/notebooks`), named like the notebook.

    Raises MglibError for what is no notebook or needs the network.
    """
    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        cells = [_cell(cell) for cell in content["cells"]]
    except (OSError, ValueError, KeyError) as error:
        raise MglibError(f"{notebook} is not an executed notebook: {error}") from error
    title = notebook.stem
    kind = content.get("metadata", {}).get("kind", "executed notebook")
    for cell in cells:
        if cell["cell_type"] == "markdown":
            if image := re.search(r"!\[[^\]]*\]\(\s*(\w+://[^\s)]+)", cell["source"]):
                raise MglibError(f"{notebook.name}: the image {image[1]} would need the network")
            if heading := re.match(r"#\s+(.+)\n?", cell["source"]):
                title = heading[1]
                cell["source"] = cell["source"][heading.end() :]
                break
    bare = {
        "nbformat": 4,
        "nbformat_minor": 4,
        "cells": cells,
        "metadata": {"language_info": {"name": "python"}},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as metadata:
        json.dump({"title": title, "lang": "en"}, metadata)
        metadata.flush()
        status, page, lines = pandoc(
            json.dumps(bare),
            notebook.resolve().parent,
            "--from=ipynb",
            "--to=html5",
            "--mathml",
            "--embed-resources",
            "--standalone",
            f"--template={HERE / 'paper.html'}",
            "--toc",
            f"--metadata-file={metadata.name}",
            "--variable=back:yes",
            f"--variable=kind:{kind}",
            f"--variable=name:{notebook.name}",
            "--wrap=none",
        )
    if status:
        raise MglibError(f"{notebook.name}: {' '.join(lines) or 'pandoc failed'}")
    for pattern, text in _DRESS:
        page = re.sub(pattern, text, page, flags=re.DOTALL)
    path = (folder or paths.report() / "notebooks") / f"{notebook.stem}.html"
    paths.replace(path, page)
    return path
