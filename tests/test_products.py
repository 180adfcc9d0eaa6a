"""Products in other orders and layouts: the same values and gradients as the plain ones."""

from __future__ import annotations

import pytest
import torch

from mglib.trials.networks import StackedLinear, StackedMLP
from mglib.trials.products import NARROW, joining_pays, product


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("columns", [1, 3, NARROW - 1, NARROW])
def test_a_product_and_its_derivatives_are_those_of_bmm(columns):
    torch.manual_seed(0)
    x, weight = drawn(2, 5, 4), drawn(2, 4, columns)
    torch.testing.assert_close(product(x, weight), torch.bmm(x, weight), rtol=1e-12, atol=0)
    assert torch.autograd.gradcheck(product, (x, weight))
    # CDANN's penalty on gradients differentiates twice.
    assert torch.autograd.gradgradcheck(product, (x, weight))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("rows", [8, 12, 96, 256])
@pytest.mark.parametrize("columns", [2, 7, 20, NARROW, 96])
def test_a_product_hangs_on_no_other_trial_of_the_stack(rows, columns):
    torch.manual_seed(0)
    x, weight, gradient = (
        torch.randn(5, *shape) for shape in ((rows, 40), (40, columns), (rows, columns))
    )

    def found(own):
        sides = [side[own].clone().requires_grad_() for side in (x, weight)]
        y = product(*sides)
        return [y, *torch.autograd.grad(y, sides, gradient[own])]

    together = found(slice(None))
    for t in range(5):
        for alone, one in zip(found(slice(t, t + 1)), together, strict=True):
            assert torch.equal(alone[0], one[t])


def network(outputs: int) -> tuple[StackedMLP, StackedLinear]:
    streams = [torch.Generator().manual_seed(seed) for seed in range(3)]
    body, head = StackedMLP(streams, [6, 8, 12]), StackedLinear(streams, 12, outputs)
    return body.double(), head.double()


@pytest.mark.parametrize(("rows", "outputs"), [((2, 20), 3), ((2, 1), 40), ((7,), 5)])
def test_a_head_without_features_before_it_is_the_head_of_the_features(rows, outputs):
    """With fewer outputs than rows the two layers are joined, else not; the answer is one."""
    body, head = network(outputs)
    x = torch.randn(3, *rows, 6, dtype=torch.float64)
    weights = [*body.parameters(), *head.parameters()]
    sides = [body.into(head, x), head(body(x))]
    torch.testing.assert_close(*sides, rtol=1e-11, atol=1e-14)
    gradients = [torch.autograd.grad(y.sin().sum(), weights) for y in sides]
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-13)


def test_maps_are_joined_where_that_takes_fewer_multiplications():
    for rows, width_in, between, width_out in [(96, 256, 512, 8), (4, 256, 512, 8), (9, 9, 9, 9)]:
        joined = width_in * between * width_out + rows * width_in * width_out
        apart = rows * width_in * between + rows * between * width_out
        assert joining_pays(rows, width_in, between, width_out) == (joined < apart)
    assert joining_pays(96, 256, 512, 8) and not joining_pays(4, 256, 512, 8)


def test_joined_layers_never_compute_the_features_between_them(monkeypatch):
    """What makes it cheaper: no product of the rows has the width of the features."""
    body, head = network(3)
    x, widths = torch.randn(3, 40, 6, dtype=torch.float64), []

    def counted(name):
        plain = getattr(torch, name)

        def product_of(*given):
            widths.append((given[-2].shape[1], given[-1].shape[-1]))
            return plain(*given)

        return product_of

    monkeypatch.setattr("mglib.trials.products.NARROW", 0)
    for name in ("bmm", "baddbmm"):
        monkeypatch.setattr(torch, name, counted(name))
    body.into(head, x)
    assert (40, 3) in widths and (40, 12) not in widths
    widths.clear()
    head(body(x))
    assert (40, 12) in widths
