"""What every registered method for missing modalities must do, whatever it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglib.errors import MglibError
from mglib.missing.bank import MissingBank, Paired
from mglib.missing.method import hide
from mglib.missing.subsets import subsets
from mglib.missing.training import MissingTraining
from mglib.missing.trial import MissingTrial
from mglib.registry import missing_methods

WIDTHS = (6, 4, 5)
ROWS = {"train": 210, "validation": 24, "test": 32}
HPARAMS = '{"batch_size": 8, "hidden": 8, "lr": 0.01, "weight_decay": 0.0001}'


def made_bank(trials, classes=3, seed=0):
    """Instances whose modalities each know a part of the answer."""
    random = np.random.RandomState(seed)
    size = sum(ROWS.values())
    edges = np.cumsum([0, *ROWS.values()])
    parts = {
        name: np.arange(start, stop)
        for name, start, stop in zip(ROWS, edges[:-1], edges[1:], strict=True)
    }
    answers = np.arange(size) % max(2, classes)
    values, zeros = [], []
    for width in WIDTHS:
        centres = random.randn(max(2, classes), width)
        own = centres[answers] + 0.8 * random.randn(size, width)
        values.append(torch.tensor(own, dtype=torch.float32)[None])
        zeros.append(torch.full((1, width), -0.5))
    truth = answers if classes else (answers - 0.5).astype(np.float32)
    paired = Paired(np.tile(np.arange(size), (len(WIDTHS), 1)), truth, parts, classes)
    seen = np.ones((len(trials), size, len(WIDTHS)), bool)
    learning = np.concatenate([parts["train"], parts["validation"]])
    for place, trial in enumerate(trials):
        drawn = np.random.RandomState(trial.seed).rand(len(learning), len(WIDTHS)) >= trial.rate
        drawn[np.arange(len(learning)), np.arange(len(learning)) % len(WIDTHS)] = True
        seen[place, learning] = drawn
    return MissingBank(
        tuple(values),
        tuple(zeros),
        {0: 0},
        tuple(paired for _ in trials),
        torch.from_numpy(np.stack([paired.items] * len(trials))),
        torch.from_numpy(np.stack([paired.answers] * len(trials))),
        torch.from_numpy(seen),
        classes,
    )


def made_trial(method, seed=0, rate=0.3, steps=24, hparams=HPARAMS, **more):
    return MissingTrial(
        "numerals",
        "frozen",
        ("handwriting_occluded", "speech", "words"),
        "class",
        "instance",
        method,
        "independent",
        rate,
        seed,
        0,
        steps,
        12,
        hparams,
        **more,
    )


def trained(trials, classes=3):
    bank = made_bank(trials, classes)
    training = MissingTraining(trials, bank)
    training.run()
    return training


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
    whole, first = trained(trials), MissingTraining(trials, made_bank(trials))
    if not trials[0].learns:
        return

    class Stop(Exception):
        pass

    def pause():
        if first.step == 17:
            raise Stop

    with pytest.raises(Stop):
        first.run(pause=pause)
    moving = {name: value.clone() for name, value in first.moving().items()}
    second = MissingTraining(trials, made_bank(trials))
    for shown, own in zip(second.found, first.found, strict=True):
        shown.restore(own.arrays())
        shown.chosen, shown.score = own.chosen, own.score
    second.resume(17, first.alive, moving)
    second.run()
    for name, value in whole.moving().items():
        torch.testing.assert_close(second.moving()[name], value, rtol=0, atol=0)
    assert np.array_equal(second.found[1].answers, whole.found[1].answers)
