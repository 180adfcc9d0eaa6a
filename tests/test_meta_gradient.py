"""The gradient through virtual steps: closed forms, central differences, and what is refused."""

from __future__ import annotations

import pytest
import torch
from _bodies import CONFIGS, SERIES, source
from torch import nn
from torch.func import functional_call

from mglib.errors import MglibError
from mglib.registry import transfers
from mglib.transfer.bodies.efficientnet_lite0 import EfficientNetLite0
from mglib.transfer.bodies.minilm import MiniLM
from mglib.transfer.body import TargetShape
from mglib.transfer.meta_gradient import FORMS, check_form, meta_gradient
from mglib.transfer.method import TransferBatch
from mglib.transfer.model import TransferModel
from mglib.transfer.named import body_named
from mglib.transfer.objectives import alignment, source_loss, uniformity

pytestmark = pytest.mark.usefixtures("one_thread")
EXACT = FORMS[:2]


def doubles(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_of_quadratic_losses_it_is_the_closed_form(form, steps):
    """theta_k = (1 - a)^k theta + (1 - (1 - a)^k) A phi, for L_inner = |theta - A phi|^2 / 2."""
    matrix, wanted, theta, phi = doubles(5, 3), doubles(5, seed=1), doubles(5, seed=2), doubles(3)
    rate = 0.3

    def inner(moved, learned):
        return (moved[0] - matrix @ learned[0]).square().sum() / 2

    def outer(moved):
        return (moved[0] - wanted).square().sum() / 2

    found = meta_gradient(form, inner, outer, [theta], [phi], rate=rate, steps=steps)
    kept = (1 - rate) ** steps
    last = kept * theta + (1 - kept) * matrix @ phi
    torch.testing.assert_close(found.outer, (last - wanted).square().sum() / 2)
    expected = (1 - kept) * matrix.T @ (last - wanted)
    torch.testing.assert_close(found.gradients[0], expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.inner, inner([theta], [phi]))
    torch.testing.assert_close(found.inner_theta[0], theta - matrix @ phi)
    torch.testing.assert_close(found.inner_phi[0], -matrix.T @ (theta - matrix @ phi))


class Smooth(nn.Module):
    """Embedder (phi) and encoder (theta) with a kink nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.embedder, self.encoder = nn.Linear(4, 6), nn.Linear(6, 3)
        for number, parameter in enumerate(self.parameters()):
            parameter.data = doubles(*parameter.shape, seed=number) * 0.5


def smooth_losses():
    model = Smooth()
    x, labels, source = doubles(8, 4), torch.arange(8) % 3, doubles(9, 6, seed=5)
    names = list(dict(model.encoder.named_parameters()))

    def inner(theta, phi):
        hidden = functional_call(model.embedder, dict(zip(("weight", "bias"), phi, strict=True)), x)
        answer = functional_call(model.encoder, dict(zip(names, theta, strict=True)), hidden.tanh())
        return nn.functional.cross_entropy(answer, labels)

    def outer(theta):
        features = functional_call(model.encoder, dict(zip(names, theta, strict=True)), source)
        return source_loss(features, torch.arange(9) % 3)

    return inner, outer, list(model.encoder.parameters()), list(model.embedder.parameters())


def after_steps(inner, outer, theta, phi, rate, steps):
    """The outer loss after virtual steps, each by autograd alone."""
    for _ in range(steps):
        own = [p.detach().requires_grad_() for p in theta]
        slopes = torch.autograd.grad(inner(own, phi), own)
        theta = [p.detach() - rate * g for p, g in zip(own, slopes, strict=True)]
    return outer(theta)


def along(inner, outer, theta, phi, direction, rate, steps, radius):
    """The central difference of the outer loss along a direction of phi."""
    sides = [
        after_steps(
            inner,
            outer,
            theta,
            [p.detach() + sign * radius * d for p, d in zip(phi, direction, strict=True)],
            rate,
            steps,
        )
        for sign in (1, -1)
    ]
    return float((sides[0] - sides[1]) / (2 * radius))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_it_agrees_with_central_differences(form, steps):
    inner, outer, theta, phi = smooth_losses()
    found = meta_gradient(form, inner, outer, theta, phi, rate=0.5, steps=steps)
    direction = [doubles(*p.shape, seed=9) for p in phi]
    expected = along(inner, outer, theta, phi, direction, 0.5, steps, 1e-5)
    computed = sum(float((g * d).sum()) for g, d in zip(found.gradients, direction, strict=True))
    assert abs(expected) > 1e-4  # a gradient that is absent would pass as zero
    assert computed == pytest.approx(expected, rel=1e-6 if form in EXACT else 1e-3)


def test_without_a_virtual_step_the_outer_loss_hangs_on_nothing():
    inner, outer, theta, phi = smooth_losses()
    for form in FORMS:
        found = meta_gradient(form, inner, outer, theta, phi, rate=0.0)
        assert all(not gradient.any() for gradient in found.gradients)


def test_a_first_order_shortcut_is_refused_with_its_reason():
    with pytest.raises(MglibError, match="identically absent"):
        transfers.get("mona@form=first_order")
    inner, outer, theta, phi = smooth_losses()
    with pytest.raises(MglibError, match="identically absent"):
        meta_gradient("first_order", inner, outer, theta, phi, rate=0.1)
    with pytest.raises(MglibError, match="did you mean 'two_phase'"):
        check_form("two_phases", True, "")


def test_finite_differences_are_refused_on_a_body_with_kinks():
    method = transfers.get("mona@form=finite_difference")
    with pytest.raises(MglibError, match="efficientnet_lite0.*kinks"):
        method.check_body(EfficientNetLite0)
    method.check_body(MiniLM)


def body_losses(body_class, inputs, classes=3):
    """A whole model in float64, with the losses that MoNA's first stage takes of it."""
    torch.manual_seed(0)
    shape = TargetShape(inputs.shape[1], tuple(inputs.shape[2:]), classes=classes)
    model = TransferModel(body_class(), shape).double()
    labels = torch.arange(len(inputs)) % classes
    return model, labels


@pytest.mark.parametrize("form", EXACT)
def test_on_efficientnet_lite0_it_agrees_below_its_kinks(form):
    model, labels = body_losses(EfficientNetLite0, doubles(3, 1, 64, 64))
    inputs, source = doubles(3, 1, 64, 64), doubles(4, 3, 64, 64, seed=3)
    moved, learned = list(model.named("encoder", "predictor")), list(model.named("embedder"))
    check_on_body(form, model, inputs, labels, source, moved, learned, radius=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_on_minilm_it_agrees(form):
    model, labels = body_losses(MiniLM, doubles(3, 2, 40))
    ids = torch.tensor([[101, 7592, 102, 0], [101, 2088, 4248, 102], [101, 3899, 102, 0]])
    source = (ids, ids > 0)
    moved, learned = list(model.named("encoder", "predictor")), list(model.named("embedder"))
    check_on_body(
        form, model, doubles(3, 2, 40), labels, source, moved, learned, radius=1e-5, rate=0.05
    )


@pytest.fixture
def double_softmax(monkeypatch):
    """ViT and Swin of transformers take their softmax in float32: here in their inputs' precision.

    Central differences at these radii would see nothing but its rounding.
    """
    taken = []

    def softmax(x, dim, dtype=None):
        taken.append(dtype)
        return torch.softmax(x, dim)

    monkeypatch.setattr(nn.functional, "softmax", softmax)
    return taken


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", CONFIGS)
def test_on_small_transformers_from_folders_it_agrees(kind, form, folders, double_softmax):
    body = body_named(str(folders / kind))
    values = doubles(3, 2, 40) if kind in SERIES else doubles(3, 1, 16, 16)
    model, labels = body_losses(body, values)
    found = source(model.body, 3)
    batch = found if isinstance(found, tuple) else found.double()
    moved, learned = list(model.named("encoder", "predictor")), list(model.named("embedder"))
    check_on_body(form, model, values, labels, batch, moved, learned, radius=1e-5, rate=0.05)
    assert double_softmax, "attention was taken by parts, not fused"


def check_on_body(form, model, inputs, labels, source, moved, learned, radius, rate=0.01):
    everything = dict(model.named("embedder", "encoder", "predictor"))
    source_labels = torch.tensor([0, 1, 0, 1])[
        : len(source[0] if isinstance(source, tuple) else source)
    ]

    def inner(theta, phi):
        weights = dict(zip([*moved, *learned], [*theta, *phi], strict=True))
        return nn.functional.cross_entropy(model.answer(inputs, weights), labels)

    def outer(theta):
        weights = dict(zip(moved, theta, strict=True))
        return source_loss(model.source_features(source, weights), source_labels)

    theta, phi = [everything[n] for n in moved], [everything[n] for n in learned]
    found = meta_gradient(form, inner, outer, theta, phi, rate=rate)
    norm = torch.stack([g.square().sum() for g in found.gradients]).sum().sqrt()
    assert norm > 0
    direction = [g / norm for g in found.gradients]
    expected = along(inner, outer, theta, phi, direction, rate, 1, radius)
    assert float(norm) == pytest.approx(expected, rel=1e-5 if form in EXACT else 1e-3)


def test_the_first_stage_takes_the_step_that_the_paper_describes():
    """One gradient of stage 1 against code of its own that shares nothing with it."""
    torch.manual_seed(1)
    shape = TargetShape(1, (64, 64), classes=3)
    model = TransferModel(EfficientNetLite0(), shape).double()
    inputs, labels = doubles(4, 1, 64, 64), torch.tensor([0, 1, 2, 0])
    source, source_labels = doubles(4, 3, 64, 64, seed=3), torch.tensor([0, 0, 1, 1])
    method = transfers.get("mona@weight=0.3,inner_rate=0.02")()
    stage = method.stages(model)[0]
    own = {name: model.named("embedder", "predictor")[name] for name in stage.names}

    class Judge:
        @staticmethod
        def loss(answer, wanted):
            return nn.functional.cross_entropy(answer, wanted)

    batch = TransferBatch(inputs, labels, source, source_labels, 0.5)
    got = stage.gradients(model, Judge(), batch, own)

    body = model.body
    embedder = {n: p.detach().requires_grad_() for n, p in model.embedder.named_parameters()}
    encoder = {n: p.detach().requires_grad_() for n, p in body.encoder.named_parameters()}
    head = {n: p.detach().requires_grad_() for n, p in model.predictor.named_parameters()}
    hidden = functional_call(
        body.encoder, encoder, functional_call(model.embedder, embedder, inputs)
    )
    task = nn.functional.cross_entropy(functional_call(model.predictor, head, hidden), labels)
    slopes = torch.autograd.grad(task, list(encoder.values()), create_graph=True)
    virtual = {n: p - 0.02 * g for (n, p), g in zip(encoder.items(), slopes, strict=True)}
    seen = functional_call(body.encoder, virtual, body.source_embedder(source)).mean((2, 3))
    unit = seen / seen.norm(dim=1, keepdim=True)
    distance = torch.cdist(unit, unit).square()
    pairs = [(0, 1), (2, 3)]
    align = sum(distance[i, j] for i, j in pairs) / len(pairs)
    every = torch.stack([distance[i, j] for i in range(4) for j in range(i + 1, 4)])
    whole = task + 0.3 * (align + every.mul(-2).exp().mean().log())
    wanted = torch.autograd.grad(whole, list(embedder.values()), retain_graph=True)
    for name, expected in zip(embedder, wanted, strict=True):
        torch.testing.assert_close(got[f"embedder.{name}"], expected, rtol=1e-6, atol=1e-10)
    for name, expected in zip(head, torch.autograd.grad(task, list(head.values())), strict=True):
        torch.testing.assert_close(got[f"predictor.{name}"], expected, rtol=1e-9, atol=1e-12)


def test_alignment_and_uniformity_are_those_of_wang_and_isola():
    features, labels = doubles(6, 5), torch.tensor([0, 0, 0, 1, 1, 2])
    unit = features / features.norm(dim=1, keepdim=True)
    pairs = [(0, 1), (0, 2), (1, 2), (3, 4)]
    expected = sum((unit[i] - unit[j]).square().sum() for i, j in pairs) / 4
    torch.testing.assert_close(alignment(features, labels), expected)
    torch.testing.assert_close(
        uniformity(features), torch.pdist(unit).square().mul(-2).exp().mean().log()
    )
    assert alignment(features, torch.arange(6)) == 0
    assert alignment(torch.ones(4, 3), torch.zeros(4)) == pytest.approx(0, abs=1e-6)
    assert uniformity(torch.ones(4, 3)) == pytest.approx(0, abs=1e-6)


def test_across_kinks_differences_are_wrong_by_orders_of_magnitude():
    """Why the form is refused on EfficientNet-Lite0: in float32 it is far from the exact one."""
    torch.manual_seed(0)
    model = TransferModel(EfficientNetLite0(), TargetShape(1, (64, 64), classes=3))
    inputs, source = doubles(4, 1, 64, 64).float(), doubles(4, 3, 64, 64, seed=3).float()
    moved, learned = list(model.named("encoder", "predictor")), list(model.named("embedder"))
    everything = model.named("embedder", "encoder", "predictor")

    def inner(theta, phi):
        weights = dict(zip([*moved, *learned], [*theta, *phi], strict=True))
        return nn.functional.cross_entropy(model.answer(inputs, weights), torch.arange(4) % 3)

    def outer(theta):
        features = model.source_features(source, dict(zip(moved, theta, strict=True)))
        return source_loss(features, torch.tensor([0, 1, 0, 1]))

    theta, phi = [everything[n] for n in moved], [everything[n] for n in learned]
    exact, differences = (
        torch.cat([g.flatten() for g in found.gradients])
        for form in ("two_phase", "finite_difference")
        for found in [meta_gradient(form, inner, outer, theta, phi, rate=0.01)]
    )
    assert (differences - exact).norm() > 10 * exact.norm()
