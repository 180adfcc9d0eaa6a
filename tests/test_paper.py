"""The paper is assembled from what notebooks wrote, and says what is missing."""

import json
import re
from functools import partial
from pathlib import Path

import pytest
from test_render import BIB, PAPER, SVG, TABLE, Page

from mglib.errors import MglibError
from mglib.report import paper
from mglib.report.paper import build_paper, variables


def write_project(root: Path, report: Path) -> None:
    root.mkdir()
    (root / "paper.qmd").write_text(PAPER)
    (root / "references.bib").write_text(BIB)
    (root / "_quarto.yml").write_text("project:\n  render: [paper.qmd]\nlang: en\n")
    for name in ("figures", "tables", "numbers"):
        (report / name).mkdir(parents=True)
    (report / "figures/one.svg").write_text(SVG)
    (report / "tables/res.md").write_text(TABLE)
    (report / "numbers/a.json").write_text('{"weak": {"erm": "0.557 ± 0.021"}}')
    (report / "numbers/b.json").write_text('{"weak": {"link": "[here](https://example.org)"}}')
    (report / "numbers/b.json.json").write_text('{"command": 17}')


def test_paper_is_assembled_from_what_notebooks_wrote(tmp_path):
    write_project(tmp_path / "root", tmp_path / "report")
    made = build_paper("all", tmp_path / "root", tmp_path / "report")
    assert made == [tmp_path / "report/paper.html", tmp_path / "report/paper.pdf"]
    assert "0.557 ± 0.021" in Page(made[0].read_text()).find("main")[0][1]
    assert (tmp_path / "report/source/_variables.yml").exists()
    assert not list((tmp_path / "report").glob(".*"))


def test_missing_material_names_the_command_that_makes_it(tmp_path, monkeypatch, capsys):
    report = tmp_path / "report" / "reference"
    write_project(tmp_path / "root", report)
    monkeypatch.setenv("MGLIB_REPORT", str(report.parent))
    monkeypatch.setattr(paper, "build_paper", partial(build_paper, root=tmp_path / "root"))
    monkeypatch.setenv("MGLIB_RESULTS", str(tmp_path / "results"))
    assert paper.main(["--profile", "referense"]) == 2
    line = capsys.readouterr().err
    assert "no results of profile 'referense'; did you mean 'reference'?" in line
    assert "`mglib run NOTEBOOK --profile referense` makes them" in line
    assert paper.main(["--to", "html", "--road", "built-in"]) == 0
    assert capsys.readouterr().out == f"{report.parent / 'paper.html'}\n"
    (report / "figures/one.svg").unlink()
    assert paper.main(["--to", "html"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: paper.qmd:31: no figure file 'figures/one.svg'")
    assert line.count("\n") == 1 and "`mglib run NOTEBOOK --profile reference` writes" in line
    (report / "numbers/a.json").unlink()
    assert paper.main(["--to", "pdf"]) == 2
    assert "no variable 'weak.erm'" in capsys.readouterr().err
    assert paper.main(["--to", "docx"]) == 2
    assert "no format 'docx'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ('{"a": {"b": "2"}}', "'a.b' is written by two notebooks: one.json, two.json"),
        ('{"a": "2"}', "'a' is written by two notebooks: one.json, two.json"),
        ('{"a": {"b": {"c": "2"}}}', "'a.b' is written by two notebooks: one.json, two.json"),
        ('{"x": 0.5}', "two.json: the number 'x' is 0.5; write it as a string"),
        ('{"x": \n', "two.json:2: not valid JSON"),
        ('["x"]', "two.json: expected an object"),
    ],
)
def test_numbers_are_strings_of_one_owner(second, complaint, tmp_path):
    (tmp_path / "one.json").write_text('{"a": {"b": "1"}}')
    (tmp_path / "two.json").write_text(second)
    with pytest.raises(MglibError, match=re.escape(complaint)):
        variables(sorted(tmp_path.glob("*.json")))


def test_what_is_committed_stands_in_for_notebooks_that_were_not_run(tmp_path, monkeypatch):
    """Without data a notebook of pictures cannot run: its figures and numbers are committed."""
    root, material, results = tmp_path / "root", tmp_path / "report", tmp_path / "results"
    monkeypatch.setenv("MGLIB_RESULTS", str(results))
    write_project(root, material)
    record = json.dumps({"notebook": "00_tour"})
    for folder, name in ((material / "figures", "one.svg"), (material / "numbers", "a.json")):
        kept = root / "figures" if name == "one.svg" else results / "00_tour" / "numbers"
        kept.mkdir(parents=True)
        (folder / name).rename(kept / name)
        (kept / f"{name}.json").write_text(record)
    (root / "figures" / "nobodys.svg").write_text(SVG)
    (html,) = build_paper("html", root, material)
    page = Page(html.read_text())
    assert "0.557 ± 0.021" in page.find("main")[0][1]
    captions = [text for _, text in page.find("figcaption")]
    assert captions[0] == "Figure 1: One figure Made by 00_tour."
    assert not [a for a, _ in page.find("a") if "00_tour" in a["href"]], "it has no page here"
    assert not (material / "source" / "figures" / "nobodys.svg").exists()
    # Once it was run, only what it made counts.
    (material / "notebooks").mkdir()
    (material / "notebooks" / "00_tour.ipynb").write_text('{"cells": [], "metadata": {}}')
    with pytest.raises(MglibError, match="no variable 'weak.erm'"):
        build_paper("html", root, material)
