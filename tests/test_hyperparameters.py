"""Seeds and draws against DomainBed's rules (published test vectors of ModalBed's code)."""

from __future__ import annotations

import pytest

from mglib.errors import MglibError
from mglib.registry import algorithms
from mglib.trials.hyperparameters import Pace, draw_hparams, pace_of, seed_hash


@pytest.mark.parametrize(
    ("parts", "seed"),
    [((0, 0), 894182419), ((0, 1), 1514274641), ((0, 2), 1325548499), ((1, 2), 1981683110)],
)
def test_seed_hash(parts, seed):
    assert seed_hash(*parts) == seed


def test_random_draw_of_erm():
    values = draw_hparams(algorithms.get("erm").search, 1, 0)
    assert values["lr"] == 2.7028930742148706e-05
    assert values["weight_decay"] == pytest.approx(4.4832883881609976e-04, rel=1e-12)
    assert values["batch_size"] == 39


def test_random_draw_of_irm():
    values = draw_hparams(algorithms.get("irm").search, 2, 1)
    assert values["irm_lambda"] == pytest.approx(0.5404833338507985, rel=1e-12)
    assert values["lr"] == pytest.approx(2.692684204277505e-04, rel=1e-12)
    assert values["weight_decay"] == pytest.approx(3.539788355410888e-06, rel=1e-12)
    assert values["batch_size"] == 18 and values["irm_penalty_anneal_iters"] == 1


def test_equal_names_agree_across_algorithms():
    drawn = [draw_hparams(algorithms.get(name).search, 3, 1) for name in ("erm", "irm", "mixup")]
    assert len({(one["lr"], one["weight_decay"], one["batch_size"]) for one in drawn}) == 1


@pytest.mark.parametrize("name", [n for n in algorithms.names() if algorithms.get(n).learns])
@pytest.mark.parametrize("draw", [0, 1])
def test_a_run_of_published_length_and_rate_has_the_published_values(name, draw):
    search = algorithms.get(name).search
    published, paced = (
        draw_hparams(search, draw, 0, pace=p) for p in (Pace(), pace_of(5001, 5e-5))
    )
    for name, item in search.items():
        if item.role == "iterations" and float(published[name]).is_integer():
            # A step more or less in five thousand.
            assert float(paced[name]).is_integer() and abs(paced[name] - published[name]) <= 1
            assert draw or paced[name] == published[name]
        else:
            assert paced[name] == pytest.approx(published[name], rel=1e-3)


def test_a_random_burn_in_is_no_whole_number_at_any_pace():
    """The published form of EQRM compares it with a count of steps; only the default is met."""
    search = algorithms.get("eqrm").search
    for steps in (600, 5001):
        pace = pace_of(steps, 1e-3)
        found = [draw_hparams(search, n, 0, pace=pace)["eqrm_burnin_iters"] for n in range(4)]
        assert [value.is_integer() for value in found] == [True, False, False, False]
    assert draw_hparams(search, 1, 0, pace=pace_of(600, 1e-3))["eqrm_burnin_iters"] == (
        pytest.approx(50.79, abs=0.01)
    )


def test_draw_zero_is_the_defaults_and_fixed_values_replace():
    search = algorithms.get("erm").search
    assert draw_hparams(search, 0, 5) == {"lr": 5e-5, "weight_decay": 0.0, "batch_size": 32}
    assert draw_hparams(search, 3, 0, {"lr": 0.5})["lr"] == 0.5
    unmoved = draw_hparams(search, 3, 0, {"lr": 0.5})["weight_decay"]
    assert unmoved == draw_hparams(search, 3, 0)["weight_decay"]


def test_unknown_names_and_negative_draws_are_refused():
    search = algorithms.get("erm").search
    with pytest.raises(MglibError, match="did you mean 'weight_decay'"):
        draw_hparams(search, 0, 0, {"weight_decai": 1})
    with pytest.raises(MglibError, match="negative"):
        draw_hparams(search, -1, 0)
