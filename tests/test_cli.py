"""The command: one clear line and a status for every mistake, and what was asked otherwise."""

from __future__ import annotations

import json

import pytest

from mglib.cli import main
from mglib.features import path_of, recipe
from mglib.perceptors.prepare import prepare

DATA = "10_data_and_perceptors"
RUN = ["run", "20_weak_generalization", "--no-notebook"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepar"], "no command 'prepar'; did you mean 'prepare'"),
        (["list", "--jsn"], "did you mean '--json'"),
        (["list", "algoritms"], "did you mean 'algorithms'"),
        (["prepare", "emoji_concept"], "no dataset 'emoji_concept'; did you mean 'emoji_concepts'"),
        (["prepare", "emoji_concepts", "--perceptor", "frozn"], "did you mean 'frozen'"),
        (["prepare", "emoji_concepts", "--modality", "speach"], "did you mean 'speech'"),
        (["prepare", "emoji_concepts", "--splits", "0"], "at least 1"),
        (["prepare", "emoji_concepts", "--splits", "x"], "invalid int value"),
        (["prepare"], "required: dataset"),
        (["run", "20_weak_generalisation"], "did you mean '20_weak_generalization'"),
        (["run", "20_weak_generalization", "-p", "stepz", "5"], "did you mean 'steps'"),
        # Before a kernel starts, or a copy is executed.
        (["run", "20_weak_generalization", "--profile", "full"], "laptop, quick, reference"),
        (["run", "20_weak_generalization", "-p", "shard", "9/8"], "shard '9/8' is not of the form"),
        (
            ["run", "20_weak_generalization", "-p", "steps", "many"],
            "must be int | None, not 'many'",
        ),
        (
            ["run", "20_weak_generalization", "--no-notebook", "--profile", "lapto"],
            "did you mean 'laptop'",
        ),
        (
            ["run", "20_weak_generalization", "--no-notebook", "-p", "algorithms", '["ermm"]'],
            "no algorithm 'ermm'; did you mean 'erm'",
        ),
        (
            ["run", DATA, "--no-notebook", "-p", "dataset", "emoji_concept"],
            "did you mean 'emoji_concepts'",
        ),
        ([*RUN, "-p", "worlds", '["text_centered"]'], "did you mean 'text_centred'"),
        ([*RUN, "-p", "worlds", "[]"], "one or more different ones"),
        (["run", "20_weak_generalization", "--no-notebook", "-p", "shard", "3/2"], "k/K"),
        (
            ["run", "20_weak_generalization", "--no-notebook", "--device", "gpu"],
            "known: auto, cpu, cuda",
        ),
        ([*RUN, "-p", "lr", "NaN"], "must be float, not nan"),
        ([*RUN, "-p", "lr", "-1"], "'lr' must be at least 0, not -1"),
        ([*RUN, "-p", "splits", "1"], "splits must be at least 2"),
        ([*RUN, "-p", "seeds", "0"], "no seeds"),
        ([*RUN, "-p", "algorithms", "[]"], "one or more different learners"),
        ([*RUN, "-p", "algorithms", '["erm", "erm"]'], "one or more different learners"),
        ([*RUN, "-p", "algorithms", '["majority"]'], "'majority' learns nothing"),
        (["paper", "--profile", "lapto"], "did you mean 'laptop'"),
        (["paper", "--to", "docx"], "invalid choice"),
        (["paper", "--road", "built-inn"], "no road 'built-inn'; did you mean 'built-in'"),
        (["paper", "--render"], "`mglib paper --profile reference` computes them (hours)"),
        (["compare", "20_weak_generalization"], "no committed rows of experiment"),
        (["compare", "--profile", "lapto"], "did you mean 'laptop'"),
    ],
)
def test_a_mistake_is_one_clear_line_and_status_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path / "rows"))
    monkeypatch.setenv("MGLIB_REPORT", str(tmp_path / "report"))
    monkeypatch.setenv("MGLIB_RESULTS", str(tmp_path / "results"))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("mglib: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["00_tour", "-p", "shown", "0"], "at least 1 is needed"),
        ([DATA, "-p", "targets", '["clas"]'], "mean 'class'"),
        ([DATA, "-p", "instances", "-5"], "not -5"),
    ],
)
def test_a_mistake_that_shows_on_the_way_is_one_line_too(
    arguments, message, capsys, tmp_path, monkeypatch, emoji_concepts
):
    """What was measured before stays, whole."""
    for name in ("ROWS", "REPORT", "RESULTS"):
        monkeypatch.setenv(f"MGLIB_{name}", str(tmp_path / name))
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert main(["run", "--no-notebook", *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mglib: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_list_shows_what_is_registered(capsys):
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"erm", "concat", "majority"} <= set(found["algorithms"])
    assert "emoji_concepts" in found["datasets"] and {"raw", "frozen", "bound"} <= set(
        found["perceptors"]
    )
    assert "20_weak_generalization" in found["notebooks"]


def test_no_command_prints_the_help(capsys):
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().out


def checked(capsys) -> dict[str, dict]:
    return {item["name"]: item for item in json.loads(capsys.readouterr().out)}


def test_check_says_what_works(emoji_concepts, capsys):
    assert main(["check", "--json"]) == 0
    found = checked(capsys)
    assert found["torch"]["ok"] and found[emoji_concepts]["ok"]
    assert {"gpu", "quarto", "numerals", "smartwatch"} <= set(found)


def test_check_tells_missing_features_from_damaged_ones(tiny, capsys):
    """What is missing is made when it is needed; what is damaged stops a run, and so fails."""
    assert main(["check", "--json"]) == 0
    assert "`mglib prepare tiny` makes them" in checked(capsys)[tiny]["detail"]
    prepare(tiny, ("frozen",))
    capsys.readouterr()
    assert main(["check", "--json"]) == 0 and checked(capsys)[tiny]["ok"]
    path_of(recipe(tiny, "frozen", "picture", None)).write_bytes(b"")
    assert main(["check", "--json"]) == 1
    assert "damaged cache file" in checked(capsys)[tiny]["detail"]
