"""One look for all figures: sizes for a paper, colours that colour-blind readers can tell."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color: safe for common colour blindness.
INK = "#222222"
FAINT = "#767676"
PALETTE = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#E69F00",
}
# As matplotlib puts a picture into an SVG.
PICTURE = rb"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)\""
DECIMALS = re.compile(rb"-?\d+\.\d{3,}")
BLANK = re.compile(rb'<path id="(D[\w-]+)" transform="[^"]*"/>')  # a letter without outline
ALONG = re.compile(rb'(<use xlink:href="#D[^"]*") transform="translate\((-?[\d.]+) 0\)"/>')
ALIKE = re.compile(rb'(<use [^>]*?)( style="[^"]*")/>((?:\s*<use [^>]*?\2/>)+)')
ABOUT = re.compile(rb"\n<metadata>.*?</metadata>", re.DOTALL)
NAMED = re.compile(rb'<g id="(?!axes_|text_)[^"]*"')  # those of axes and texts tell where data are
LETTER = re.compile(  # an outline that matplotlib writes: a command for each segment
    rb'(<path id="D[^"]*" d=")'
    rb"((?:[ML]-?\d+ -?\d+|Q-?\d+(?: -?\d+){3}|C-?\d+(?: -?\d+){5}|z)+)"
    rb'(")'
)
BARE = re.compile(rb"\n<g>(\n<(?:path|use|rect|image)\b[^>]*/>)\n</g>")
WIDTH = 6.5  # inches: the paper's text width


@contextmanager
def style() -> Iterator[None]:
    """Draw figures inside this: seaborn's theme, embedded outlines, the same bytes every time."""
    import matplotlib
    import seaborn

    theme: dict[Any, Any] = {
        "figure.dpi": 110,
        "savefig.bbox": "tight",
        "savefig.pad_inches": 0.04,
        "figure.constrained_layout.use": True,
        "svg.fonttype": "path",
        "svg.hashsalt": "mglib",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 9,
        "legend.fontsize": 8.5,
        "axes.edgecolor": INK,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.7,
    }
    with seaborn.axes_style("whitegrid"), matplotlib.rc_context(theme):
        yield


def as_svg(figure: Figure) -> bytes:
    """A figure as SVG, its letters as outlines; the same figure gives the same bytes."""
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return leaner(re.sub(PICTURE, _lighter, stream.getvalue()))


def leaner(svg: bytes) -> bytes:
    """The same SVG in fewer bytes: a hundredth of a point, short names of letters, no indents.

    Blanks between words are not drawn, marks of one style say it once, and groups have neither
    names that nothing asks for nor a single part.
    """
    for name in BLANK.findall(svg):
        svg = re.sub(rb'\s*<use xlink:href="#' + name + rb'"[^>]*/>', b"", svg)
    for start in (rb' d="', rb' x="', rb' y="', rb"translate\("):
        within = re.compile(rb"(" + start + rb')([^")]*)')
        svg = within.sub(lambda found: found[1] + DECIMALS.sub(_rounded, found[2]), svg)
    svg = re.sub(rb'(#|id=")DejaVuSans-', rb"\1D", svg)
    svg = re.sub(rb' style="([^"]*)"', lambda found: re.sub(rb"([:;]) ", rb"\1", found[0]), svg)
    svg = re.sub(rb' d="([^"]*)"', _tight, svg)
    svg = LETTER.sub(lambda found: found[1] + _relative(found[2]) + found[3], svg)
    svg = ALIKE.sub(_together, ALONG.sub(rb'\1 x="\2"/>', svg))
    svg = NAMED.sub(b"<g", ABOUT.sub(b"", re.sub(rb"\n +<", b"\n<", svg)))
    while (less := BARE.sub(rb"\1", svg)) != svg:
        svg = less
    return svg


def _tight(found: re.Match[bytes]) -> bytes:
    return b' d="' + re.sub(rb"\s*([A-Za-z])\s*", rb"\1", found[1]).strip() + b'"'


def _relative(outline: bytes) -> bytes:
    """A letter's outline between whole numbers, by steps from place to place."""
    here = start = (0, 0)
    parts = []
    for letter, text in re.findall(rb"([MLQCz])([^MLQCz]*)", outline):
        numbers = [int(number) for number in text.split()]
        places = list(zip(numbers[::2], numbers[1::2], strict=True))
        told = " ".join(f"{x - here[0]} {y - here[1]}" for x, y in places).replace(" -", "-")
        parts.append(letter.lower() + told.encode())
        here = places[-1] if places else start
        start = here if letter == b"M" else start
    return b"".join(parts)


def _together(found: re.Match[bytes]) -> bytes:
    rest = found[3].replace(found[2], b"")
    return b"<g" + found[2] + b">\n" + found[1] + b"/>" + rest + b"\n</g>"


def _rounded(found: re.Match[bytes]) -> bytes:
    text = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return b"0" if text == "-0" else text.encode()


def _lighter(found: re.Match[bytes]) -> bytes:
    """A picture in an SVG with 256 colours at most, which look the same, if that is smaller."""
    from PIL import Image

    stream = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA")
    picture.quantize(256, method=Image.Quantize.FASTOCTREE).save(stream, "PNG", optimize=True)
    coded = base64.b64encode(stream.getvalue())
    return found[0].replace(found[1], coded) if len(coded) < len(found[1]) else found[0]
