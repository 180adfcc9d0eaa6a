"""PaRe: choices and mixtures by hand, its loss against code of its own, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _bodies import source, write_models
from torch.nn import functional

from mglib.errors import MglibError
from mglib.registry import transfers
from mglib.transfer.bodies.efficientnet_lite0 import EfficientNetLite0
from mglib.transfer.bodies.minilm import MiniLM
from mglib.transfer.body import TargetShape
from mglib.transfer.method import TransferBatch, task_gradients
from mglib.transfer.methods import pare
from mglib.transfer.methods.pare import gumbel, mixture, relaxed_top, top
from mglib.transfer.model import TransferModel
from mglib.transfer.named import body_named
from mglib.transfer.target import Target, Units

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("bodies")
    write_models(root)
    return root


def setting(folder, monkeypatch, progress=0.5):
    """A small body with six target instances and three source instances."""
    monkeypatch.setattr(pare, "source_classes", lambda body: 4)
    torch.manual_seed(0)
    body = body_named(str(folder))()
    size = (24,) if body.dimensions == 1 else (16, 16)
    shape = TargetShape(2, size, classes=3)
    model = TransferModel(body, shape)
    inputs, answers, one = torch.randn(6, 2, *size), torch.arange(6) % 3, torch.ones(2)
    parts = {name: np.arange(6) for name in ("train", "validation", "test")}
    target = Target(inputs, answers, Units(one, one, one, one), parts, np.arange(6), shape)
    batch = TransferBatch(inputs, answers, source(body), torch.tensor([0, 3, 1]), progress)
    return model, target, batch


def test_best_tokens_take_the_places_of_the_least_in_their_order():
    own, other = torch.arange(4.0).view(1, 4, 1), torch.arange(10.0, 15).view(1, 5, 1)
    kept = top(torch.tensor([[0.9, 0.1, 0.8, 0.2]]), torch.tensor([2]))
    brought = top(torch.tensor([[0.1, 0.3, 0.2, 0.0, 0.9]]), torch.tensor([2]))
    assert kept.tolist() == [[1, 0, 1, 0]] and brought.tolist() == [[0, 1, 0, 0, 1]]
    assert mixture(own, other, kept, brought).flatten().tolist() == [0, 11, 2, 14]


def test_each_row_has_a_number_of_its_own():
    scores = torch.rand(3, 6)
    scores[0, 2:] = float("-inf")
    counts = torch.tensor([2, 0, 5])
    for chosen in (top(scores, counts), relaxed_top(scores, counts, 0.9, gumbel(scores, 3))):
        torch.testing.assert_close(chosen.sum(1), counts.float())
        assert chosen.round().unique().tolist() == [0, 1] and not chosen[0, 2:].any()
    own, other = torch.randn(3, 6, 2), torch.randn(3, 6, 2)
    mixed = mixture(own, other, top(torch.rand(3, 6), 6 - counts), top(scores, counts))
    assert (mixed != own).any(2).sum(1).tolist() == counts.tolist()


def test_relaxed_choice_is_the_sum_of_softmaxes_and_learns():
    scores = torch.tensor([[0.2, 0.9, 0.4, 0.1]], dtype=torch.float64, requires_grad=True)
    chosen = relaxed_top(scores, torch.tensor([2]), 0.5, torch.zeros(1, 4))
    torch.testing.assert_close(chosen, torch.tensor([[0, 1, 1, 0]]).double())
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0]).double()
    (gradient,) = torch.autograd.grad((chosen * weights).sum(), scores)

    def soft(moved):
        first = np.exp(moved / 0.5) / np.exp(moved / 0.5).sum()
        without = np.exp(moved / 0.5) * (1 - first) ** (1 / 0.5)
        return ((first + without / without.sum()) * weights.numpy()).sum()

    for place in range(4):
        step = np.eye(4)[place] * 1e-6
        ends = [soft(scores.detach().numpy()[0] + sign * step) for sign in (1, -1)]
        assert float(gradient[0, place]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)


def test_noise_is_gumbels_and_hangs_on_its_seed():
    noise = gumbel(torch.empty(200, 200), 1)
    assert torch.equal(noise, gumbel(torch.empty(200, 200), 1))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.02)
    assert float(noise.var()) == pytest.approx(np.pi**2 / 6, rel=0.03)


@pytest.mark.parametrize("kind", ["bert", "vit", "swin"])
def test_once_hard_the_loss_is_the_papers(kind, folders, monkeypatch):
    model, target, batch = setting(folders / kind, monkeypatch)
    method = transfers.get("pare@begin=0.6,end=0.2")()
    method.stages(model)
    found = method.loss(model, target, batch)
    added, body = model.predictor.pare, model.body
    tokens, mask = body.source_tokens(batch.source)
    own = model.embedder(batch.inputs)
    mixed, replaced = own.clone(), 0
    for row in range(6):
        real = tokens[row % 3] if mask is None else tokens[row % 3][mask[row % 3]]
        count = min(int(0.4 * own.shape[1]), len(real))  # half-way from 0.6 to 0.2
        best = added["gate"](real)[:, 0].topk(count).indices.sort().values
        least = (-added["gate"](own[row])[:, 0]).topk(count).indices.sort().values
        mixed[row, least] = real[best]
        replaced += count / own.shape[1] / 6
    plain, encoded = (body.encode(body.encoder, (each, None)) for each in (own, mixed))
    said = added["head"](body.pooled(encoded, None))
    expected = (
        functional.cross_entropy(model.predictor(plain), batch.answers)
        + (1 - replaced) * functional.cross_entropy(model.predictor(encoded), batch.answers)
        + replaced * functional.cross_entropy(said, batch.labels.repeat(2))
    )
    assert 0 < replaced < 0.5
    torch.testing.assert_close(found, expected)


def test_with_nothing_replaced_it_is_twice_fine_tuning(folders, monkeypatch):
    model, target, batch = setting(folders / "bert", monkeypatch)
    (stage,) = transfers.get("pare@begin=0,end=0")().stages(model)
    own = {name: model.named("embedder", "encoder", "predictor")[name] for name in stage.names}
    found = stage.gradients(model, target, batch, own)
    plain = task_gradients(model, target, batch, own)
    assert sum(float(gradient.abs().sum()) for gradient in plain.values()) > 0
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, 2 * plain[name])
        assert ".pare." not in name or not gradient.any()


def test_what_is_added_is_trained_and_the_same_when_made_again(folders, monkeypatch):
    model, target, batch = setting(folders / "bert", monkeypatch, progress=0.1)
    method = transfers.get("pare")()
    before = model.answer(batch.inputs)
    state = torch.get_rng_state()
    (stage,) = method.stages(model)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(before, model.answer(batch.inputs))
    assert method.stages(model)[0].names == stage.names and stage.source
    own = {name: model.named("embedder", "encoder", "predictor")[name] for name in stage.names}
    found = stage.gradients(model, target, batch, own)
    for name in ("gate.weight", "head.weight", "head.bias"):
        assert found[f"predictor.pare.{name}"].any()
    again = method.added(model).state_dict()
    assert all(torch.equal(own[f"predictor.pare.{name}"], each) for name, each in again.items())
    torch.testing.assert_close(stage.gradients(model, target, batch, own), found, rtol=0, atol=0)


def test_the_share_falls():
    method = transfers.get("pare")()
    counts = [method.replaced(3136, progress) for progress in (0.0, 0.5, 1.0)]
    assert counts == [2007, 1254, 501]
    with pytest.raises(MglibError, match="falls: end 0.5 is above begin 0.2"):
        transfers.get("pare@begin=0.2,end=0.5")


def test_bodies_without_tokens_are_refused():
    with pytest.raises(MglibError, match="efficientnet_lite0.*minilm"):
        transfers.get("pare").check_body(EfficientNetLite0)
    transfers.get("pare").check_body(MiniLM)
