import pytest

from mglib.errors import MglibError
from mglib.report.lint import check, numbers

GOOD = [
    "ERM reaches {{< var weak.erm >}} of {{< var data.count >}} on four modalities.",
    "EfficientNet-Lite0, MiniLM-L6, v3, v3.11, H200, F1, NAS-Bench-360, CIFAR-10, Apache-2.0.",
    "The loss $x_1 + 2$ and $$\ny = 3 \\frac{1}{2}\n$$ {#eq-2}",
    "Inline $a +\n4 b$ over a line break",
    "Run `make -j 4` or ``a ` 5`` now",
    "```bash\nsleep 15\n```",
    "~~~{.python}\nx = 1\n~~~",
    "<!-- 17 and\n18 -->",
    "A [link](https://example.org/2024/11) and <https://example.org/3> and [x](a_(2).html).",
    '![A box](figures/f2.svg){#fig-2 fig-alt="3 boxes" width=80%}',
    "As @liu2024 and [-@fig-1; @ma2023, p. 33] say.[^1]",
    "[^1]: A note.",
    "[ref]: https://example.org/7",
    "# Heading {#sec-2}",
    "1. first\n2. second\n\n   (3) third",
    "::: {#fig-4 layout-ncol=2}",
    "one, two, **three** four-fold",
]
BAD = [
    ("It reaches 0.56 there", ["0.56"]),
    ("It reaches **0.56**.", ["0.56"]),
    ("It reaches _56_ there", ["_56_"]),
    ("by 5% and 7 %", ["5%", "7"]),
    ("0.557±0.021", ["0.557±0.021"]),
    ("16-dimensional, top-5, 3x, 10k", ["16-dimensional", "top-5", "3x", "10k"]),
    ("between 2–4 or 3-5", ["2–4", "3-5"]),
    ("1,629 concepts", ["1,629"]),
    ("a gap of −3 or -4 points", ["−3", "-4"]),
    ("(12)", ["12"]),
    ("half: ½, squared: 3²", ["½", "3²"]),
    ("p<0.05", ["0.05"]),
    ("costs $5 and $6 here", ["$5", "$6"]),
    ("## The 12 results {#sec-3}", ["12"]),
    ("![Over 5 splits](f.svg){#fig-x}", ["5"]),
    ("[over 8 seeds](x.html)", ["8"]),
    ("| ERM | 0.5 |", ["0.5"]),
    ("it was in\n2024. Then", ["2024"]),
    ("- item of 9", ["9"]),
    ("1. first of 9", ["9"]),
    ("CIFAR 10 and Table 3", ["10", "3"]),
    ("3/4 of them", ["3", "4"]),
    ("a {{< var x >}} 2", ["2"]),
]


@pytest.mark.parametrize("text", GOOD)
def test_what_is_no_number_of_ours_passes(text):
    assert numbers(text) == []


@pytest.mark.parametrize(("text", "found"), BAD)
def test_hand_typed_numbers_are_found(text, found):
    assert [number for _, number in numbers(text)] == found


def test_lines_are_those_of_the_file_and_the_abstract_counts():
    text = """---
title: "Four modalities"
date: 2026-11-21
abstract: |
  We reach {{< var a >}},
  not 41.
toc-depth: 2
---

One `1
2` and $x
= 1$ then 42.

```
43
```
44
"""
    assert numbers(text) == [(6, "41"), (12, "42"), (17, "44")]


def test_the_error_names_file_line_and_number(tmp_path):
    path = tmp_path / "paper.qmd"
    path.write_text("Fine.\n\nAbout 0.56, and 7.\n")
    with pytest.raises(
        MglibError,
        match=r"^paper.qmd:3: the number '0.56' is typed by hand; .*"
        r"\(and 1 more, lines 3\)$",
    ):
        check(path)
    path.write_text("Fine.\n")
    check(path)
