"""Figures are drawn from rows, name their axes and units, and come out alike every time."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from _svg import difference, texts
from PIL import Image

from mglib.analysis.concepts import Sample
from mglib.figures.concepts import draw_samples
from mglib.figures.held_out import draw_held_out
from mglib.figures.style import PALETTE, PICTURE, as_svg, leaner, style


@pytest.fixture
def held_out():
    random = np.random.RandomState(0)
    methods = ["Majority class", "ERM", "Concat", "Supervised on it"]
    values = pd.DataFrame(
        [
            {"modality": m, "method": method, "split_seed": s, "value": random.rand()}
            for m in ("art", "text")
            for method in methods
            for s in range(3)
        ]
    )
    means = (
        values.groupby(["modality", "method"], sort=False)["value"].mean().reset_index(name="mean")
    )
    return values, means.assign(low=means["mean"] - 0.1, high=means["mean"] + 0.1)


def test_held_out_shows_every_mean_with_its_parts(held_out):
    values, intervals = held_out
    (axes,) = draw_held_out(values, intervals).axes
    assert "[%]" in axes.get_xlabel() and axes.get_ylabel()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["art", "text"]
    drawn = np.concatenate([np.asarray(line.get_xdata(), float) for line in axes.lines])
    for value in [*values["value"], *intervals["mean"]]:
        assert np.isclose(drawn, 100 * value).any()
    assert axes.get_xlim() == (0, 100)


def test_the_same_rows_give_the_same_bytes(held_out):
    assert as_svg(draw_held_out(*held_out)) == as_svg(draw_held_out(*held_out))


def test_samples_fill_every_modality():
    kinds = {"art": "image", "speech": "audio", "text": "text"}
    sample = Sample(
        {
            "art": np.zeros((8, 8, 3), np.uint8),
            "speech": np.ones(1600, np.int16),
            "text": "grinning face",
        },
        kinds,
        "Smileys",
        16000,
    )
    figure = draw_samples([sample, sample])
    grid = np.array(figure.axes).reshape(2, 4)
    assert [axes.get_title(loc="left") for axes in grid[0]] == ["class", "art", "speech", "text"]
    assert (
        grid[1, 1].images and grid[1, 2].lines and grid[1, 3].texts[0].get_text() == "grinning face"
    )
    assert grid[1, 2].get_xticklabels()[1].get_text() == "0.1 s"


def test_pictures_in_figures_are_light_and_look_the_same():
    """256 colours, chosen for the picture, are less than an eye tells from all."""
    import matplotlib.pyplot as plt

    random = np.random.default_rng(0)
    with style():
        figure, axes = plt.subplots(figsize=(3, 3), dpi=110)
        for colour in PALETTE.values():
            axes.scatter(*random.random((2, 200)), s=9, c=colour, alpha=0.7, zorder=-1)
        axes.set_rasterization_zorder(0)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)

    def picture(text):
        (coded,) = re.findall(PICTURE, text)
        found = Image.open(io.BytesIO(base64.b64decode(coded))).convert("RGBA")
        white = Image.new("RGBA", found.size, "white")
        return len(coded), np.asarray(Image.alpha_composite(white, found), float)

    (heavy, whole), (light, few) = picture(stream.getvalue()), picture(as_svg(figure))
    assert light < 0.6 * heavy
    assert abs(whole - few).mean() < 2 and whole.std() > 20


def test_fewer_bytes_show_the_same(held_out):
    figure = draw_held_out(*held_out)
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, format="svg", metadata={"Date": None})
    whole = stream.getvalue()
    lean = leaner(whole)
    assert len(lean) < 0.9 * len(whole) and texts(lean.decode())
    assert difference(whole.decode(), lean.decode()) == ""
    assert set(re.findall(rb"scale\([^)]*\)", lean)) == set(re.findall(rb"scale\([^)]*\)", whole))
    assert leaner(lean) == lean
    used = {name for name in re.findall(rb'xlink:href="#(\w[^"]*)"', lean)}
    assert used <= {name for name in re.findall(rb' id="([^"]*)"', lean)}


def outline(path):
    """Where each segment of an SVG path ends and bends, in absolute coordinates, by its letter."""
    here, start, found = np.zeros(2), np.zeros(2), []
    for letter, text in re.findall(r"([a-zA-Z])([^a-zA-Z]*)", path):
        numbers = np.reshape([float(n) for n in re.findall(r"-?\d+", text)], (-1, 2))
        places = numbers + here if letter.islower() else numbers
        here = places[-1] if len(places) else start
        start = here if letter in "mM" else start
        found.append((letter.lower(), places.tolist()))
    return found


def test_letters_keep_their_outlines_told_by_steps():
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots()
        axes.set_xlabel("The quick brown fox jumps over the lazy dog: Σ é % [1.2] −3")
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)
    whole, lean = stream.getvalue().decode(), leaner(stream.getvalue()).decode()
    letters = [
        dict(re.findall(rf'<path id="{name}(\w+)" d="([^"]*)"', svg))
        for svg, name in ((whole, "DejaVuSans-"), (lean, "D"))
    ]
    assert len(letters[0]) > 30 and letters[0].keys() == letters[1].keys()
    for name, path in letters[0].items():
        assert outline(letters[1][name]) == outline(path), name
    assert sum(map(len, letters[1].values())) < 0.8 * sum(map(len, letters[0].values()))


def test_marks_of_one_style_say_it_once_and_letters_stand_where_they_did():
    """One letter is a blank, which is not drawn; the marks of one line are alike."""
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots()
        axes.plot(range(9), range(9), "o")
        axes.set_xlabel("a b")
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)
    whole, lean = stream.getvalue().decode(), as_svg(figure).decode()

    def letters(svg, place):
        """How far along each letter of the label is drawn; the first is at its start."""
        label = re.search(r"<!-- a b -->(.*?)</g>", svg, re.DOTALL)[1]
        found = [re.search(place, use) for use in re.findall("<use [^>]*>", label)]
        return [float(at[1]) if at else 0.0 for at in found]

    first, blank, last = letters(whole, r"translate\((\S+) 0\)")
    assert letters(lean, r'x="(\S+)"') == pytest.approx([first, last], abs=0.01) and blank > 0
    marks = re.findall(r'<use xlink:href="#m[^>]*>', lean)
    assert sum("style" not in mark for mark in marks) >= 9
    assert difference(whole, lean) == ""
