"""Measured values: asked once, kept, asked again when the measure or the data change."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mglib.analysis.measured import find_artifact, load_artifact, measured, save_artifact
from mglib.errors import MglibError

QUESTIONS = [
    {"task": "t", "dataset": "tiny", "perceptor": "raw", "split_seed": s, "hparams": {"a": 1}}
    for s in range(3)
]


@pytest.fixture
def ask(tiny, tmp_path, monkeypatch):
    """Asks the questions; returns how many were answered and the rows."""
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "rows"))
    monkeypatch.setenv("MGLIB_RESULTS", str(tmp_path / "results"))

    def do(questions=QUESTIONS, version=1, value=0.5, profile="quick", **more):
        asked = []

        def answer(question):
            asked.append(question)
            if value == "fail" and len(asked) > 1:
                raise ZeroDivisionError
            number = 0.5 if value == "fail" else value
            return [{"metric": m, "value": number, "n": 7} for m in ("a", "b")]

        do.asked = asked
        answer.__module__ = "mglib.analysis.sizes"  # a key names the module of its measure
        rows = measured("x", questions, answer, version=version, profile=profile, **more)
        return len(asked), rows

    return do


def test_what_has_rows_is_not_asked_again(ask):
    count, rows = ask()
    assert count == 3 and rows.num_rows == 6 and set(rows["status"].to_pylist()) == {"ok"}
    assert json.loads(rows["hparams"][0].as_py()) == {"a": 1}
    assert ask()[0] == 0 and ask(QUESTIONS[:2])[1].num_rows == 4
    turned = ask(QUESTIONS[::-1])[1]
    assert turned["split_seed"].to_pylist() == [2, 2, 1, 1, 0, 0]
    assert turned["metric"].to_pylist() == ["a", "b"] * 3
    assert ask(version=2)[0] == 3
    assert ask([{**QUESTIONS[0], "hparams": {"a": 2}}])[0] == 1


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_has_no_value_is_known_to_have_none(ask, value):
    count, rows = ask(value=value)
    assert count == 3 and set(rows["status"].to_pylist()) == {"undefined"}
    assert rows["value"].null_count == 6
    assert ask()[0] == 0


def test_a_failure_keeps_what_was_finished(ask):
    with pytest.raises(ZeroDivisionError):
        ask(value="fail")
    assert ask()[0] == 2


def test_artifacts_are_found_and_missing_ones_are_made_again(ask, tmp_path):
    _, rows = ask()
    keys = sorted(set(rows["key"].to_pylist()))
    assert ask(artifact=True)[0] == 3
    points = np.arange(6, dtype=np.float32).reshape(3, 2)
    for key in keys[:2]:
        save_artifact("x", key, {"points": points})
    assert ask(artifact=True)[0] == 1
    assert (load_artifact("x", keys[0], "quick")["points"] == points).all()
    with pytest.raises(MglibError, match="no artifact"):
        load_artifact("x", keys[2], "quick")
    committed = tmp_path / "results" / "x" / f"{keys[2]}.safetensors"
    committed.parent.mkdir(parents=True)
    committed.write_bytes(find_artifact("x", keys[0], "quick").read_bytes())
    assert find_artifact("x", keys[2], "quick") is None
    assert find_artifact("x", keys[2], "reference") == committed
    committed.write_bytes(b"no tensors")
    with pytest.raises(MglibError, match="damaged file"):
        load_artifact("x", keys[2], "reference")
