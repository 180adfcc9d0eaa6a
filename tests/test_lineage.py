"""What a version stands for is found by imports, and an edit touches only the parts made of it."""

from __future__ import annotations

import shutil

import pytest
from made_up import make_trial

from mglib import paths, registry
from mglib.algorithms.erm import ERM
from mglib.errors import MglibError
from mglib.lineage import code_of, files_of, identity_code, part_names, parts_of, standing

# ERM and what inherits its networks from it.
ERMS = {
    f"algorithm/{name}"
    for name in registry.algorithms.names()
    if issubclass(registry.algorithms.get(name), ERM)
}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the package's code to edit; what is imported stays as it is."""
    shutil.copytree(
        paths.ROOT / "mglib", tmp_path / "mglib", ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path / "mglib"


def append(file, text):
    file.write_text(file.read_text() + text)


def changed_by(edit):
    before = {part: code_of(part) for part in part_names()}
    edit()
    return {part for part in before if code_of(part) != before[part]}


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        ("algorithms/erm.py", ERMS),
        ("data/_glyphs.py", {"dataset/emoji_concepts"}),
        ("data/_espeak.py", {"dataset/emoji_concepts", "dataset/numerals"}),
        ("data/splits.py", {"splits"}),
        ("data/_base.py", {"store"}),
        ("features.py", {"store"}),
        ("perceptors/frozen.py", {"perceptor/frozen"}),
        (
            "perceptors/efficientnet_lite.py",
            {
                "perceptor/efficientnet_lite0",
                "body/efficientnet_lite0",
                "measure/discrepancies",
                "measure/linear_filters",  # by way of the trials that name targets
                "measure/spaces",
            },
        ),
        ("trials/networks.py", {"engine"}),
        ("trials/algorithm.py", {"engine"}),
        ("trials/trial.py", {"engine"}),
        ("analysis/retrieval.py", {"measure/retrieval", "measure/similarity"}),
        ("errors.py", set()),
        ("cli.py", set()),
        ("trials/run.py", set()),
    ],
)
def test_an_edit_touches_what_is_made_of_the_file_and_a_comment_nothing(checkout, file, parts):
    assert changed_by(lambda: append(checkout / file, "\n# a comment\n")) == set()
    assert changed_by(lambda: append(checkout / file, "\nEDITED = 1\n")) == parts


def test_helpers_and_other_algorithms_count_and_the_engine_does_not(checkout):
    (checkout / "algorithms" / "_helper.py").write_text("from mglib.algorithms import _below\n")
    (checkout / "algorithms" / "_below.py").write_text("WEIGHT = 2\n")
    erm = checkout / "algorithms" / "erm.py"
    append(erm, "\n\ndef late():\n    from mglib.algorithms._helper import x\n")
    append(erm, "    from mglib.algorithms.concat import Concat\n")
    assert [name.rpartition("/")[2] for name in files_of("algorithm/erm")] == [
        "_below.py",
        "_helper.py",
        "concat.py",
        "erm.py",
        "multimodal.py",
    ]
    edited = changed_by(lambda: append(checkout / "algorithms" / "_below.py", "WEIGHT = 3\n"))
    assert edited == ERMS


def test_names_that_a_package_hands_on_are_followed(checkout):
    (checkout / "missing").mkdir(exist_ok=True)
    (checkout / "missing" / "__init__.py").write_text("from mglib.missing._deep import x\n")
    (checkout / "missing" / "_deep.py").write_text("x = 1\n")
    append(checkout / "algorithms" / "erm.py", "\nfrom mglib.missing import x\n")
    assert "mglib/missing/_deep.py" in files_of("algorithm/erm")


def test_another_dataset_or_perceptor_changes_no_part(tiny, monkeypatch):
    found = {part: code_of(part) for part in part_names()}
    assert files_of("dataset/tiny").keys() == {"tests/_tiny.py"}
    monkeypatch.delitem(registry.datasets._found, "tiny")
    monkeypatch.delitem(registry.perceptors._found, "shifted")
    assert found.keys() - part_names() == {"dataset/tiny", "perceptor/shifted"}
    assert all(code_of(part) == found[part] for part in part_names())


def test_no_module_belongs_to_two_standing_parts():
    found = standing()
    assert sum(map(len, found.values())) == len(set().union(*found.values()))
    assert all(found.values())


def test_the_parts_behind_a_key_are_those_whose_versions_it_holds():
    erm, majority = make_trial("erm"), make_trial("majority")
    assert parts_of(erm.identity)[:4] == ["engine", "algorithm/erm", "splits", "store"]
    assert {"dataset/emoji_concepts", "perceptor/bound", "perceptor/raw"} < {
        *parts_of(erm.identity)
    }
    code = identity_code([erm.identity, majority.identity])
    assert code.keys() == {*parts_of(erm.identity), "algorithm/majority"}
    assert code["engine"] == code_of("engine")


def test_an_unknown_part_names_the_nearest():
    with pytest.raises(MglibError, match="did you mean 'engine'"):
        code_of("engin")
    with pytest.raises(MglibError, match="did you mean 'erm'"):
        code_of("algorithm/ermm")
