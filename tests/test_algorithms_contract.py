"""One promise, one test, for every registered algorithm: meaning, not shapes."""

from __future__ import annotations

import pytest
import torch
from made_up import MODALITIES, make_bank, make_trial, values_of

from mglib.registry import algorithms
from mglib.trials.algorithm import Batch
from mglib.trials.engine import build, predict, train
from mglib.trials.optimisers import OPTIMISERS
from mglib.trials.sampling import minibatches

LEARNERS = [name for name in algorithms.names() if algorithms.get(name).learns]


def batch_of(bank, trials, model, rows=8):
    pools = [bank.splits[t.split_seed]["train"] for t in trials]
    index = next(iter(minibatches(trials, pools, 3, rows, 1, model.aligned)))
    blocks = torch.stack(
        [torch.tensor([bank.block[m, t.split_seed] for m in t.train]) for t in trials]
    )
    return Batch(bank.values[blocks[:, :, None], index], bank.labels[index])


@pytest.mark.parametrize("name", LEARNERS)
def test_learns_separable_classes_and_carries_over(name):
    bank = make_bank()
    trial = make_trial(name, steps=400, lr=3e-3)
    rows = {
        (r["modality"], r["split"]): r["value"]
        for r in train([trial], bank)
        if r["metric"] == "accuracy"
    }
    assert rows["art", "test"] > 0.9
    assert rows["text", "test"] > 0.9, "the unseen modality shares the space here"


@pytest.mark.parametrize("name", LEARNERS)
def test_every_parameter_moves(name):
    bank, trials = make_bank(), [make_trial(name, seed=s) for s in range(2)]
    model = build(trials, bank)
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    optimiser = OPTIMISERS[model.optimiser](
        list(model.parameters()), torch.tensor([1e-2, 1e-2]), torch.zeros(2)
    )
    for _ in range(5):
        losses = model.loss(batch_of(bank, trials, model))
        optimiser.step(torch.autograd.grad(losses.sum(), list(model.parameters())))
    for key, value in model.named_parameters():
        moved = (value != before[key]).flatten(1).any(1)
        assert moved.all(), f"{key} does not move in trials {(~moved).nonzero().flatten().tolist()}"


@pytest.mark.parametrize("name", algorithms.names())
def test_same_seed_same_rows_other_seed_other_weights(name):
    bank = make_bank()
    trial = make_trial(name)
    assert values_of(train([trial], bank), trial.key) == values_of(train([trial], bank), trial.key)
    if name in LEARNERS:
        other = make_trial(name, seed=1)
        a, b = build([trial], bank), build([other], bank)
        assert all(
            not torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True)
        )


@pytest.mark.parametrize("name", algorithms.names())
def test_losses_are_per_trial_and_no_gradient_crosses(name):
    bank, trials = make_bank(), [make_trial(name, seed=s) for s in range(3)]
    model = build(trials, bank)
    losses = model.loss(batch_of(bank, trials, model))
    assert losses.shape == (3,) and torch.isfinite(losses).all()
    for parameter in model.parameters():
        (gradient,) = torch.autograd.grad(losses[1], parameter, retain_graph=True)
        assert gradient[1].any() and not gradient[0].any() and not gradient[2].any()


@pytest.mark.parametrize("name", algorithms.names())
def test_labels_stay_with_their_samples(name):
    bank, trials = make_bank(), [make_trial(name)]
    model = build(trials, bank)
    batch = batch_of(bank, trials, model)
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    shuffled = Batch(batch.x[:, :, order], batch.y[:, :, order])
    torch.testing.assert_close(model.loss(shuffled), model.loss(batch))


@pytest.mark.parametrize("name", LEARNERS)
def test_pairing_matters_if_and_only_if_declared(name):
    """Move one modality's rows within their class: instances come apart, labels do not."""
    bank, trials = make_bank(), [make_trial(name)]
    model = build(trials, bank)
    batch = batch_of(bank, trials, model, rows=32)
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
        own = (y[0, 0] == c).nonzero().flatten()
        order[own] = own.roll(1)
    apart = x.clone()
    apart[:, 1] = x[:, 1, order]
    same = torch.allclose(
        model.loss(Batch(apart, y)), model.loss(Batch(x, y)), rtol=1e-6, atol=1e-7
    )
    assert same == (not model.aligned)


@pytest.mark.parametrize("name", algorithms.names())
def test_prediction_has_a_logit_for_every_class_and_hangs_on_no_other_row(name):
    bank, trials = make_bank(), [make_trial(name), make_trial(name, seed=1)]
    model = build(trials, bank)
    logits = predict(model, bank, MODALITIES[3], trials)
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
        assert {"lr", "weight_decay", "batch_size"} <= set(method.search)
