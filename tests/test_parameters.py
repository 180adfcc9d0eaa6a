"""Notebook parameters: misspelt and mistyped ones are refused, in every way a notebook is run."""

from __future__ import annotations

import json

import pytest

from mglib.errors import MglibError
from mglib.report.parameters import declared, guarded, parameters_of, parse

CELL = """
profile: str = "quick"  # quick | laptop
seeds: int | None = None
lr: float = 1e-3
names: list[str] = ["a"]
fast: bool = False
"""


def injected(text):
    return "# Parameters\n" + text


def test_declared_defaults():
    assert declared(CELL)["seeds"] == ("int | None", None)
    found = guarded([CELL])
    assert (found.profile, found["lr"], found.names, len(found)) == ("quick", 1e-3, ["a"], 5)


@pytest.mark.parametrize(
    "text", ["seeds = 3", "lr = 2", "names = []", "seeds = None", "fast = True"]
)
def test_good_values_pass(text):
    assert guarded([CELL, injected(text)])[text.split()[0]] == eval(text.split("= ")[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sedes = 3", "did you mean 'seeds'"),
        ("seeds = 'three'", "must be int | None, not 'three'"),
        ("seeds = 1.5", "must be"),
        ("fast = 1", "must be bool"),
        ("profile = 3", "must be str"),
        ("names = [1]", "must be list"),
        ("seeds = True", "must be int"),
        ("lr = float('nan')", "must be float, not nan"),
        ("lr = float('-inf')", "must be float, not -inf"),
    ],
)
def test_misspelt_and_mistyped_values_are_refused(text, message):
    with pytest.raises(MglibError) as caught:
        guarded([CELL, injected(text)])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_only_literals_are_parameters():
    with pytest.raises(MglibError, match="literal"):
        declared("a: int = 1\nb: int = a * 2")
    with pytest.raises(MglibError, match="annotated"):
        declared("a = 1")


def test_a_guard_without_its_cell_is_refused():
    with pytest.raises(MglibError, match="from the top"):
        guarded(["import numpy"])


def test_a_cell_run_again_counts_as_it_stands_now():
    assert guarded([CELL, CELL.replace("None = None", "None = 7")]).seeds == 7


def test_command_line_texts_become_declared_types():
    known = declared(CELL)
    texts = {"seeds": "3", "lr": "1e-4", "names": '["x", "y"]', "fast": "true", "profile": "7"}
    assert parse(texts, known, "nb") == {
        "seeds": 3,
        "lr": 1e-4,
        "names": ["x", "y"],
        "fast": True,
        "profile": "7",
    }
    with pytest.raises(MglibError, match="did you mean 'lr'"):
        parse({"lrr": "1"}, known, "nb")
    with pytest.raises(MglibError, match="must be int"):
        parse({"seeds": "many"}, known, "nb")


def test_scale_takes_the_profile_and_what_is_set():
    found = guarded([CELL, injected("seeds = 9")])
    assert found.scale(quick={"seeds": 1, "steps": 5}, laptop={}) == {"seeds": 9, "steps": 5}
    with pytest.raises(MglibError, match="did you mean 'laptop'"):
        guarded([CELL, injected("profile = 'lapto'")]).scale(quick={}, laptop={})


def test_a_notebook_without_its_tagged_cell_is_refused(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(
        json.dumps({"cells": [{"cell_type": "code", "source": ["a: int = 1"], "metadata": {}}]})
    )
    with pytest.raises(MglibError, match="0 cells tagged"):
        parameters_of(path)
