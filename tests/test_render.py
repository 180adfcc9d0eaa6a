import html.parser
import re
import zlib
from pathlib import Path

import pytest

from mglib.errors import MglibError
from mglib.report.render import render

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40" viewBox="0 0 80 40">'
    '<rect width="80" height="40" fill="#06c"/></svg>'
)
BIB = """@article{liu2024, author={Liu, Shunxin and Guo, Yue}, title={Towards generalization},
journal={Journal of Tests}, year={2024}}
@book{ma2023, author={Ma, Lincan}, title={Alignment}, publisher={Press}, year={2023}}
"""
VARIABLES = "weak:\n  erm: '0.557 ± 0.021'\n  link: '[here](https://example.org)'\n"
TABLE = "| method | accuracy |\n|:--|--:|\n| ERM | {{< var weak.erm >}} |\n"
PAPER = """---
title: "What carries *over*"
subtitle: A sub-title
author:
  - name: Zoë "Z" Example
    affiliation: Institute & Co
    email: zoe@example.org
  - Bo Sample
date: 2026-11-21
abstract: |
  We reach {{< var weak.erm >}} on **art**.
bibliography: references.bib
number-sections: true
toc: true
---

# Introduction {#sec-intro}

As @liu2024 say [@ma2023, p. 3], see @fig-one, [-@tbl-res], @eq-loss, @sec-more
and [Figs. @fig-b; @tbl-res].
Measured: {{< var weak.erm >}}, {{< var weak.link >}}.[^note] The title is "{{< meta title >}}".

[^note]: Said in a footnote.

$$
x^2 = \\frac{1}{2}
$$ {#eq-loss}

## More {#sec-more}

![One figure](figures/one.svg){#fig-one fig-alt="A blue box & more"}

{{< include tables/res.md >}}

: Results {#tbl-res}

::: {#fig-pair layout-ncol=2}
![Left](figures/one.svg){#fig-a fig-alt="left box"}

![Right](figures/one.svg){#fig-b fig-alt="right box"}

Two boxes.
:::

::: {.callout-tip}
## Look here
A tip.
:::

::: {.callout-caution}
Beware.
:::

::: {.content-visible when-format="html"}
Only on the page, [日本]{lang=ja}; see [the notebook](notebooks/20_x.html).
:::

::: {.content-visible unless-format="html"}
Only in print.
:::

<!-- a comment 17 -->

```bash
make paper
```

# Record {#sec-record .unnumbered}

It ends.
"""


class Page(html.parser.HTMLParser):
    """Every element with its attributes and the text below it."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        element = (tag, {key: value or "" for key, value in attrs}, [])
        self.elements.append(element)
        if tag not in ("img", "meta", "link", "hr", "br", "col"):
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag, f"unbalanced </{tag}>"

    def handle_data(self, data):
        for element in self._open:
            element[2].append(data)

    def find(self, tag, **wanted):
        return [
            (attrs, re.sub(r"\s+", " ", "".join(text)).strip())
            for name, attrs, text in self.elements
            if name == tag and all(wanted[key] == attrs.get(key) for key in wanted)
        ]


def write_source(folder: Path, text: str = PAPER) -> Path:
    for name in ("figures", "tables"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "figures/one.svg").write_text(SVG)
    (folder / "tables/res.md").write_text(TABLE)
    (folder / "references.bib").write_text(BIB)
    (folder / "_variables.yml").write_text(VARIABLES)
    (folder / "paper.qmd").write_text(text)
    return folder / "paper.qmd"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    return render(write_source(folder / "source"), folder / "out" / "paper")


@pytest.fixture(scope="module")
def page(made):
    return Page(made[0].read_text())


@pytest.fixture(scope="module")
def pdf(made):
    """The PDF's objects as text, its compressed streams opened."""
    data = made[1].read_bytes()
    assert data.startswith(b"%PDF-")
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL)
    flate = [zlib.decompress(stream) for stream in streams if stream[:1] == b"\x78"]
    return b"\n".join([data, *flate]).decode("latin-1")


def utf16(text: str) -> str:
    return "<FEFF" + text.encode("utf-16-be").hex().upper() + ">"


def test_references_carry_the_number_of_their_target(page):
    links = {text: attrs["href"] for attrs, text in page.find("a", **{"class": "ref"})}
    assert links["Figure 1"] == "#fig-one"
    assert links["1"] == "#tbl-res"
    assert links["Equation 1"] == "#eq-loss"
    assert links["Section 1.1"] == "#sec-more"
    assert links["Figs. 2 (b)"] == "#fig-b"
    assert links["Table 1"] == "#tbl-res"
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    inner = [attrs["href"][1:] for attrs, _ in page.find("a") if attrs["href"].startswith("#")]
    assert set(inner) <= set(ids)


def test_captions_are_numbered_and_alt_texts_kept(page):
    assert [text for _, text in page.find("figcaption")] == [
        "Figure 1: One figure",
        "Table 1: Results",
        "(a) Left",
        "(b) Right",
        "Figure 2: Two boxes.",
    ]
    alts = [attrs["alt"] for attrs, _ in page.find("img")]
    assert alts == ["A blue box & more", "left box", "right box"]
    heads = [text for _, text in page.find("h2")]
    assert heads == ["Abstract", "1 Introduction", "Record", "References"]
    assert [text for _, text in page.find("h3")] == ["1.1 More"]


