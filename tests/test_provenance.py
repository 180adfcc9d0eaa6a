"""Digests follow meaning: comments and layout do not count, a changed constant does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mglib.provenance import Record, code_digest, digest

CODE = '''"""Module."""
import math  # for pi


def area(radius):
    """The area."""
    # r squared
    return math.pi * radius ** 2 + len(f"{radius:>{3}} 'x'")
'''


@pytest.fixture
def digest_of(tmp_path):
    def make(text, name="code.py"):
        path = tmp_path / name
        path.write_text(text)
        return code_digest(path)

    return make


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # for pi", ""),
        ('"""Module."""\n', ""),
        ('    """The area."""\n', ""),
        ("# r squared", "# x"),
        ("(radius):", "(\n    radius\n):"),
        ("radius ** 2 +", "radius**2  +"),
        ("\n\n\n", "\n\n\n\n"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(digest_of, old, new):
    assert old in CODE
    assert digest_of(CODE.replace(old, new)) == digest_of(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("** 2", "** 3"),
        ("math.pi", "3.14"),
        (">{3}", ">{4}"),
        ("'x'", "'y'"),
        ("    return", "    x = 'docstring'\n    return"),
    ],
)
def test_meaning_counts(digest_of, old, new):
    assert old in CODE
    assert digest_of(CODE.replace(old, new)) != digest_of(CODE)


def test_a_notebook_counts_by_its_code_cells(digest_of):
    cells = [
        {"cell_type": "markdown", "source": ["hello"]},
        {"cell_type": "code", "source": ["a = 1"]},
    ]
    first = digest_of(json.dumps({"cells": cells}), "a.ipynb")
    cells[0]["source"] = ["other words"]
    assert digest_of(json.dumps({"cells": cells}), "a.ipynb") == first
    cells[1]["source"] = ["a = 2"]
    assert digest_of(json.dumps({"cells": cells}), "a.ipynb") != first


def test_value_digest_ignores_order_and_hash_seed():
    assert digest({"a": 1, "b": [2.5, None]}) == digest({"b": [2.5, None], "a": 1})
    code = "from mglib.provenance import digest; print(digest({'x': 'y'}))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert seen == {digest({"x": "y"}) + "\n"}


def test_a_record_says_what_made_a_file():
    record = Record().finish(keys=["k"])
    assert record["keys"] == ["k"] and record["python"] and record["versions"]["torch"]
    assert record["wall_seconds"] >= 0 and record["peak_memory_mib"] > 1
