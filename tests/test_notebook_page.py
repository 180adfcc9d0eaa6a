import base64
import json
import re

import pytest

from mglib.errors import MglibError
from mglib.report.notebook_page import notebook_page

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()

SOUND = """
<audio  controls="controls" >
    <source src="data:audio/wav;base64,UklGRg==" type="audio/wav" />
</audio>
"""


def code(source, *outputs, tags=()):
    return {
        "cell_type": "code",
        "execution_count": 1,
        "source": source,
        "outputs": list(outputs),
        "metadata": {"tags": list(tags), "papermill": {"duration": 1.5}},
    }


def shown(**data):
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {name.replace("_", "/"): value for name, value in data.items()},
    }


def printed(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def write(path, *cells):
    path.write_text(
        json.dumps(
            {
                "nbformat": 4,
                "nbformat_minor": 5,
                "cells": list(cells),
                "metadata": {"papermill": {"version": "2"}},
            }
        )
    )
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    script = "<script src='https://cdn.example/x.js'></script>"
    notebook = write(
        folder / "20_x.ipynb",
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": [
                "# Does it *carry* over?\n",
                "\n",
                "With $x^2$ and [it](https://example.org).",
            ],
        },
        code("seed: int = 0", tags=["parameters"]),
        code("# Parameters\nseed = 7\n", tags=["injected-parameters"]),
        code(
            "#NBVAL_CHECK_OUTPUT\nprint(seed)",
            printed("10 %\r55 %\r100 %\n\x1b[31mred\x1b[0m\n"),
            printed("more\n"),
        ),
        {"cell_type": "markdown", "metadata": {}, "source": "## A table"},
        code(
            "table",
            shown(
                text_html="<div><style scoped>.x{}</style>"
                "<table class='dataframe'><tr><td>1</td></tr></table></div>",
                text_plain="plain table",
            ),
        ),
        code("figure", shown(image_png=PNG, text_plain="<Figure size 600x300>")),
        code("plot", shown(text_html=script, text_plain="a plot")),
        code("sound", shown(text_html=SOUND, text_plain="<Audio object>")),
        code("live", shown(application_javascript="alert(1)", text_plain="<Javascript object>")),
        code(
            "fail",
            {
                "output_type": "error",
                "ename": "ValueError",
                "evalue": "no",
                "traceback": ["\x1b[0;31mValueError\x1b[0m: no"],
            },
        ),
    )
    path = notebook_page(notebook, folder / "pages")
    assert path == folder / "pages" / "20_x.html"
    return path.read_text()


def test_page_has_the_notebook_s_question_and_contents(page):
    assert "<title>Does it carry over?</title>" in page
    assert page.count("Does it <em>carry</em> over?") == 1
    assert '<html lang="en">' in page and 'href="../paper.html"' in page
    assert re.search(r'<nav.*<a href="#a-table"[^>]*>A table</a>.*</nav>', page, re.DOTALL)
    assert "<math" in page


def test_outputs_are_shown_as_they_ended(page):
    assert "<pre><code>100 %\nred\nmore\n</code></pre>" in page
    assert re.search(r'<div class="scroll"[^>]*>\s*<table class=.dataframe.>', page)
    assert f"data:image/png;base64,{PNG}" in page and 'alt="Figure drawn by the cell above"' in page
    assert "plain table" not in page and "Figure size" not in page
    assert "ValueError: no" in page


def test_parameters_are_told_apart_and_machinery_is_hidden(page):
    assert 'data-tags="[&quot;injected-parameters&quot;]"' in page
    for noise in ("papermill", "NBVAL", "# Parameters", "duration", "<style scoped", "\x1b"):
        assert noise not in page


def test_page_loads_nothing_from_elsewhere(page):
    assert '<audio controls="controls"' in page and "data:audio/wav;base64,UklGRg==" in page
    assert "Audio object" not in page
    assert "cdn.example" not in page and "alert(1)" not in page and "Javascript object" not in page
    assert "a plot" in page
    named = re.findall(r'(?:src|href)="(?!data:|#)([^"]+)"', page)
    assert named == ["../paper.html", "https://example.org"]


def test_what_cannot_be_shown_is_one_line(tmp_path):
    image = {"cell_type": "markdown", "metadata": {}, "source": "![x](https://a.org/x.png)"}
    with pytest.raises(MglibError, match=r"a.ipynb: the image https://a.org/x.png would need"):
        notebook_page(write(tmp_path / "a.ipynb", image), tmp_path)
    (tmp_path / "b.ipynb").write_text("{")
    with pytest.raises(MglibError, match="b.ipynb is not an executed notebook"):
        notebook_page(tmp_path / "b.ipynb", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ipynb", "b.ipynb"]