def test_numbers_citations_and_conditions(page):
    text = page.find("main")[0][1]
    assert "We reach 0.557 ± 0.021 on art." in text
    assert "As Liu and Guo (2024) say (Ma 2023, 3)" in text
    assert "Liu, Shunxin, and Yue Guo. 2024." in text
    assert "The title is “What carries over”." in text
    assert "Only on the page" in text and "Only in print" not in text and "comment" not in text
    assert page.find("td")[1][1] == "0.557 ± 0.021"
    titles = page.find("p", **{"class": "callout-title"})
    assert [text for _, text in titles] == ["Look here", "Caution"]
    assert page.find("a", role="doc-backlink")[0][0]["href"] == "#fnref1"
    assert page.find("span", **{"class": "equation"})[0][0]["id"] == "eq-loss"
    assert page.find("math") and page.find("span", lang="ja")


def test_page_loads_nothing_from_elsewhere(page, made):
    sources = [attrs["src"] for _, attrs, _ in page.elements if "src" in attrs]
    assert len(sources) == 3
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert not {"iframe", "object", "embed", "base"} & {tag for tag, _, _ in page.elements}
    assert all(attrs["href"].startswith("data:") for attrs, _ in page.find("link"))
    assert not re.search(r"@import|url\((?!['\"]?data:)", made[0].read_text())


def test_page_says_what_it_is(page):
    assert page.find("html")[0][0]["lang"] == "en"
    assert page.find("title")[0][1] == "What carries over"
    meta = {attrs["name"]: attrs["content"] for attrs, _ in page.find("meta") if "name" in attrs}
    assert meta["description"] == "We reach 0.557 ± 0.021 on art."
    assert meta["viewport"] == "width=device-width, initial-scale=1"
    assert meta["date"] == "2026-11-21"
    assert page.find("a", **{"class": "skip"})[0][0]["href"] == "#content"
    assert page.find("main")[0][0]["id"] == "content"
    contents = page.find("nav")[0][1]
    assert "1 Introduction" in contents and "1.1 More" in contents and "Record" in contents
    assert page.find("time")[0] == ({"datetime": "2026-11-21"}, "November 21, 2026")


def test_tables_scroll_inside_their_own_box(page):
    inside = [
        page.elements[i + 1][0]
        for i, (_, attrs, _) in enumerate(page.elements)
        if attrs.get("class") == "scroll"
    ]
    assert inside == ["table"] * len(page.find("table")) != []


def test_pdf_is_titled_tagged_and_outlined(pdf):
    assert "/Title(What carries over)" in pdf
    assert utf16('Zoë "Z" Example, Bo Sample') in pdf
    assert "/Lang(en)" in pdf and "/Marked true" in pdf
    assert pdf.count("/S/Figure/") == 3
    assert "/Alt(A blue box & more)" in pdf and "/Alt(right box)" in pdf
    assert pdf.count("/S/TH/") == 2
    for heading in ("1\u2002Introduction", "1.1\u2002More"):
        assert utf16(heading) in pdf
    assert "/Title(References)" in pdf
    assert "mailto:zoe@example.org" in pdf and "https://example.org" in pdf
    assert "notebooks/20_x.html" not in pdf


def test_same_source_gives_the_same_bytes(made, tmp_path):
    again = render(write_source(tmp_path / "source"), tmp_path / "paper")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made]


def test_one_format_alone(tmp_path):
    source = write_source(tmp_path / "source")
    assert render(source, tmp_path / "a", "pdf") == [tmp_path / "a.pdf"]
    assert render(source, tmp_path / "b", "html") == [tmp_path / "b.html"]
    assert sorted(path.name for path in tmp_path.glob("?.*")) == ["a.pdf", "b.html"]
    with pytest.raises(MglibError, match="no format 'htlm'; did you mean 'html'"):
        render(source, tmp_path / "c", "htlm")


def line_of(text: str) -> int:
    return PAPER[: PAPER.index(text)].count("\n") + 1


