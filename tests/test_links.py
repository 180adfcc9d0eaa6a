"""Captions say which notebook made what they describe, and link to its page where it exists."""

from __future__ import annotations

import json
import re

from test_render import Page, write_source

from mglib.report import lint
from mglib.report.links import credited, maker
from mglib.report.render import render

TEXT = """---
title: T
---

# One {#sec-one}

![A caption with *marks*, [a link](https://example.org)
and two lines.](figures/one.svg){#fig-one fig-alt="a box"}

![No id, no caption number](figures/one.svg){fig-alt="a box"}

{{< include tables/res.md >}}

: Values over splits.
Second line. {#tbl-res}

{{< include tables/res.md >}}

: Another. {#tbl-again}

See [@fig-one; @tbl-res; @tbl-again].
"""
MAKERS = {"figures/one.svg": "20_x", "tables/res.md": "10_y"}


def test_lines_stay_and_only_captions_of_known_makers_change():
    text = credited(TEXT, MAKERS, {"20_x"})
    assert text.count("\n") == TEXT.count("\n")
    changed = [
        i
        for i, (a, b) in enumerate(zip(text.splitlines(), TEXT.splitlines(), strict=True))
        if a != b
    ]
    assert [TEXT.splitlines()[i][:12] for i in changed] == [
        "and two line",
        "Second line.",
        ": Another. {",
    ]
    assert credited(TEXT, {}, {"20_x"}) == TEXT
    assert credited(TEXT, {"figures/one.svg": ""}, set()) == TEXT


def test_the_page_links_and_the_print_names(tmp_path):
    source = write_source(tmp_path / "source", credited(TEXT, MAKERS, {"20_x"}))
    lint.check(source)
    html, pdf = render(source, tmp_path / "paper")
    page = Page(html.read_text())
    captions = [text for _, text in page.find("figcaption")]
    assert captions == [
        "Figure 1: A caption with marks, a link and two lines. Made by 20_x.",
        "No id, no caption number",
        "Table 1: Values over splits. Second line. Made by 10_y.",
        "Table 2: Another. Made by 10_y.",
    ]
    links = [a["href"] for a, text in page.find("a") if text == "20_x"]
    assert links == ["notebooks/20_x.html"], "a notebook without a page is named, not linked"
    assert pdf.read_bytes().startswith(b"%PDF") and b"notebooks/20_x.html" not in pdf.read_bytes()


def test_the_source_for_print_names_the_notebook_without_a_link():
    text = credited(TEXT, MAKERS, {"20_x"})
    assert re.search(
        r"\[Made by \[`20_x`\]\(notebooks/20_x.html\)\.\]\{.content-visible when", text
    )
    assert '[Made by `20_x`.]{.content-visible unless-format="html"}' in text


def test_the_maker_stands_in_the_record(tmp_path):
    figure = tmp_path / "a.svg"
    assert maker(figure) == ""
    (tmp_path / "a.svg.json").write_text(json.dumps({"notebook": "20_x"}))
    assert maker(figure) == "20_x"
    (tmp_path / "a.svg.json").write_text("{}")
    assert maker(figure) == ""
