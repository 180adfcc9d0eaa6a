"""The road through Quarto, with a stand-in on PATH that takes the arguments Quarto documents.

Quarto itself is not among the dependencies, so these tests hold our half of the bargain: what it is
called with and where, what its log means, and what becomes of what it writes.
"""

from __future__ import annotations

import sys

import pytest
import yaml
from test_paper import write_project
from test_render import write_source

from mglib.errors import MglibError
from mglib.report import quarto
from mglib.report.paper import build_paper
from mglib.report.quarto import choose_road, project, render

FAKE = """#!{python}
import json, os, pathlib, sys
assert sys.argv[1] == "render" and sys.argv[3] == "--to", sys.argv
source, to = pathlib.Path(sys.argv[2]), sys.argv[4]
assert source.is_file() and pathlib.Path("_variables.yml").is_file(), os.listdir()
pathlib.Path(os.environ["CALLS"]).open("a").write(json.dumps([os.getcwd(), sys.argv[1:]]) + "\\n")
print("\\x1b[1mpandoc\\x1b[22m", file=sys.stderr)
print(os.environ.get("SAYS", ""), file=sys.stderr)
ending = {{"html": "html", "typst": "pdf"}}[to]
if not os.environ.get("FAILS"):
    source.with_suffix("." + ending).write_text(f"{{to}} of {{source}}")
sys.exit(int(os.environ.get("FAILS", 0)))
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A `quarto` on PATH; the file of its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "quarto"
    command.write_text(FAKE.format(python=sys.executable))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def calls(fake):
    return [yaml.safe_load(line) for line in fake.read_text().splitlines()]


def test_both_formats_are_rendered_in_a_scratch_copy(fake, tmp_path):
    source = write_source(tmp_path / "source")
    before = sorted(source.parent.rglob("*"))
    made = render(source, tmp_path / "out" / "paper")
    assert [path.read_text() for path in made] == ["html of paper.qmd", "typst of paper.qmd"]
    assert [path.suffix for path in made] == [".html", ".pdf"]
    assert [arguments for _, arguments in calls(fake)] == [
        ["render", "paper.qmd", "--to", "html"],
        ["render", "paper.qmd", "--to", "typst"],
    ]
    assert all(folder != str(source.parent) for folder, _ in calls(fake))
    assert sorted(source.parent.rglob("*")) == before, "nothing is written beside the source"


@pytest.mark.parametrize(
    "said",
    [
        "WARNING: Unable to resolve crossref @fig-x",
        "\x1b[33m[WARNING] Citeproc: citation nobody2024 not found\x1b[39m",
    ],
)
def test_what_quarto_only_warns_of_fails(said, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("SAYS", said)
    source, good = write_source(tmp_path / "source"), tmp_path / "paper.html"
    good.write_text("an earlier report")
    with pytest.raises(
        MglibError, match="^Quarto: (Unable to resolve|citation nobody2024 not found)"
    ):
        render(source, tmp_path / "paper")
    assert good.read_text() == "an earlier report"


def test_a_failing_quarto_is_one_line(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("SAYS", "ERROR: bad YAML\n")
    monkeypatch.setenv("FAILS", "1")
    with pytest.raises(MglibError, match="^Quarto ended with status 1: ERROR: bad YAML$"):
        render(write_source(tmp_path / "source"), tmp_path / "paper", "html")
    with pytest.raises(MglibError, match="no format 'htlm'; did you mean 'html'"):
        render(write_source(tmp_path / "source"), tmp_path / "paper", "htlm")


def test_the_paper_takes_the_road_that_is_asked_for(fake, tmp_path):
    write_project(tmp_path / "root", tmp_path / "report")
    options = {"root": tmp_path / "root", "report": tmp_path / "report"}
    (html,) = build_paper("html", **options, road="auto")
    assert html.read_text() == "html of paper.qmd"
    assert not list((tmp_path / "report").glob(".*"))
    source = tmp_path / "report" / "source"
    settings = yaml.safe_load((source / "_quarto.yml").read_text())
    assert settings["project"] == {"type": "default", "render": ["paper.qmd"]}
    assert (source / settings["format"]["html"]["css"]).is_file(), "one style sheet for both roads"
    (html,) = build_paper("html", **options, road="built-in")
    assert "<main" in html.read_text() and len(calls(fake)) == 1


def test_roads(fake, monkeypatch):
    assert choose_road("auto") == choose_road("quarto") == "quarto"
    assert choose_road("built-in") == "built-in"
    with pytest.raises(MglibError, match="no road 'qarto'; did you mean 'quarto'"):
        choose_road("qarto")
    monkeypatch.setenv("PATH", "")
    assert choose_road("auto") == "built-in"
    with pytest.raises(MglibError, match="no quarto is on PATH"):
        choose_road("quarto")


def test_what_the_project_says_wins_over_the_look():
    given = {"lang": "en", "project": {"output-dir": "x"}, "format": {"html": {"theme": "own"}}}
    made = project(given)
    assert made["format"]["html"] == {"theme": "own", "css": "paper.css"}
    assert made["lang"] == "en" and "output-dir" not in made["project"]
    assert set(quarto.FORMATS) == {"html", "pdf"}
