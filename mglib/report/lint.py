"""Numbers typed by hand: the prose of the paper takes its numbers from what was measured."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from mglib.errors import MglibError

# What is not prose, in the order in which it is blanked out; line breaks stay, so lines count on.
_NOT_PROSE = [
    re.compile(pattern, re.MULTILINE | re.DOTALL)
    for pattern in (
        r"^ *(?P<fence>`{3,}|~{3,}).*?^ *(?P=fence)[`~]*\s*$",  # code blocks
        r"<!--.*?-->",
        r"(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)",  # code spans
        r"\{\{<.*?>\}\}",
        r"(?<!\\)\$\$.*?\$\$",
        r"(?<![\\$])\$(?=\S)(?:(?!\n\s*\n)[^$])+?(?<=[^\s\\])\$(?!\d)",  # inline math
        r"(?<=\])\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?:\s+\"[^\"]*\")?\)",  # link and image targets
        r"^\[[^\]\n]+\]:\s+\S+",
        r"\[\^[^\]\s]+\]:?",
        r"\{[^{}\n]*[#.=][^{}]*\}",  # attributes
        r"<?\bhttps?://[^\s>)]+>?",
        r"(?<!\w)-?@[\w:.#$%&+?<>~/-]*\w(?:, [a-z]+\. [\d–-]+(?=[;\]]))?",  # citations with pages
    )
]
_LIST = re.compile(r"^\s*(?:>\s*)*\(?(?:\d{1,3}|#)[.)]\s")
_TOKEN = re.compile(r"[^\s()\[\]{}\"“”‘’'*|<>=:;!?~^\\,&…„«»\u00a0/]+(?:[,:]\d[^\s()\[\]*|]*)*")


def _front(text: str) -> str:
    """The front matter with only its sentences left: title, subtitle and abstract."""
    kept, keep = [], False
    for line in text.splitlines():
        if key := re.match(r"([\w-]+):", line):
            keep = key[1] in ("title", "subtitle", "abstract", "description")
            line = " " * key.end() + line[key.end() :]
        kept.append(line if keep else "")
    return "\n".join(kept)


def _numeric(token: str) -> bool:
    """Whether it says a number: `16-dimensional` and `3x` do, `Lite0` and `CIFAR-10` do not."""
    named = False
    for part in re.split(r"[-‐‑–—−±×+/_]", token):
        digits = any(unicodedata.category(letter) in ("Nd", "No") for letter in part)
        if digits and not part[0].isalpha() and not (named and re.fullmatch(r"[\d.]+", part)):
            return True
        named = part[:1].isupper()
    return False


def numbers(text: str) -> list[tuple[int, str]]:
    """Line and text of every number typed by hand into the prose of a `.qmd` document."""
    front = re.match(r"---\n.*?^---[ \t]*$", text, re.MULTILINE | re.DOTALL)
    end = front.end() if front else 0
    text = _front(text[:end]) + text[end:]
    for pattern in _NOT_PROSE:
        text = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    found, loose = [], True
    for line, content in enumerate(text.splitlines(), 1):
        marker = _LIST.match(content) if loose else None
        prose = content[marker.end() :] if marker else content
        found += [
            (line, token[0].rstrip(".-–")) for token in _TOKEN.finditer(prose) if _numeric(token[0])
        ]
        loose = not content.strip() or marker is not None or content[:1].isspace()
    return found


def check(path: Path) -> None:
    """Raises MglibError with the first hand-typed number, its line and the lines of others."""
    found = numbers(path.read_text(encoding="utf-8"))
    if found:
        more = f" (and {len(found) - 1} more, lines {', '.join(str(n) for n, _ in found[1:6])})"
        raise MglibError(
            f"{path.name}:{found[0][0]}: the number '{found[0][1]}' is typed by hand; "
            "write {{< var … >}}" + (more if len(found) > 1 else "")
        )
