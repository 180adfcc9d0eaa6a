"""An algorithm written for one trial and lifted equals the same one written for a stack."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_up import MODALITIES, batch_of, make_bank, make_trial, values_of
from torch import nn

from mglib.registry import algorithms
from mglib.trials.algorithm import cross_entropies
from mglib.trials.engine import Training, build, train
from mglib.trials.lifted import Lifted


class LiftedERM(Lifted):
    """ERM of one hidden layer with a penalty on its logits, for one trial."""

    title = "Lifted"

    def network(self, task, hparams):
        return nn.Sequential(nn.Linear(task.features, 12), nn.Tanh(), nn.Linear(12, task.classes))

    def loss_of_one(self, network, batch, hparams):
        logits = network(batch.x)
        return batch.mean(cross_entropies(logits, batch.y)) + hparams["weight_decay"] * (
            logits.square().mean()
        )


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    algorithms.names()
    monkeypatch.setitem(algorithms._found, "lifted", LiftedERM)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trials(number=3):
    return [
        replace(make_trial(seed=s, weight_decay=0.1 * s, batch_size=8), algorithm="lifted")
        for s in range(number)
    ]


def test_each_trials_loss_and_gradient_equal_a_plain_network():
    bank, asked = make_bank(), trials()
    model = build(asked, bank)
    batch = batch_of(bank, asked)
    losses = model.loss(batch)
    gradients = torch.autograd.grad(losses.sum(), list(model.parameters()))
    for t in range(3):
        plain = model.network(model.task, {})
        for weight, stacked in zip(plain.parameters(), model.parameters(), strict=True):
            weight.data = stacked[t].detach().clone()
        logits = plain(batch.x[t])
        expected = nn.functional.cross_entropy(logits.flatten(0, 1), batch.y[t].flatten())
        expected = expected + 0.1 * t * logits.square().mean()
        torch.testing.assert_close(losses[t], expected)
        own = torch.autograd.grad(expected, list(plain.parameters()))
        for stacked, single in zip(gradients, own, strict=True):
            torch.testing.assert_close(stacked[t], single)
        torch.testing.assert_close(model.predict(batch.x[:, 0])[t], plain(batch.x[t, 0]))


def test_it_learns_alone_as_in_company_and_leaves_the_global_stream_alone():
    bank, asked = make_bank(), trials(8)
    state = torch.random.get_rng_state()
    together = train(asked, bank)
    assert torch.equal(state, torch.random.get_rng_state())
    alone = train([asked[5]], bank)
    for one, other in zip(
        values_of(together, asked[5].key), values_of(alone, asked[5].key), strict=True
    ):
        assert one[:4] == other[:4] and one[4] == pytest.approx(other[4], abs=0.02)


def test_its_weights_are_its_own_and_lead_with_the_trial():
    training = Training(trials(), make_bank())
    assert all(len(tensor) == 3 for tensor in training.moving().values())
    first = list(training.model.parameters())[0]
    assert not torch.equal(first[0], first[1])
    assert MODALITIES[3] not in training.trials[0].train
