"""Printed numerals of 19 scripts in two ranges of weight, from the Noto Sans variable fonts."""

from __future__ import annotations

import io

import numpy as np

from mglib.data.carriers import Carrier, opened, read_member

FONTS = Carrier(
    "manimgx-fonts",
    "2026.9.26.post1",
    "e5e21178263ddec3eef9414d2b52a1c90ac01062d3e9067460f3359f854c3e17",
    "OFL-1.1",
    "Noto Emoji line glyphs by The Noto Project Authors",
    3.5,
)
# Font and code point of its zero. Extended Arabic-Indic is left out: it differs in three digits.
SCRIPTS = (
    ("", 0x30),
    ("-Italic", 0x30),
    ("Arabic", 0x660),
    ("Bengali", 0x9E6),
    ("Devanagari", 0x966),
    ("Gujarati", 0xAE6),
    ("Gurmukhi", 0xA66),
    ("Kannada", 0xCE6),
    ("Khmer", 0x17E0),
    ("Lao", 0xED0),
    ("Malayalam", 0xD66),
    ("Myanmar", 0x1040),
    ("Myanmar", 0x1090),  # Shan
    ("Myanmar", 0xA9F0),  # Tai Laing
    ("Oriya", 0xB66),
    ("Sinhala", 0xDE6),  # Lith
    ("Tamil", 0xBE6),
    ("Telugu", 0xC66),
    ("Thai", 0xE50),
)
WEIGHTS = ((400, 520), (580, 700))
HEIGHTS = (0.55, 0.75)  # of the font in the picture


def printed(each: int, size: int) -> np.ndarray:
    """Black on white, centred by their ink: uint8 [groups * C * each, size, size].

    A group is a script in a range of weight, `each` weights of it, in seeded order and seeded
    heights (ours).
    """
    from PIL import Image, ImageDraw, ImageFont

    random = np.random.RandomState(0)
    shares = [(script, weights) for script in SCRIPTS for weights in WEIGHTS]
    drawn = np.empty((len(shares), 10, each, size, size), dtype=np.uint8)
    with opened(FONTS) as archive:
        for group, place in enumerate(random.permutation(len(shares))):
            (script, zero), weights = shares[place]
            content = read_member(archive, f"manimgx_fonts/NotoSans{script}[wght].ttf")
            for take, weight in enumerate(np.linspace(weights[0], weights[1], each)):
                height = round(size * random.uniform(*HEIGHTS))
                face = ImageFont.truetype(
                    io.BytesIO(content), height, layout_engine=ImageFont.Layout.BASIC
                )
                face.set_variation_by_axes([float(weight)])
                for digit in range(10):
                    picture = Image.new("L", (size, size), 255)
                    left, top, right, bottom = face.getbbox(chr(zero + digit))
                    corner = ((size - left - right) / 2, (size - top - bottom) / 2)
                    ImageDraw.Draw(picture).text(corner, chr(zero + digit), fill=0, font=face)
                    drawn[group, digit, take] = np.asarray(picture)
    return drawn.reshape(-1, size, size)
