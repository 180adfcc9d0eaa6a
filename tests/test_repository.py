"""The repository's own texts: the paper renders from its notebooks, and no local link is dead."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from test_render import Page

from mglib.paths import ROOT
from mglib.report import lint
from mglib.report.compare import compare, write
from mglib.report.execution import find_notebook, notebooks, run_notebook
from mglib.report.paper import build_paper, material_files, variables

NOTEBOOK = "20_weak_generalization"
TEXT = (ROOT / "paper.qmd").read_text(encoding="utf-8")


def flat(tree, prefix=""):
    """The names of nested numbers as the paper's text spells them."""
    return {
        name
        for key, value in tree.items()
        for name in (flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key])
    }


@pytest.fixture(scope="module")
def material(emoji_concepts, tmp_path_factory):
    """What the notebooks write for the paper at their default parameters, run without Jupyter."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        # What the notebooks have trained under Jupyter in this run of pytest is not trained again.
        shared = os.environ.get("NOTEBOOKS_TESTED_IN") or tmp_path_factory.mktemp("notebooks")
        patch.setenv("MGLIB_ROWS", str(Path(shared) / "rows"))
        patch.setenv("MGLIB_REPORT", str(folder))
        patch.setenv("MPLBACKEND", "agg")
        for name in notebooks():
            run_notebook(find_notebook(name), {}, plain=True)
        write(compare([], "quick"), "quick")
    found = folder / "quick"
    shutil.copytree(folder / "reference", found, dirs_exist_ok=True)
    # The quick profile is too small to bear the paper's claims on every processor.
    for claims in material_files(ROOT, found, "claims", "*.json"):
        claims.write_text(json.dumps(dict.fromkeys(json.loads(claims.read_text()), True)))
    return found


@pytest.fixture(scope="module")
def made(material, tmp_path_factory):
    """The paper as HTML and PDF, rendered from that material."""
    return build_paper(report=tmp_path_factory.mktemp("paper"), material=material)


def numbers_of(material):
    return variables(material_files(ROOT, material, "numbers", "*.json"))


def test_the_paper_has_no_number_typed_by_hand():
    lint.check(ROOT / "paper.qmd")


def test_the_notebook_writes_all_that_the_paper_uses(material):
    used = set(re.findall(r"\{\{<\s*var\s+(\S+)\s*>\}\}", TEXT))
    assert len(used) > 20 and used <= flat(numbers_of(material))
    files = set(re.findall(r"\{\{<\s*include\s+(\S+)\s*>\}\}|!\[[^]]*\]\((\S+)\)", TEXT))
    files = {name for pair in files for name in pair if name}
    assert {Path(name).parent.name for name in files} == {"figures", "tables"}
    assert {name for name in files if not (material / name).is_file()} == set()


def test_the_paper_renders_with_nothing_unresolved(made, material):
    html, pdf, *pages = made
    assert [page.name for page in pages] == ["compare.html"]
    assert (html.suffix, pdf.suffix) == (".html", ".pdf")
    assert pdf.read_bytes().startswith(b"%PDF-") and pdf.stat().st_size > 50_000
    page = Page(html.read_text(encoding="utf-8"))
    ((_, text),) = page.find("main")
    assert not re.findall(r"\{\{<|>\}\}|\?\?|@(?:sec|fig|tbl|eq)-|\[@|\bnan\b|\bNone\b", text)
    pictures = [attrs["src"] for attrs, _ in page.find("img")]
    assert len(pictures) == TEXT.count("](figures/") > 0
    assert all(picture.startswith("data:image/svg+xml") for picture in pictures)
    written = len(re.findall(r"^\|:-", TEXT, re.MULTILINE))
    assert len(page.find("table")) == TEXT.count("{{< include tables/") + written > written
    cited = set(re.findall(r"(?<=[\[; ])@(?!sec-|fig-|tbl-|eq-)(\w+)", TEXT))
    assert cited and {f"ref-{key}" for key in cited} <= {a.get("id") for a, _ in page.find("div")}
    targets = {attrs["id"] for _, attrs, _ in page.elements if "id" in attrs}
    links = [attrs["href"] for attrs, _ in page.find("a") if attrs["href"].startswith("#")]
    assert links and {link for link in links if link[1:] not in targets} == set()


def test_a_changed_number_changes_the_page(made, material, tmp_path):
    numbers = material / "numbers" / f"{NOTEBOOK}.json"
    before = numbers.read_text(encoding="utf-8")
    content = json.loads(before)
    content["weak"]["majority_mean"] = "98.7654"
    try:
        numbers.write_text(json.dumps(content), encoding="utf-8")
        html, pdf, *_ = build_paper(report=tmp_path, material=material)
    finally:
        numbers.write_text(before, encoding="utf-8")
    assert "98.7654" not in made[0].read_text(encoding="utf-8")
    assert "98.7654 % for the majority class" in " ".join(html.read_text(encoding="utf-8").split())
    assert pdf.read_bytes() != made[1].read_bytes()


def tracked() -> set[str]:
    return set(
        subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\0")
    )


def local_targets(text):
    """The targets of links and images that are files of the repository, without their anchors."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(<?([^)\s>]+)|^\[[^]^]+\]:\s*<?([^\s>]+)", text, re.MULTILINE)
    found += [(name, "") for name in re.findall(r"<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)", text)]
    targets = (unquote((inline or below).partition("#")[0]) for inline, below in found)
    return {target for target in targets if target and not re.match(r"[a-z][a-z+.-]*:", target)}


def test_local_targets_are_seen():
    text = (
        "[`a`](a.md#b) ![c\nd](c/d%20e.svg) `[no](no.md)` [x](https://example.org) [y](#z)\n"
        '[f]: f.md\n<img alt="" src="g.png">\n```\n[no](no.md)\n```\n'
    )
    assert local_targets(text) == {"a.md", "c/d e.svg", "f.md", "g.png"}


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "CONTRIBUTING.md", "data/README.md", "data/published/README.md"),
        *("results/README.md", "benchmarks/README.md"),
    ],
)
def test_local_links_and_images_are_files_of_the_repository(name):
    page, files = ROOT / name, tracked()
    assert name in files
    dead = set()
    for target in local_targets(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        inside = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else None
        if inside is None or not (
            inside in files or any(file.startswith(f"{inside}/") for file in files)
        ):
            dead.add(target)
    assert dead == set()
