"""What a figure shows, read from its SVG: texts, and marks as shares of their axes' frame."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}href"


def texts(svg: str) -> list[str]:
    """Every text in order; matplotlib draws letters as outlines and says them in a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg, re.DOTALL)]


def _points(element: ElementTree.Element) -> list[float]:
    if element.tag == f"{SVG}path":
        return [
            float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", element.get("d", ""))
        ]
    return [float(element.get(name, 0)) for name in ("x", "y")]


def marks(svg: str) -> list[np.ndarray]:
    """For each axes the corners of its paths and the places of its marks [P, 2], in its frame.

    Shares of the frame's width and height, from 0 to 1.
    The frame is the first path of the axes; what lies in `defs` (letters, the shape of a mark) and
    the place of texts hang on fonts, and are left out.
    """
    found = []
    for axes in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if not axes.get("id", "").startswith("axes_"):
            continue
        skipped = {
            inner
            for part in axes.iter()
            if part.tag == f"{SVG}defs" or part.get("id", "").startswith("text_")
            for inner in part.iter()
        }
        drawn = [
            np.reshape(numbers, (-1, 2))
            for part in axes.iter()
            if part not in skipped and part.tag in (f"{SVG}path", f"{SVG}use", f"{SVG}image")
            if len(numbers := _points(part)) % 2 == 0
        ]
        low, high = drawn[0].min(axis=0), drawn[0].max(axis=0)
        found.append((np.concatenate(drawn) - low) / np.where(high > low, high - low, 1.0))
    return found


def difference(one: str, other: str) -> str:
    """In words, the first way in which two figures show different data; empty if they do not."""
    if texts(one) != texts(other):
        return f"texts {sorted(set(texts(one)) ^ set(texts(other))) or 'in another order'}"
    first, second = marks(one), marks(other)
    if [len(points) for points in first] != [len(points) for points in second]:
        return "other numbers of marks"
    # Equal data under another version of matplotlib move by less than half a per cent of the frame.
    apart = [float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True)]
    return f"marks moved by {max(apart):.3f} of the frame" if max(apart) > 0.005 else ""
