"""Costs as rows: asked by what is timed and not by where, and never judged across machines."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_comparison import row, table

from mglib.analysis import costs
from mglib.analysis.comparison import compare_cells
from mglib.analysis.cost_tables import (
    cost_frame,
    cost_table,
    exact_forms,
    machines,
    one_of,
    others_share,
    panels,
    use_table,
)
from mglib.analysis.costs import Timed, cost_rows
from mglib.cli import main
from mglib.errors import MglibError
from mglib.figures.costs import draw_costs
from mglib.keys import now
from mglib.keys.versions import declared
from mglib.lineage import part_names, parts_of
from mglib.report import bench
from mglib.report.bench import entry, timed

PLAIN, ZEROS = "plain step, twice the batch", "zeros in its place"


def runs(*pairs):
    return [{"ours": a, "baseline": b, "ratio": a / b} for a, b in pairs]


def entries(name):
    """Made up: a step in two exact forms, its memory, and a fusion."""
    if name == "meta_gradients/minilm":
        step, unit = "minilm, {}, step", "steps per CPU second"
        return [
            entry(step.format("second order"), unit, PLAIN, runs((2, 6), (3, 6), (4, 4)), 1 / 2.4),
            entry(step.format("two phase"), unit, PLAIN, runs((4, 5)), 1 / 2.4),
            entry(step.format("finite difference"), unit, PLAIN, runs((5, 5))),
            entry("minilm, finite difference, memory", "MiB at its peak", PLAIN, runs((6, 4)), 1.2),
        ]
    unit = "CPU microseconds per utterance"
    other = entry("hub, latency", unit, "the seen modality alone", runs((90, 10)))
    return [entry("hub, latency", unit, ZEROS, runs((90, 30))), other]


@pytest.fixture
def ask(tmp_path, monkeypatch):
    for name in ("rows", "results"):
        monkeypatch.setenv(f"MGLIB_{name.upper()}", str(tmp_path / name))
    monkeypatch.setattr(costs, "processor", lambda: "a processor")
    asked = []

    def run(name, quick):
        asked.append((name, quick))
        return entries(name), 0.25

    def do(*names, parts=None, version=1, quick=False, profile="quick"):
        asked.clear()
        found = {
            name: Timed(version, timed(name).parts if parts is None else parts) for name in names
        }
        return cost_rows("x", found, run, quick, profile=profile), list(asked)

    return do


def test_entries_stand_in_one_order_whatever_that_of_the_rows(ask):
    names = ("virtual_modalities/utterance", "meta_gradients/minilm")
    rows, _ = ask(*names)
    backwards = rows.take(list(range(rows.num_rows))[::-1])
    frame, turned = (cost_frame(each).drop(columns=["low", "high"]) for each in (rows, backwards))
    assert frame.equals(turned) and len(frame) == 6
    assert list(frame["what"][:3]) == ["minilm, second order", "minilm, two phase"] + [
        "minilm, finite difference"
    ]
    assert list(frame["quantity"][2:4]) == ["step", "memory"]


def test_what_is_timed_makes_the_key_and_the_machine_does_not(ask, monkeypatch):
    name = "meta_gradients/minilm"
    rows, asked = ask(name)
    assert asked == [(name, False)] and len(set(rows["key"].to_pylist())) == 1
    assert machines(rows).startswith("a processor, ") and others_share(rows) == 0.25
    monkeypatch.setattr(costs, "processor", lambda: "another")
    again, asked = ask(name)
    assert asked == [] and machines(again).startswith("a processor, ")
    for other in ({"parts": {"body/minilm": "0"}}, {"version": 2}, {"quick": True}):
        assert ask(name, **other)[1], other


def test_a_cost_is_the_ratio_or_of_rates_its_inverse(ask):
    rows, _ = ask("meta_gradients/minilm", "virtual_modalities/utterance")
    frame = cost_frame(rows)
    second = one_of(frame, "minilm, second order", "step")
    assert second[["ours", "against", "cost", "low", "high", "runs"]].tolist() == [3, 6, 2, 1, 3, 3]
    assert second["limit"] == pytest.approx(2.4)
    saving = one_of(frame, "minilm, finite difference", "memory")
    assert (saving["cost"], saving["limit"]) == (1.5, 1.2)
    assert one_of(frame, "hub", "latency", "zeros")["cost"] == 3
    assert one_of(frame, "hub", "latency", "the seen")["cost"] == 9
    assert one_of(frame, "hub", "batch") is None
    with pytest.raises(MglibError, match="2 entries are 'hub, latency'"):
        one_of(frame, "hub", "latency")
    assert exact_forms(frame, "minilm")["form"].tolist() == ["two phase", "second order"]
    assert exact_forms(frame, "efficientnet_lite0").empty
    assert cost_table(frame[:0]).to_numpy().tolist() == [["–"] * 6]
    lines = cost_table(frame).set_index("What")
    told = lines.loc["all-MiniLM-L6-v2, second order"]
    assert told.tolist()[1:] == ["3", "6", "2.00 (1.00 to 3.00)", "2.4"]
    (line,) = use_table(frame, ["set", "hub"]).to_numpy().tolist()
    assert line[1:] == ["–", "90 (3.00)", "30", "10"] and line[0].startswith("latency [CPU micro")
    assert use_table(frame[:0], ["hub"]).to_numpy().tolist() == [["–"] * 4]


def test_a_unit_of_unknown_direction_is_refused(ask, monkeypatch):
    odd = entry("hub, warmth", "kelvin", ZEROS, runs((1, 2)))
    monkeypatch.setattr(f"{__name__}.entries", lambda name: [odd])
    with pytest.raises(MglibError, match="unit 'kelvin' of 'hub, warmth against zeros"):
        cost_frame(ask("virtual_modalities/batch")[0])


def test_the_figure_shows_costs_spans_and_promises(ask):
    found = panels(cost_frame(ask("meta_gradients/minilm", "virtual_modalities/utterance")[0]))
    steps, use = draw_costs(found).axes
    assert steps.get_xscale() == use.get_xscale() == "log"
    drawn = np.concatenate([np.asarray(line.get_xdata(), float) for line in steps.lines])
    for value in (2, 1.25, 1, 1.5, 2.4, 1.2):
        assert np.isclose(drawn, value).any(), value
    spans = np.concatenate([np.asarray(own.get_segments()) for own in steps.collections])
    assert [1, 3] in spans[:, :, 0].tolist()
    assert [text.get_text() for text in use.get_yticklabels()] == ["one utterance"]
    legends = [[t.get_text() for t in own.get_legend().get_texts()] for own in (steps, use)]
    assert legends == [["time", "peak memory", "promised at most"], ["hub"]]


def test_ratios_stand_side_by_side_and_are_never_called_different():
    def cost(key, *ratios, **more):
        fixed = {"task": "costs", "step": None, "split": None, "algorithm": "b", **more}
        told = [row(key, r, metric="ratio", seed=s, **fixed) for s, r in enumerate(ratios)]
        return [*told, row(key, 7.0, metric="ours", seed=0, **fixed)]

    def both(value):
        return table(
            row("a", value), *cost("k", 1.0, value * 40, 90.0), *cost("l", None, variant="l")
        )

    cells = compare_cells(both(0.5), both(0.1))
    assert cells["task"].tolist() == ["t", "costs", "costs"]
    assert cells["beyond"].tolist() == [True, False, False]
    assert cells["tolerance"].isna().tolist() == [False, True, True]
    assert cells["here"].tolist()[1] == 20 and cells["reference"].tolist()[1] == 4
    lost = compare_cells(table(*cost("k", 2.0)), table(*cost("k", None)))
    assert lost["beyond"].tolist() == [False]


def test_a_key_tells_what_it_times_and_when_that_was_raised(ask, monkeypatch, capsys):
    rows, _ = ask("meta_gradients/minilm")
    key = rows["key"][0].as_py()
    assert main(["why", key]) == 0
    out = capsys.readouterr().out
    assert "costs, benchmark meta_gradients/minilm\n" in out
    assert f"body/minilm {declared('body/minilm')}" in out
    assert "the present code gives the same key" in out
    monkeypatch.setattr(now, "declared", lambda part: "99")
    assert main(["why", key]) == 0
    assert "timed body/minilm: version 1 then, 99 now" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["meta_gradients", "virtual_modalities"])
def test_every_part_names_what_it_times(name):
    module = bench.load(name)
    for part in module.PARTS:
        found = timed(f"{name}/{part}")
        assert found.version == module.VERSION and set(found.parts) <= set(part_names())
        assert parts_of({"timed": found.parts}) == list(found.parts)


def test_an_unknown_part_is_one_line_with_the_nearest(capsys):
    assert main(["bench", "virtual_modalities/utterence"]) == 2
    error = capsys.readouterr().err
    assert "did you mean 'utterance'" in error and error.count("\n") == 1
    assert main(["bench", "linear_probes/any"]) == 2
    assert "no part of linear_probes 'any'" in capsys.readouterr().err


def test_promises_are_those_of_the_issue():
    module = bench.load("meta_gradients")
    assert {body: most for body, (_, _, most) in module.WORLDS.items()} == {
        "minilm": 2.4,
        "efficientnet_lite0": 3.5,
    }
    assert module.SAVING == 1.2


def test_entries_of_a_body_carry_its_promises(monkeypatch):
    module = bench.load("meta_gradients")
    monkeypatch.setattr(module, "step", lambda body, form, quick: lambda: None)
    monkeypatch.setattr(module, "rate", lambda once, repeats: lambda: 2.0)
    memories = iter([3.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(module, "elsewhere", lambda *told: lambda: next(memories))
    found = {one["name"]: one for one in module.of_body("minilm", True)}
    assert found["minilm, second order, step"]["limit"] == 1 / 2.4
    assert found["minilm, finite difference, step"]["limit"] is None
    saving = found["minilm, finite difference, memory"]
    assert (saving["limit"], saving["baseline"], saving["ratio"]) == (1.2, 3.0, 8 / 3)
    assert found["minilm, second order, memory"]["limit"] is None
    assert json.dumps([*found.values()])
