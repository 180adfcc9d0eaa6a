"""One promise, one test, for every registered algorithm: meaning, not shapes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from made_up import MODALITIES, batch_of, make_bank, values_of
from made_up import make_trial as any_trial

from mglib.registry import algorithms
from mglib.trials.algorithm import Batch
from mglib.trials.engine import Training, build, train
from mglib.trials.measuring import View, predict

make_trial = partial(any_trial, hurried=True)


pytestmark = pytest.mark.usefixtures("one_thread")


METHODS = [(name, v) for name in algorithms.names() for v in algorithms.get(name).variants]
LEARNERS = [(name, variant) for name, variant in METHODS if algorithms.get(name).learns]


def draws_nothing(name):
    method = algorithms.get(name)
    values = {key: item.default for key, item in method.search.items()}
    return not method.noise(np.random.default_rng(0), values, 3, 8, 1)


SOUND = [(name, v) for name, v in LEARNERS if v not in algorithms.get(name).defects]
every_method = pytest.mark.parametrize(("name", "variant"), METHODS)
every_learner = pytest.mark.parametrize(("name", "variant"), LEARNERS)
# A published defect may be just that a promise is broken; its own test shows it.
every_sound_learner = pytest.mark.parametrize(("name", "variant"), SOUND)


def with_rows(batch, x, y):
    """The batch with other features and labels in as many rows, all of them in use."""
    return Batch(x, y, torch.ones(len(y), 1, y.shape[-1]), batch.step, batch.noise)


@every_sound_learner
def test_learns_separable_classes_and_carries_over(name, variant):
    bank = make_bank(width=64)
    # Penalties begin as late as published; what must be over before the end is cut short.
    short = {"linear_steps": 10, "umt_teacher_steps": 100}
    rates = dict.fromkeys(("lr", "lr_g", "lr_d", "linear_lr"), 3e-3)
    trial = any_trial(name, variant=variant, steps=400, **rates, **short)
    rows = {
        (r["modality"], r["split"]): r["value"]
        for r in train([trial], bank)
        if r["metric"] == "accuracy"
    }
    assert rows["art", "test"] > 0.9
    assert rows["text", "test"] > 0.9, "the unseen modality shares the space here"


@every_learner
def test_every_parameter_moves(name, variant):
    bank = make_bank()
    trials = [make_trial(name, variant=variant, seed=s, steps=20, lr=1e-2) for s in range(2)]
    training = Training(trials, bank)
    before = {k: v.detach().clone() for k, v in training.model.named_parameters()}
    training.run()
    for key, value in training.model.named_parameters():
        moved = (value != before[key]).flatten(1).any(1)
        assert moved.all(), f"{key} does not move in trials {(~moved).nonzero().flatten().tolist()}"


@every_learner
def test_company_and_interruption_change_no_bit(name, variant):
    """Alone, among trials of other batch sizes and rates, and stopped and resumed on the way."""
    bank = make_bank()
    sizes = (5, 6, 5, 6)
    trials = [
        make_trial(
            name, variant=variant, seed=s, lr=1e-3 * (1 + s), batch_size=b, steps=30, every=9
        )
        for s, b in enumerate(sizes)
    ]
    assert len({t.stack for t in trials}) == 1
    together, alone = Training(trials, bank), Training([trials[2]], bank)
    together.run()
    alone.run()
    assert values_of(alone.rows(), trials[2].key) == values_of(together.rows(), trials[2].key)

    class Stop(Exception):
        pass

    def stop():
        if stopped.step == 13:
            raise Stop

    stopped, resumed = Training(trials, bank), Training(trials, bank)
    with pytest.raises(Stop):
        stopped.run(pause=stop)
    resumed.resume(13, [0, 1, 2, 3], stopped.moving())
    resumed.found = stopped.found
    resumed.run()
    for a, b in zip(resumed.model.parameters(), together.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert resumed.rows() == together.rows()


@every_learner
def test_what_it_learns_leads_with_the_trial_axis(name, variant):
    trials = [make_trial(name, variant=variant, seed=s) for s in range(3)]
    training = Training(trials, make_bank())
    assert all(len(tensor) == 3 for tensor in training.moving().values())


@every_learner
def test_padding_rows_change_nothing(name, variant):
    """A trial of 5 rows, padded to 6, whose padding is replaced by noise."""
    bank, trials = make_bank(), [make_trial(name, variant=variant, batch_size=5)]
    model, batch = build(trials, bank), batch_of(bank, trials)
    assert batch.used[0, 0].tolist() == [1, 1, 1, 1, 1, 0]
    noisy = batch.x.clone()
    noisy[:, :, 5] = 7.0
    y = batch.y.clone()
    y[:, :, 5] = 0
    other = Batch(noisy, y, batch.used, batch.step, batch.noise)
    torch.testing.assert_close(model.loss(other), model.loss(batch), rtol=0, atol=0)


@every_method
def test_same_seed_same_rows_other_seed_other_weights(name, variant):
    bank = make_bank()
    trial = make_trial(name, variant=variant)
    assert values_of(train([trial], bank), trial.key) == values_of(train([trial], bank), trial.key)
    if algorithms.get(name).learns:
        other = make_trial(name, variant=variant, seed=1)
        a, b = build([trial], bank), build([other], bank)
        assert all(
            not torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True)
        )


@every_method
def test_losses_are_per_trial_and_no_gradient_crosses(name, variant):
    bank, trials = make_bank(), [make_trial(name, variant=variant, seed=s) for s in range(3)]
    model = build(trials, bank)
    batch = batch_of(bank, trials)
    losses = model.loss(batch)
    assert losses.shape == (3,) and torch.isfinite(losses).all()
    moved = []
    for phase in model.phases() if model.learns else []:
        moved += [id(parameter) for parameter in phase.parameters]
        losses = phase.loss(batch)
        gradients = torch.autograd.grad(losses[1], list(phase.parameters), retain_graph=True)
        for gradient in gradients:
            assert not gradient[0].any() and not gradient[2].any()
        assert losses.shape == (3,) and any(gradient[1].any() for gradient in gradients)
    assert set(moved) == {id(parameter) for parameter in model.parameters()}


@pytest.mark.parametrize(("name", "variant"), [m for m in SOUND if draws_nothing(m[0])])
def test_labels_stay_with_their_samples(name, variant):
    """Not asked of methods that draw noise: they may choose partners by position."""
    bank, trials = make_bank(), [make_trial(name, variant=variant)]
    model = build(trials, bank)
    batch = batch_of(bank, trials)
    # Even rows with even ones, as methods may split a batch.
    order = torch.tensor([4, 3, 6, 1, 0, 7, 2, 5])
    shuffled = with_rows(batch, batch.x[:, :, order], batch.y[:, :, order])
    torch.testing.assert_close(model.loss(shuffled), model.loss(batch))


@pytest.mark.parametrize(("name", "variant"), [m for m in LEARNERS if draws_nothing(m[0])])
def test_pairing_matters_if_and_only_if_declared(name, variant):
    """Move one modality's rows within their class: instances come apart, labels do not.

    Even rows stay even, as methods may split a batch. Not asked of methods that draw noise: they
    may blend rows of two modalities by position, which is no claim on which instances they show.
    """
    bank, trials = make_bank(), [make_trial(name, variant=variant, batch_size=32)]
    model = build(trials, bank).double()  # what pairing changes may be small at the first step
    model.hparams = {key: value.double() for key, value in model.hparams.items()}
    batch = batch_of(bank, trials)
    # All modalities with the labels of the first, so that only the pairing can differ.
    y = batch.y[:, :1].expand(-1, 3, -1)
    x = torch.stack(
        [
            torch.stack(
                [
                    bank.values[m][(bank.labels == c).nonzero()[i % 50, 0]]
                    for i, c in enumerate(y[0, 0])
                ]
            )
            for m in range(3)
        ]
    )[None]
    order = torch.arange(32)
    for c in range(bank.classes):
        for start in (0, 1):
            own = (y[0, 0, start::2] == c).nonzero().flatten() * 2 + start
            order[own] = own.roll(1)
    apart = x.clone()
    apart[:, 1] = x[:, 1, order]
    same = torch.allclose(
        model.loss(with_rows(batch, apart.double(), y)),
        model.loss(with_rows(batch, x.double(), y)),
        rtol=1e-11,
        atol=1e-11,
    )
    assert same == (not model.aligned)


@every_method
def test_prediction_has_a_logit_for_every_class_and_hangs_on_no_other_row(name, variant):
    bank, trials = (
        make_bank(),
        [make_trial(name, variant=variant), make_trial(name, variant=variant, seed=1)],
    )
    model = build(trials, bank)
    everything = np.arange(bank.values.shape[1])
    logits = torch.stack(
        predict(model, bank, [View((MODALITIES[3],))] * 2, trials, [everything] * 2)
    )
    assert logits.shape == (2, bank.values.shape[1], bank.classes)
    with torch.no_grad():
        some = model.predict(bank.values[bank.blocks(MODALITIES[3], trials)][:, 10:20])
    torch.testing.assert_close(some, logits[:, 10:20])


@pytest.mark.parametrize("name", algorithms.names())
def test_docstrings_versions_and_defaults_are_declared(name):
    method = algorithms.get(name)
    assert method.__doc__ and method.version >= 1 and method.variants
    module = __import__(method.__module__, fromlist=["_"]).__doc__
    assert "http" in module or "ours" in module, "the module's docstring names its source"
    if method.learns:
        assert "batch_size" in method.search
        assert any(item.role == "rate" or key == "lr" for key, item in method.search.items())
    defects = method.defects
    assert set(defects) <= set(method.variants) - {"corrected"}
    assert all(sentence and not sentence.endswith(".") for sentence in defects.values())
