"""The committed reference: figures are redrawn from committed rows and show the same data."""

from __future__ import annotations

import io
import json
import re

import pyarrow.parquet as pq
import pytest
from _svg import difference, marks, texts

from mglib.figures.style import as_svg, style
from mglib.paths import ROOT
from mglib.provenance import file_sha256
from mglib.report.execution import find_notebook, run_notebook
from mglib.report.links import maker
from mglib.rows import SCHEMA, as_parquet

RESULTS, FIGURES = ROOT / "results", ROOT / "figures"
TABLES = sorted(RESULTS.glob("*.parquet"))
DRAWN = {path: maker(path) for path in sorted(FIGURES.glob("*.svg"))}
PRINTED = {
    ROOT / name for name in re.findall(r"\]\((figures/[^)]+)\)", (ROOT / "paper.qmd").read_text())
}


def redrawn(notebook, folder, monkeypatch):
    """The figures of a notebook's reference run on committed rows, where nothing may train."""
    for name in ("ROWS", "REPORT"):
        monkeypatch.setenv(f"MGLIB_{name}", str(folder / name))
    monkeypatch.setenv("MGLIB_TRAIN", "never")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.delenv("MGLIB_RESULTS", raising=False)
    run_notebook(find_notebook(notebook), {"profile": "reference"}, plain=True)
    return folder / "REPORT" / "reference" / "figures"


def compare(notebooks, folder, monkeypatch):
    wrong = {}
    for notebook in notebooks:
        made = redrawn(notebook, folder, monkeypatch)
        for path in (path for path, own in DRAWN.items() if own == notebook):
            fresh = made / path.name
            said = (
                difference(path.read_text(), fresh.read_text()) if fresh.exists() else "not drawn"
            )
            if said:
                wrong[path.name] = said
    return wrong


def test_figures_are_redrawn_from_rows_without_data(tmp_path, monkeypatch):
    notebooks = [path.stem for path in TABLES]
    assert set(notebooks) & set(DRAWN.values()), "at least one figure is drawn from committed rows"
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "nothing is prepared"))
    assert compare(notebooks, tmp_path, monkeypatch) == {}


def test_figures_of_the_data_themselves_are_redrawn(tmp_path, monkeypatch, emoji_concepts):
    others = set(DRAWN.values()) - {path.stem for path in TABLES}
    assert compare(sorted(others), tmp_path, monkeypatch) == {}


def test_the_paper_s_figures_are_committed_reference_figures_and_small():
    assert set(DRAWN) >= PRINTED and PRINTED
    for path in DRAWN:
        record = json.loads(path.with_name(f"{path.name}.json").read_text())
        assert record["parameters"]["profile"] == "reference", path.name
    assert sum(path.stat().st_size for path in DRAWN) < 1_700_000


def test_rows_are_whole_in_order_and_told_by_their_record():
    assert TABLES
    for path in TABLES:
        told = json.loads(path.with_suffix(".json").read_text())
        table = pq.read_table(path)
        assert table.schema.equals(SCHEMA) and set(table["experiment"].to_pylist()) == {path.stem}
        assert (told["rows"], told["sha256"]) == (table.num_rows, file_sha256(path))
        assert table.equals(pq.read_table(io.BytesIO(as_parquet([table]))))
        assert told["records"] and all(group["commit"] for group in told["records"])
        assert len(set(table["key"].to_pylist())) == told["runs"]


@pytest.fixture
def figure():
    import matplotlib.pyplot as plt

    def draw(values, title="A"):
        with style():
            drawn, axes = plt.subplots(figsize=(4, 3))
            axes.plot(range(len(values)), values, "o")
            axes.set(xlim=(0, 4), ylim=(0, 1), title=title)
        plt.close(drawn)
        return as_svg(drawn).decode()

    return draw


def test_the_comparison_sees_data_and_not_layout(figure):
    one = figure([0.1, 0.5, 0.9])
    assert "A" in texts(one) and len(marks(one)) == 1
    places = marks(one)[0]
    for x, y in [(0, 0.1), (1, 0.5), (2, 0.9)]:
        assert (abs(places - [x / 4, 1 - y]).max(axis=1) < 1e-3).any(), "marks lie where data say"
    assert difference(one, figure([0.1, 0.5, 0.9])) == ""
    assert difference(one, figure([0.1, 0.5, 0.9001])) == ""
    assert "moved by 0.020" in difference(one, figure([0.1, 0.52, 0.9]))
    assert difference(one, figure([0.1, 0.5])) == "other numbers of marks"
    assert difference(one, figure([0.1, 0.5, 0.9], "B")) == "texts ['A', 'B']"
