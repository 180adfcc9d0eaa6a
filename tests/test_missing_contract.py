"""What every registered method for missing modalities must do, whatever it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _missing import HPARAMS, WIDTHS, made_bank, made_trial, trained
from _pausing import resumed

from mglib.errors import MglibError
from mglib.missing.method import hide
from mglib.missing.subsets import subsets
from mglib.missing.training import MissingTraining
from mglib.registry import missing_methods


def takes(method, classes=3):
    """Whether a method is for three modalities and such answers."""
    try:
        missing_methods.get(method).check_task(len(WIDTHS), classes)
    except MglibError:
        return False
    return True


METHODS = missing_methods.names()


@pytest.mark.parametrize("method", METHODS)
def test_company_changes_nothing(method):
    """Other seeds, a smaller training part, another batch size and a diverging trial beside it."""
    odd = HPARAMS.replace('"batch_size": 8', '"batch_size": 7')
    trials = [
        made_trial(method, 0),
        made_trial(method, 1, share=0.37),
        made_trial(method, 2, hparams=odd),
    ]
    wild = made_trial(method, 3, hparams=HPARAMS.replace("0.01", "1e30"))
    assert len({trial.stack for trial in (*trials, wild)}) == 1
    whole = trained([*trials, *([wild] if wild.learns else [])])
    for place, trial in enumerate(trials):
        single = trained([trial])
        assert np.array_equal(whole.found[place].answers, single.found[0].answers)
        assert np.array_equal(whole.found[place].values, single.found[0].values, equal_nan=True)
    assert len({own.answers.tobytes() for own in whole.found[:3]}) == 3


@pytest.mark.parametrize("method", METHODS)
def test_real_answers_are_the_same_in_company_or_refused_with_their_reason(method):
    if not takes(method, 0):
        with pytest.raises(MglibError, match="classes"):
            trained([made_trial(method)], 0)
        return
    both = trained([made_trial(method, seed) for seed in (0, 1)], 0)
    single = trained([made_trial(method, 1)], 0)
    assert np.array_equal(both.found[1].answers, single.found[0].answers)
    assert np.isfinite(both.found[0].values[:, :, 1, 0]).all()


@pytest.mark.parametrize("method", METHODS)
def test_it_learns(method):
    found = trained([made_trial(method, steps=120, rate=0.0)]).found[0]
    full = found.values[found.chosen, -1, 1, 0]
    assert full > 0.6, f"{full} with everything seen; chance is 1/3"


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_seen_has_no_influence(method):
    training = trained([made_trial(method)])
    x, _, _ = training.part(training.trials, "test")
    for pattern in subsets(len(WIDTHS)):
        seen = torch.tensor(pattern).expand(*x[0].shape[:2], -1)
        with torch.no_grad():
            said = training.model.answer(hide(x, seen), seen)
            noisy = [own + 7 * ~seen[..., m, None] for m, own in enumerate(hide(x, seen))]
            again = training.model.answer(noisy, seen)
        torch.testing.assert_close(said, again, rtol=0, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_it_goes_on_from_a_saved_state(method):
    trials = [made_trial(method, seed) for seed in range(2)]
    whole = trained(trials)
    if not trials[0].learns:
        return

    second = resumed(lambda: MissingTraining(trials, made_bank(trials)))
    for name, value in whole.moving().items():
        torch.testing.assert_close(second.moving()[name], value, rtol=0, atol=0)
    assert np.array_equal(second.found[1].answers, whole.found[1].answers)
