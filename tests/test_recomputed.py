"""Layers computed again on the way back: the same derivatives, of the weights of the call."""

from __future__ import annotations

import pytest
import torch
from _bodies import CONFIGS, PICTURES, SERIES, inputs, source
from _small_body import Small, make_source, make_target, make_transfer
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from mglib.errors import MglibError
from mglib.transfer import training
from mglib.transfer.body import TargetShape
from mglib.transfer.meta_gradient import FORMS, meta_gradient
from mglib.transfer.model import TransferModel
from mglib.transfer.named import body_named
from mglib.transfer.objectives import source_loss
from mglib.transfer.recomputed import asked, passed, recomputing

pytestmark = pytest.mark.usefixtures("one_thread")
RATE = 0.1  # large enough that the virtual weights are far from the model's own


def stage_one(model, x, labels, batch, form):
    """All that MoNA's first stage takes: both losses and their gradients."""
    every = model.named("embedder", "encoder", "predictor")
    moved = [name for name in every if not name.startswith("embedder.")]
    learned = [name for name in every if name.startswith("embedder.")]

    def inner(theta, phi):
        weights = dict(zip([*moved, *learned], [*theta, *phi], strict=True))
        return nn.functional.cross_entropy(model.answer(x, weights), labels)

    def outer(theta):
        features = model.source_features(batch, dict(zip(moved, theta, strict=True)))
        return source_loss(features, torch.tensor([0, 0, 1]))

    parts = [every[n] for n in moved], [every[n] for n in learned]
    found = meta_gradient(form, inner, outer, *parts, rate=RATE, steps=2)
    return [found.outer, found.inner, *found.gradients, *found.inner_theta, *found.inner_phi]


# The forms part on no layer: the two large bodies, seconds each in float64, show one of them.
BORNE = [(kind, form) for kind in CONFIGS for form in FORMS]
BORNE += [(kind, "two_phase") for kind in (*SERIES, *PICTURES) if kind not in CONFIGS]


@pytest.mark.parametrize(("kind", "form"), BORNE)
def test_meta_gradients_of_every_body_are_the_same(kind, form, folders):
    body = body_named(str(folders / kind) if kind in CONFIGS else kind)()
    torch.manual_seed(0)
    x, size = inputs(body, 2, 3)
    model = TransferModel(body, TargetShape(2, size, classes=3)).double()
    found = source(body, 3)
    batch = found if isinstance(found, tuple) else found.double()
    calls = []
    first = next(part for part in body.encoder.modules() if isinstance(part, nn.ModuleList))[0]
    first.register_forward_pre_hook(lambda *told: calls.append(1))

    def taken():
        calls.clear()
        return stage_one(model, x.double(), torch.arange(3), batch, form), len(calls)

    expected, once = taken()
    with recomputing():
        got, again = taken()
    assert again > once  # layers were called on the way back, too
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert any(gradient.any() for gradient in expected[2:])


class Two(nn.Module):
    """Two layers, each kept or called again by `call`."""

    def __init__(self, call):
        super().__init__()
        self.call = call
        self.layers = nn.ModuleList(nn.Linear(4, 4, dtype=torch.float64) for _ in range(2))

    def forward(self, x):
        for layer in self.layers:
            x = self.call(layer, x).tanh()
        return x


def test_weights_given_for_one_call_are_not_lost_as_torchs_own_form_loses_them():
    """The published trap: with functional_call, checkpoint goes back through the old weights."""
    torch.manual_seed(0)
    network = Two(lambda layer, x: layer(x))
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    given = {name: torch.randn_like(p).requires_grad_() for name, p in network.named_parameters()}

    def slopes(call):
        network.call = call
        value = functional_call(network, given, (x,)).square().sum()
        return torch.autograd.grad(value, [x, *given.values()], create_graph=True)

    def second(found):
        return torch.autograd.grad(sum(g.sin().sum() for g in found), [x, *given.values()])

    plain = slopes(lambda layer, x: layer(x))
    with recomputing():
        ours = slopes(passed)
    for one, other in zip([*ours, *second(ours)], [*plain, *second(plain)], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)
    torchs = slopes(lambda layer, x: checkpoint(layer, x, use_reentrant=False))
    assert not torch.allclose(torchs[0], plain[0], rtol=0.1)


def test_live_normalisation_counts_a_batch_once():
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(6, 2, 4, 4)
    with recomputing():
        passed(layers[0], x).square().sum().backward()
    layers[1](x).square().sum().backward()
    torch.testing.assert_close(layers[0].state_dict(), layers[1].state_dict(), rtol=0, atol=0)
    assert int(layers[0][1].num_batches_tracked) == 1


def test_outside_nothing_is_called_again():
    layer, calls = nn.Linear(3, 3), []
    layer.register_forward_pre_hook(lambda *told: calls.append(1))
    with recomputing():
        passed(layer, torch.randn(2, 3)).sum().backward()
    passed(layer, torch.randn(2, 3)).sum().backward()
    with recomputing(False):
        passed(layer, torch.randn(2, 3)).sum().backward()
    assert len(calls) == 4
    with pytest.raises(RuntimeError), recomputing():
        raise RuntimeError
    assert not asked()


@pytest.mark.parametrize("method", ["fine_tuning", "mona", "scratch"])
def test_training_asks_for_it_by_the_environment(method, monkeypatch):
    wanted = []
    monkeypatch.setattr(training, "recomputing", lambda on: wanted.append(on) or recomputing(on))
    monkeypatch.setattr(training, "body_named", lambda name: Small)
    monkeypatch.setattr(training, "load_target", lambda *told: make_target())
    monkeypatch.setattr(training, "load_source", lambda *told: make_source())
    for told in ("off", "on"):
        monkeypatch.setenv("MGLIB_RECOMPUTE", told)
        training.TransferTraining(make_transfer(method, steps=2)).run()
    assert wanted == [False, False, True, True]
    monkeypatch.setenv("MGLIB_RECOMPUTE", "onn")
    with pytest.raises(MglibError, match="MGLIB_RECOMPUTE 'onn'.*did you mean 'on'"):
        training.TransferTraining(make_transfer(method, steps=2))
