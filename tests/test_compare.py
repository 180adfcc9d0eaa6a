"""`mglib compare`: fresh rows beside the committed ones, a status, and what the paper says."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from test_comparison import row, table
from test_render import Page

from mglib import paths
from mglib.analysis.comparison import TOLERANCE
from mglib.cli import main
from mglib.report.compare import CLAIM, compare, write
from mglib.report.notebook_page import notebook_page
from mglib.rows import write_part

NAME = "20_weak_generalization"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name in ("report", "rows", "results"):
        monkeypatch.setenv(f"MGLIB_{name.upper()}", str(tmp_path / name))
    return tmp_path


def put(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(*rows), path)


def both(here, reference):
    if here:
        put(paths.report() / "laptop" / "rows" / f"{NAME}.parquet", *here)
    put(paths.results() / f"{NAME}.parquet", *reference)


def test_within_tolerance_is_status_0_and_all_cells_are_listed(capsys):
    both(
        [row("a", 0.5), row("b", 0.5, modality="b")], [row("a", 0.51), row("b", 0.5, modality="b")]
    )
    assert main(["compare"]) == 0
    out = capsys.readouterr().out
    assert f"{NAME}: 2 runs in 2 cells, 1 identical, 0 beyond tolerance" in out
    assert "−0.0100" in out and "rebuilt here" in out
    assert main(["compare", NAME, "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    assert [cell["same"] for cell in cells] == [False, True]
    assert cells[0]["experiment"] == NAME and cells[0]["difference"] == pytest.approx(-0.01)


@pytest.mark.parametrize("more", [[], ["--paper"]])
def test_beyond_tolerance_is_listed_first_and_status_1(more, capsys):
    off = 0.5 + 1.5 * TOLERANCE
    both([row("a", 0.5), row("b", off, modality="b")], [row("a", 0.5), row("b", 0.5, modality="b")])
    assert main(["compare", *more]) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"mglib: {NAME}: 1 of 2 cells are beyond tolerance")
    assert f"a+b, b, accuracy: {off:.4f} here, 0.5000 in the reference" in told.err
    assert told.err.count("\n") == 1
    if not more:
        lines = told.out.splitlines()
        assert " b " in lines[2] and " c " in lines[3]


def test_mistakes_are_one_line(capsys):
    both([], [row("a", 0.5)])
    assert main(["compare"]) == 2
    assert "`mglib run NOTEBOOK --profile laptop` computes them" in capsys.readouterr().err
    assert main(["compare", "20_weak_generalisation"]) == 2
    assert f"did you mean '{NAME}'" in capsys.readouterr().err
    assert main(["compare", "--profile", "lapto"]) == 2
    assert "did you mean 'laptop'" in capsys.readouterr().err


def material(name):
    return (paths.report() / "reference" / name).read_text(encoding="utf-8")


def told():
    return json.loads(material("numbers/compare.json"))["compare"]["sentence"]


def test_a_copy_that_was_not_recomputed_says_so(capsys):
    both([], [row("a", 0.5)])
    assert main(["compare", "--paper"]) == 0
    assert "Nothing was recomputed" in told()
    assert f"| `{NAME}` | – | – | – | – | – |" in material("tables/compare.md")
    assert json.loads(material("claims/compare.json")) == {CLAIM: True}


def test_rows_without_counterparts_are_counted(capsys):
    both([row("a", 0.5), row("new", 0.5)], [row("a", 0.5)])
    assert main(["compare", "--paper"]) == 0
    assert told() == (
        "Of 1 cells computed again here at profile `laptop`, 1 are identical and all within "
        "tolerance; 1 runs have no counterpart in the reference"
    )
    both([row("new", 0.5)], [row("a", 0.5)])
    assert main(["compare", "--paper"]) == 0
    assert told().startswith("None of the 1 runs computed here at profile `laptop`")


def test_rows_that_are_the_reference_s_own_are_named(capsys):
    both([row("a", 0.5), row("b", 0.5)], [row("a", 0.5), row("b", 0.5)])
    group = {
        "commit": "c",
        "started": "2026-11-22T01:00:00Z",
        "last_started": "2026-11-22T02:00:00Z",
    }
    (paths.results() / f"{NAME}.json").write_text(json.dumps({"records": [group]}))
    for key, hour in (("a", 1), ("b", 3)):
        record = {"commit": "c", "started": f"2026-11-22T0{hour}:30:00Z", "keys": [key]}
        write_part(NAME, [{"experiment": NAME, "key": key, "value": 0.5}], record)
    assert main(["compare", "--paper"]) == 0
    assert told().endswith("; 1 of the 2 runs are the reference's own, made on this machine")


def test_all_cells_have_a_page_and_every_file_its_record(folders):
    cells = [row(f"k{i}", 0.1 * i, modality=f"m{i}", hparams='{"k": 1}') for i in range(4)]
    both(cells, cells)
    write(compare([], "laptop"), "laptop")
    folder = paths.report() / "reference"
    files = {p for p in folder.rglob("*.*") if not p.stem.endswith((".md", ".json", ".ipynb"))}
    assert {path.name for path in files} == {"compare.md", "compare.json", "compare.ipynb"}
    for path in files:
        record = json.loads(path.with_name(f"{path.name}.json").read_text())
        assert record["notebook"] == "compare" and record["commit"]
    page = Page(notebook_page(folder / "notebooks" / "compare.ipynb", folders).read_text())
    assert len(page.find("table")) == 1 and len(page.find("tr")) == 5
    assert page.find("h1")[0][1] == "Rebuilt here against reference"


def test_costs_are_shown_without_a_verdict(capsys):
    fixed = {"task": "costs", "metric": "ratio", "split": None, "step": None}
    both([row("k", 3.0, **fixed)], [row("k", 1.0, **fixed)])
    assert main(["compare", "--paper"]) == 0
    assert told().endswith(
        "; 1 ratios of costs, which hang on the machine, are shown without a verdict"
    )
    assert f"| `{NAME}` | 1 | 1 | – | – | none |" in material("tables/compare.md")
    capsys.readouterr()
    assert main(["compare"]) == 0
    out = capsys.readouterr().out
    assert "3.0000" in out and "1.0000" in out and "none" in out
    assert main(["compare", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["tolerance"] is None
