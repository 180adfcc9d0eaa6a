"""Under every figure and table of the paper, the notebook that made it, with a link to its page."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

_FIGURE = re.compile(r"\]\((figures/[^)\s]+)\)(?=\{#fig-)")
_TABLE = re.compile(
    r"(\{\{<\s*include\s+(tables/\S+)\s*>\}\}[ \t]*\n\s*\n"  # the table, and its caption
    r":\s(?:(?!\n\s*\n).)*?)(?=\s\{#tbl-)",
    re.DOTALL,
)


def maker(path: Path) -> str:
    """The notebook that made a file, by the record beside it; empty if that names none."""
    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file():
        return ""
    return str(json.loads(beside.read_text(encoding="utf-8")).get("notebook") or "")


def _credit(name: str, makers: Mapping[str, str], pages: Collection[str]) -> str:
    notebook = makers.get(name)
    if not notebook:
        return ""
    plain = f"Made by `{notebook}`."
    if notebook not in pages:
        return f" {plain}"
    link = f"Made by [`{notebook}`](notebooks/{notebook}.html)."
    return (
        f' [{link}]{{.content-visible when-format="html"}}'
        f'[{plain}]{{.content-visible unless-format="html"}}'
    )


def credited(text: str, makers: Mapping[str, str], pages: Collection[str]) -> str:
    """The paper's text with a credit at the end of every caption whose file's maker is known.

    `makers` maps files as the text names them (`figures/x.svg`, `tables/x.md`) to notebooks;
    `pages` are the notebooks with a page beside the paper's. Lines stay where they were. In print,
    where no page can be opened, the name stands alone.
    """
    text = _FIGURE.sub(lambda found: _credit(found[1], makers, pages) + found[0], text)
    return _TABLE.sub(lambda found: found[1] + _credit(found[2], makers, pages), text)