BROKEN = [  # what is put where, the line, the complaint
    ("@fig-one,", "@fig-won,", "@liu2024", "no cross-reference 'fig-won'; did you mean 'fig-one'"),
    ("@liu2024", "@liu2042", "@liu2024", "no citation 'liu2042'; did you mean 'liu2024'"),
    ("@liu2024", "@thm-x", "@liu2024", "@thm- references are not supported"),
    ("@liu2024", "[@liu2024; @fig-one]", "@liu2024", "in one bracket"),
    ("@eq-loss", "@sec-none", "@liu2024", "no cross-reference 'sec-none'"),
    (
        "one.svg){#fig-one",
        "oen.svg){#fig-one",
        "one.svg){#fig-one",
        "no figure file 'figures/oen.svg'; did you mean 'figures/one.svg'",
    ),
    (
        "tables/res.md",
        "tables/rse.md",
        "tables/res.md",
        "no include file 'tables/rse.md'; did you mean 'tables/res.md'",
    ),
    (
        "Measured: {{< var weak.erm",
        "Measured: {{< var weak.ern",
        "Measured",
        "no variable 'weak.ern'; did you mean 'weak.erm'",
    ),
    ("reach {{< var weak.erm", "reach {{< var weak.ern", "We reach", "no variable 'weak.ern'"),
    ("{{< meta title", "{{< meta titel", "Measured", "no metadata 'titel'; did you mean 'title'"),
    ("{{< meta title", "{{< mata title", "Measured", "no shortcode 'mata'; did you mean 'meta'"),
    ("{{< meta title >}}", "{{< embed a.ipynb >}}", "Measured", "no shortcode 'embed'"),
    ("{#fig-a ", "{#fig-one ", "{#fig-a ", "the id #fig-one is used twice"),
    ("{#sec-more}", "{#sec-intro}", "{#sec-more}", "the id #sec-intro is used twice"),
    (' fig-alt="left box"', "", "{#fig-a", "the figure figures/one.svg has no fig-alt text"),
    ("```bash", "```{python}", "```bash", "executable python code in the paper"),
    ("It ends.", "It `{python} ends`.", "It ends.", "executable python code in the paper"),
    ("callout-tip", "panel-tabset", "callout-tip", "a ::: {.panel-tabset} block is not supported"),
    ("{.callout-tip}", '{.callout-tip icon="false"}', "callout-tip", "with icon= is not supported"),
    ("layout-ncol=2", 'layout="[1,2]"', "layout-ncol", "with layout= is not supported"),
    ('when-format="html"', 'when-format="pdf"', "when-format", "html or typst"),
    ("It ends.", "It <b>ends</b>.", "It ends.", "raw html is not supported: <b>"),
    ("It ends.", "It \\newpage ends.", "It ends.", "raw tex is not supported: \\newpage"),
    ("It ends.", "It [ends](#sec-nowhere).", "It ends.", "no link target 'sec-nowhere'"),
    ("It ends.", "It ends {#here}.", "It ends.", "attributes that belong to nothing: {#here}"),
    ("It ends.", "It ends.[^none]", "It ends.", "the footnote [^none] does not exist"),
    ("![One figure]", "![]", "![One figure]", "#fig-one has no caption"),
    ("{#fig-one ", "{#figure-one ", "{#fig-one ", "#figure-one must begin with #fig-"),
    ("{#fig-one ", "{#fig-one width=300px ", "{#fig-one ", "width=300px is not in %, cm"),
    ("It ends.", "As @sec-record says.", "It ends.", "#sec-record has no number to refer to"),
    ("It ends.", ":::", "It ends.", "this ::: closes nothing"),
    ("It ends.", "::: {.callout-note}", "It ends.", "this ::: block is never closed"),
    ("It ends.", "### Deep", "It ends.", "the heading 'Deep' skips a level"),
    ("It ends.", "It $\\foo{x$ ends.", "It ends.", "\\foo"),
    ("toc: true", "keywords: true", "toc: true", "no front matter key 'keywords'"),
    ("affiliation:", "afiliation:", "affiliation:", "did you mean 'affiliation'"),
    ("date: 2026-11-21", "date: today", "date:", "date 'today' is not year-month-day"),
    ("references.bib", "refs.bib", "references.bib", "no bibliography 'refs.bib'"),
    ("subtitle: A", "subtitle: [A", "subtitle: A", "not valid YAML"),
]


@pytest.mark.parametrize(
    ("old", "new", "where", "complaint"), BROKEN, ids=[row[3][:40] for row in BROKEN]
)
def test_each_mistake_is_one_line_with_its_place(old, new, where, complaint, tmp_path):
    assert old in PAPER
    source = write_source(tmp_path / "source", PAPER.replace(old, new, 1))
    good = tmp_path / "paper.html"
    good.write_text("an earlier report")
    with pytest.raises(MglibError) as error:
        render(source, tmp_path / "paper")
    message = str(error.value)
    assert complaint in message and "\n" not in message
    if "YAML" not in complaint:  # YAML's own parser names the line where it gave up
        assert message.startswith(f"paper.qmd:{line_of(where)}: "), message
    assert good.read_text() == "an earlier report"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["paper.html", "source"]


def test_mistake_in_an_included_file_names_that_file(tmp_path):
    source = write_source(tmp_path)
    (tmp_path / "tables/res.md").write_text("| a |\n|---|\n| {{< var weak.none >}} |\n")
    with pytest.raises(MglibError, match=r"^tables/res.md:3: no variable 'weak.none'"):
        render(source, tmp_path / "paper")


def test_letters_that_the_pdf_cannot_show_are_refused(tmp_path):
    source = write_source(tmp_path, PAPER.replace("It ends.", "It ends 日."))
    assert render(source, tmp_path / "paper", "html")
    with pytest.raises(MglibError, match=rf"^paper.qmd:{line_of('It ends.')}: .*'日'"):
        render(source, tmp_path / "paper", "pdf")
