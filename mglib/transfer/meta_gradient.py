"""The gradient of an outer loss after virtual steps, with respect to what those steps hang on.

With theta the parameters that are virtually updated and phi those that are learned,

    theta_(i+1) = theta_i - rate * d inner(theta_i, phi) / d theta_i,

all forms give d outer(theta_k) / d phi. The outer loss hangs on phi through theta_k alone, so that
a first-order shortcut, which takes the inner gradients as constants, has no gradient at all.

Source: MoNA (arXiv 2406.18864), its figure 5; the two further forms are ours, after the mixed
Hessian-vector products of Liu et al. (DARTS, arXiv 1806.09055, equations 7 and 8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mglib.errors import MglibError, unknown

FORMS = ("second_order", "two_phase", "finite_difference")
REFUSED = {
    "first_order": "its gradient is identically absent: the outer loss sees the source through its "
    "own embedder, and the target's only through the virtual step",
}
Inner = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]  # theta, phi -> a scalar
Outer = Callable[[Sequence[Tensor]], Tensor]  # theta -> a scalar


@dataclass(frozen=True)
class MetaGradient:
    """The outer loss after the virtual steps and its gradient for every tensor of phi.

    `inner` is the inner loss before them, with its gradients for theta and phi, which come on the
    way and are part of what MoNA descends along.
    """

    outer: Tensor
    gradients: list[Tensor]
    inner: Tensor
    inner_theta: list[Tensor]
    inner_phi: list[Tensor]


def check_form(form: str, smooth: bool, name: str) -> None:
    """Raise MglibError for a form that there is not, or that is wrong on a body with kinks."""
    if form in REFUSED:
        raise MglibError(f"meta-gradient '{form}' is refused: {REFUSED[form]}")
    if form not in FORMS:
        raise unknown("form of the meta-gradient", form, FORMS)
    if form == "finite_difference" and not smooth:
        raise MglibError(
            f"meta-gradient 'finite_difference' is refused on body '{name}': its ReLUs give the "
            "loss kinks, across which differences are wrong by orders of magnitude; use "
            "'second_order' or 'two_phase'"
        )


def meta_gradient(
    form: str,
    inner: Inner,
    outer: Outer,
    theta: Sequence[Tensor],
    phi: Sequence[Tensor],
    *,
    rate: float,
    steps: int = 1,
    radius: float = 1e-3,
) -> MetaGradient:
    """d outer(theta after `steps` virtual steps) / d phi, in one of three forms.

    'second_order' keeps the graph of all steps; 'two_phase' goes back through them one by one with
    mixed Hessian-vector products, keeping the parameters of every step but one graph at a time;
    'finite_difference' takes those products as central differences at `radius` divided by the norm
    of the vector, and differentiates nothing twice. Raises MglibError for another form.
    """
    check_form(form, True, "")
    learned = [p.detach().requires_grad_() for p in phi]
    start = [p.detach().requires_grad_() for p in theta]
    exact, phased = form == "second_order", form == "two_phase"
    opened = _Opened.at(inner, start, learned, graph=exact or (phased and steps == 1))
    first = opened
    places = [start]
    for number in range(1, steps + 1):
        after = [
            p if g is None else p - rate * g
            for p, g in zip(places[-1], opened.by_theta, strict=True)
        ]
        places.append(after if exact else [p.detach().requires_grad_() for p in after])
        if number < steps:
            graph = exact or (phased and number == steps - 1)
            opened = _Opened.at(inner, places[-1], learned, graph)
    last = places.pop()
    value = outer(last)
    if exact:
        total = _or_zero(torch.autograd.grad(value, learned, allow_unused=True), learned)
    else:
        vector = _or_zero(torch.autograd.grad(value, last, allow_unused=True), last)
        value = value.detach()
        del last, after  # a copy of every weight, which the products do without
        product = _mixed_product if phased else _difference(radius)
        total = [torch.zeros_like(p) for p in learned]
        for number in reversed(range(steps)):
            kept = opened if phased and number == steps - 1 else None
            by_theta, by_phi = product(inner, places[number], learned, vector, number > 0, kept)
            total = [t - rate * g for t, g in zip(total, by_phi, strict=True)]
            if number:
                vector = [v - rate * g for v, g in zip(vector, by_theta, strict=True)]
    return MetaGradient(
        value.detach(),
        [g.detach() for g in total],
        first.value.detach(),
        [g.detach() for g in _or_zero(first.by_theta, start)],
        [g.detach() for g in _or_zero(first.by_phi, learned)],
    )


@dataclass(frozen=True)
class _Opened:
    """The inner loss at one place, with its gradients; None where it does not hang on a tensor."""

    value: Tensor
    by_theta: Sequence[Tensor | None]
    by_phi: Sequence[Tensor | None]

    @classmethod
    def at(
        cls, inner: Inner, theta: Sequence[Tensor], phi: Sequence[Tensor], graph: bool
    ) -> _Opened:
        value = inner(theta, phi)
        found = torch.autograd.grad(value, [*theta, *phi], create_graph=graph, allow_unused=True)
        return cls(value, found[: len(theta)], found[len(theta) :])


def _or_zero(found: Sequence[Tensor | None], of: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, of, strict=True)]


def _mixed_product(
    inner: Inner,
    theta: Sequence[Tensor],
    phi: Sequence[Tensor],
    vector: Sequence[Tensor],
    both: bool,
    kept: _Opened | None,
) -> tuple[list[Tensor], list[Tensor]]:
    """d <d inner / d theta, vector> by theta (only if `both`) and by phi.

    `kept` is the inner loss opened here before, with its graph.
    """
    opened = kept or _Opened.at(inner, theta, phi, graph=True)
    used = [(g, v) for g, v in zip(opened.by_theta, vector, strict=True) if g is not None]
    slopes = [g for g, _ in used if g.requires_grad]
    along = [v for g, v in used if g.requires_grad]
    asked = [*theta, *phi] if both else [*phi]
    found: Sequence[Tensor | None] = [None] * len(asked)
    if slopes:
        found = torch.autograd.grad(slopes, asked, along, allow_unused=True)
    whole = _or_zero(found, asked)
    cut = len(theta) if both else 0
    return whole[:cut], whole[cut:]


def _difference(
    radius: float,
) -> Callable[..., tuple[list[Tensor], list[Tensor]]]:
    """The same product as a central difference of gradients along the vector."""

    def product(
        inner: Inner,
        theta: Sequence[Tensor],
        phi: Sequence[Tensor],
        vector: Sequence[Tensor],
        both: bool,
        kept: _Opened | None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        norm = torch.stack([v.square().sum() for v in vector]).sum().sqrt()
        if not norm > 0:
            nothing = [torch.zeros_like(p) for p in theta] if both else []
            return nothing, [torch.zeros_like(p) for p in phi]
        length = radius / norm
        sides = []
        for sign in (1, -1):
            own = [p + sign * length * v for p, v in zip(theta, vector, strict=True)]
            own = [p.detach().requires_grad_(both) for p in own]
            learned = [p.detach().requires_grad_() for p in phi]
            asked = [*own, *learned] if both else learned
            found = torch.autograd.grad(inner(own, learned), asked, allow_unused=True)
            sides.append(_or_zero(found, asked))
        slopes = [(up - down) / (2 * length) for up, down in zip(*sides, strict=True)]
        cut = len(theta) if both else 0
        return slopes[:cut], slopes[cut:]

    return product
