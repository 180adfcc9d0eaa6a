"""Line glyphs of emoji sequences, drawn from a font that composes them by ligatures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from mglib.errors import MglibError

VARIATION_SELECTOR = "\ufe0f"
PRIVATE_PLANE = 0xF0000


def _ligate(glyphs: list[str], ligatures: dict[tuple[str, ...], str], longest: int) -> list[str]:
    """Replace the longest ligature at each position, from the left."""
    out: list[str] = []
    start = 0
    while start < len(glyphs):
        for stop in range(min(len(glyphs), start + longest), start, -1):
            whole = ligatures.get(tuple(glyphs[start:stop]))
            if whole is not None:
                out.append(whole)
                start = stop
                break
        else:
            out.append(glyphs[start])
            start += 1
    return out


def resolve(font: Any, sequences: Sequence[str]) -> list[str]:
    """The glyph name of each emoji sequence in a fontTools font.

    Applies the ligature lookups of `ccmp`; the rest of it concerns flags. Where the font has no
    glyph for the whole sequence ("... facing right"), that of its first part stands for it.
    """
    characters = font.getBestCmap()
    steps = []
    for lookup in font["GSUB"].table.LookupList.Lookup:
        if lookup.LookupType == 4:
            found = {
                (first, *ligature.Component): ligature.LigGlyph
                for table in lookup.SubTable
                for first, ligatures in table.ligatures.items()
                for ligature in ligatures
            }
            steps.append((found, max(map(len, found))))
    names = []
    for sequence in sequences:
        glyphs = [characters.get(ord(char)) for char in sequence if char != VARIATION_SELECTOR]
        if None in glyphs:
            raise MglibError(f"the glyph font lacks a part of {sequence!r}")
        for ligatures, longest in steps:
            glyphs = _ligate(glyphs, ligatures, longest)
        names.append(glyphs[0])
    return names


def open_font(content: bytes) -> Any:
    """A fontTools font from the bytes of a file."""
    from fontTools.ttLib import TTFont

    return TTFont(io.BytesIO(content), lazy=True)


def draw(font: Any, names: Sequence[str], size: int) -> np.ndarray:
    """Glyphs by name, black on white and centred by their ink: uint8 [N, size, size].

    Each glyph gets a private code point of its own, so that the drawing needs no text shaping,
    which differs between machines.
    """
    from PIL import Image, ImageDraw, ImageFont

    for table in font["cmap"].tables:
        if table.isUnicode() and table.format == 12:
            table.cmap = {PRIVATE_PLANE + place: name for place, name in enumerate(names)}
    font["cmap"].tables = [table for table in font["cmap"].tables if table.format == 12]
    content = io.BytesIO()
    font.save(content)
    face = ImageFont.truetype(
        io.BytesIO(content.getvalue()), round(size * 0.75), layout_engine=ImageFont.Layout.BASIC
    )
    pictures = np.empty((len(names), size, size), dtype=np.uint8)
    for place in range(len(names)):
        picture = Image.new("L", (size, size), 255)
        char = chr(PRIVATE_PLANE + place)
        left, top, right, bottom = face.getbbox(char)
        corner = ((size - left - right) / 2, (size - top - bottom) / 2)
        ImageDraw.Draw(picture).text(corner, char, fill=0, font=face)
        pictures[place] = np.asarray(picture)
    return pictures
