"""What every registered method for missing modalities must do, whatever it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from _missing import HPARAMS, WIDTHS, made_bank, made_trial, trained
from _pausing import resumed

import mglib
from mglib.errors import MglibError
from mglib.missing.bank import Scaling
from mglib.missing.kept import Fusion
from mglib.missing.method import hide
from mglib.missing.subsets import subsets
from mglib.missing.trainer import FUSED
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


@pytest.mark.parametrize("classes", [3, 0])
@pytest.mark.parametrize("method", METHODS)
def test_a_kept_model_says_again_what_was_measured(method, classes, tmp_path, monkeypatch):
    """Stored features are of another scale; two trials beside each other keep what is their own."""
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    if not takes(method, classes):
        return
    trials = [made_trial(method, seed) for seed in (0, 1)]
    bank = made_bank(trials, classes)
    scaling = [Scaling(np.full(w, 0.25, np.float32), np.full(w, 2, np.float32)) for w in WIDTHS]
    training = MissingTraining(
        trials, replace(bank, scalings=tuple((own,) for own in scaling)), keep_weights=True
    )
    training.run()
    FUSED.write("made_up", training)
    for trial, shown in zip(trials, training.found, strict=True):
        model = mglib.load(trial.key)
        assert isinstance(model, Fusion) and model.trial == trial
        test = bank.paired[0].parts["test"]
        stored = {
            name: (values[0, test] / 2 + 0.25).numpy()
            for name, values in zip(trial.modalities, bank.values, strict=True)
        }
        for place, subset in enumerate(subsets(3)):
            seen = [n for n, here in zip(trial.modalities, subset, strict=True) if here]
            said = model.predict({name: stored[name] for name in seen})
            np.testing.assert_allclose(said, shown.answers[place], rtol=1e-3, atol=1e-4)


def test_a_kept_model_refuses_what_it_was_not_made_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLIB_ROWS", str(tmp_path))
    trial = made_trial("zero_fill")
    unit = tuple((Scaling(np.zeros(w, np.float32), np.ones(w, np.float32)),) for w in WIDTHS)
    training = MissingTraining([trial], replace(made_bank([trial]), scalings=unit), True)
    training.run()
    FUSED.write("made_up", training)
    model = mglib.load(trial.key)
    words, speech = np.zeros((2, WIDTHS[2])), np.zeros((3, WIDTHS[1]))
    for asked, said in (
        ({}, "nothing is seen"),
        ({"word": words}, "no modality of this model 'word'; did you mean 'words'"),
        ({"words": words[:, 1:]}, rf"words must be \[N, {WIDTHS[2]}\], not"),
        ({"words": words, "speech": speech}, "different numbers of instances"),
    ):
        with pytest.raises(MglibError, match=said):
            model.predict(asked)
    assert model.predict({"words": words[:0]}).shape == (0, 3)
