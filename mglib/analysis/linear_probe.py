"""Many linear probes at once: multinomial logistic regression with an L2 penalty, to its optimum.

L-BFGS (Nocedal & Wright 2006, algorithm 7.5) for all problems on one set of features together, so
that each step is two large matrix products, and preconditioned by the principal axes of the
features, which the problems share: few steps even where the penalty is weak.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mglib.errors import MglibError

AXES = 64  # principal axes of the preconditioner; more save no steps on features of networks
MEMORY = 10  # steps that L-BFGS remembers
MOST = 3000  # steps
HALVINGS = 40  # of one step
DROPPED = 0.2  # share of problems at their optimum from which on they are taken out


class Probes(NamedTuple):
    """Fitted probes: `weights` [P, D, C], `bias` [P, C] and the least `objectives` [P], float64.

    Scores are features @ weights + bias. The bias of a problem sums to zero over its classes; a
    class that is not among its labels has weights 0 and bias -inf.
    """

    weights: Tensor
    bias: Tensor
    objectives: Tensor


class _State(NamedTuple):
    """Of the problems of one set that still run; N rows, D features and a one, C classes."""

    place: Tensor  # [P]
    right: Tensor  # [P, C, N]: 1 for the class of a row that is trained on
    used: Tensor  # [P, N]: 1 for a row that is trained on
    penalty: Tensor  # [P, 1, D + 1]: none for the last, the bias
    weights: Tensor  # [P, C, D + 1]
    scores: Tensor  # [P, C, N]
    past: tuple[Tensor, ...]  # each [2, P, C (D + 1)], a step and the change of the slope by it

    def kept(self, which: Tensor) -> _State:
        """Only some of the problems."""
        *own, past = self
        return _State._make([*(x[which] for x in own), tuple(pair[:, which] for pair in past)])


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """Inner products [P] of [P, ...] and [P, ...]."""
    return torch.bmm(first.flatten(1)[:, None], second.flatten(1)[:, :, None])[:, 0, 0]


def _objectives(state: _State, scores: Tensor, weights: Tensor) -> Tensor:
    """Summed cross-entropy and half the penalty on the square of the weights: [P]."""
    # A class that a problem lacks scores -inf, and times its zeros in `right` would be NaN.
    losses = _dot(scores.logsumexp(1), state.used) - _dot(scores.clamp(min=-1e300), state.right)
    return losses + _dot(state.penalty * weights, weights) / 2


def _principal(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first axes [D, K] of points [N, D], their squared sizes [K], the mean of the others'.

    By a subspace iteration from a fixed start: close is enough for a preconditioner.
    """
    d, k = points.shape[1], min(AXES, *points.shape)
    random = torch.Generator().manual_seed(0)
    axes = torch.randn(d, k, generator=random).to(points)
    for _ in range(3):
        axes = torch.linalg.qr(points.T @ (points @ torch.linalg.qr(axes).Q)).Q
    sizes = (points @ axes).square().sum(0)
    rest = (points.square().sum() - sizes.sum()).clamp(min=0) / max(d - k, 1)
    return axes, sizes, rest


def _direction(
    state: _State, slope: Tensor, spread: Tensor, principal: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Where to go [P, C, D + 1]: two loops over the last steps around a curvature made up.

    The curvature were the Hessian if every class of every row had the same variance, `spread` [P]
    summed over rows.
    """
    axes, sizes, rest = principal
    mean, least = spread[:, None, None] / state.scores.shape[2], state.penalty[:, :, :1]
    base = 1 / (mean * rest + state.penalty)
    base[:, :, -1] = 1 / spread[:, None]
    more = 1 / (mean * sizes + least) - base[:, :, :1]  # [P, 1, K]

    def conditioned(x: Tensor) -> Tensor:
        found = base * x
        found[:, :, :-1] += (x[:, :, :-1] @ axes * more) @ axes.T
        return found

    found, shares = -slope.flatten(1), []
    # A problem at its optimum may stand still while others go on: such a step says nothing.
    bends = [_dot(step, change) for step, change in state.past]
    inverses = [torch.where(bend > 0, 1 / bend, 0.0) for bend in bends]
    for (step, change), inverse in zip(state.past[::-1], inverses[::-1], strict=True):
        shares.append(_dot(step, found) * inverse)
        found = torch.addcmul(found, shares[-1][:, None], change, value=-1)
    whole = conditioned(found.view_as(slope))
    if bends:
        change = state.past[-1][1].view_as(slope)
        ratio = bends[-1] / _dot(change, conditioned(change))
        whole *= torch.where(bends[-1] > 0, ratio, 1.0)[:, None, None]
    found = whole.flatten(1)
    for (step, change), inverse in zip(state.past, inverses, strict=True):
        found.addcmul_((shares.pop() - _dot(change, found) * inverse)[:, None], step)
    return found.view_as(slope)


def _moved(
    points: Tensor, state: _State, value: Tensor, slope: Tensor, step: Tensor
) -> tuple[_State, Tensor, Tensor]:
    """The state and objectives after a step, halved until it lowers them, and what was gone."""
    along = (step.flatten(0, 1) @ points.T).view_as(state.scores)
    promised = _dot(slope, step)
    length = torch.ones_like(promised)
    for _ in range(HALVINGS):
        share = length[:, None, None]
        weights, scores = state.weights + share * step, state.scores + share * along
        found = _objectives(state, scores, weights)
        # Rounding: close to the optimum a good step may seem to raise the objective a little.
        good = found <= value + 1e-4 * length * promised + 1e-13 * value
        if good.all():
            break
        length = torch.where(good, length, length / 2)
    return state._replace(weights=weights, scores=scores), found, share * step


def _fit_set(
    features: Tensor, right: Tensor, penalty: Tensor, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Weights [P, C, D + 1], bias last, and objectives [P] on one set of features [N, D].

    `right` [P, C, N] is 1 for the class of each row that a problem is trained on.
    """
    counts = right.sum(2)
    seen, classes = counts > 0, (counts > 0).sum(1)
    if (classes < 2).any():
        raise MglibError("a probe needs rows of at least two classes in every problem")
    # scikit-learn fits one vector for two classes: halved for either it has half its square.
    penalty = penalty * torch.where(classes == 2, 2.0, 1.0)
    centre = features.mean(0)
    points = features - centre
    scale = points.square().mean().sqrt()
    points /= (scale := torch.where(scale > 0, scale, 1.0))
    principal, points = _principal(points), torch.cat([points, torch.ones_like(points[:, :1])], 1)

    def balanced(bias: Tensor) -> Tensor:
        bias = torch.where(seen, bias, 0.0)
        return torch.where(seen, bias - bias.sum(1, True) / classes[:, None], -torch.inf)

    bias = balanced(counts.log())
    weights = points.new_zeros(*counts.shape, points.shape[1])
    weights[:, :, -1] = torch.where(seen, bias, 0.0)
    penalties = (penalty / scale**2)[:, None, None].repeat(1, 1, points.shape[1])
    penalties[:, :, -1] = 0.0
    scores, place = bias[:, :, None].expand_as(right), torch.arange(len(bias), device=bias.device)
    state = _State(place, right, right.sum(1), penalties, weights, scores, ())
    fitted, objectives = torch.empty_like(weights), torch.empty_like(penalty)
    value, before, step = _objectives(state, scores, weights), torch.empty(0), torch.empty(0)
    for number in range(MOST):
        shares = state.scores.softmax(1)
        wrong = torch.addcmul(-state.right, shares, state.used[:, None])
        slope = (wrong.flatten(0, 1) @ points).view_as(state.weights)
        slope += state.penalty * state.weights
        if number:
            last = torch.stack([step, slope - before]).flatten(2)
            state = state._replace(past=(*state.past[1 - MEMORY :], last))
        # The objective minus its least, in the weights, is at most slope^2 / (2 penalty).
        least, rows = state.penalty[:, 0, 0], state.used.sum(1)
        left = slope[:, :, :-1].square().sum((1, 2)) / least
        left += slope[:, :, -1].square().sum(1) / torch.minimum(least, rows)
        done = left <= 2 * tolerance * value
        if done.all() or done.double().mean() >= DROPPED:
            fitted[state.place[done]] = state.weights[done]
            objectives[state.place[done]] = value[done]
            if done.all():
                fitted[:, :, :-1] /= scale
                fitted[:, :, -1] = balanced(fitted[:, :, -1] - fitted[:, :, :-1] @ centre)
                return fitted, objectives
            go = ~done
            state, shares, slope, value = state.kept(go), shares[go], slope[go], value[go]
        each = _dot(shares * (1 - shares), state.used[:, None].expand_as(shares))
        spread = (each / (shares.shape[1] - 1)).clamp(min=1e-12)
        before, step = slope, _direction(state, slope, spread, principal)
        state, value, step = _moved(points, state, value, slope, step)
    raise MglibError(f"{len(state.place)} of {len(fitted)} probes did not converge in {MOST} steps")


def fit_probes(
    features: Tensor,
    labels: Tensor,
    strengths: Tensor,
    *,
    sets: Tensor | None = None,
    rows: Tensor | None = None,
    tolerance: float = 1e-8,
) -> Probes:
    """Multinomial logistic regressions of P problems, as scikit-learn's, but to their optimum.

    `features` [N, D] are those of all problems, or [S, N, D] sets of which problem p has
    `sets[p]` (None, S being P: its own); `labels` [N] or [P, N] are classes 0 to C - 1, `rows`
    [P, N] says which rows a problem is trained on (None: all). `strengths` [P] are penalties, the
    inverse of scikit-learn's C: the sum of cross-entropies over rows, plus half the strength
    times the square of the weights, the bias free, is the least there is. With two classes its
    single vector is halved between them, as its binomial loss asks. Ends where the norm of the
    gradient bounds the share of the objective that is left by `tolerance` (strong convexity; of
    the bias a rule of thumb). Raises MglibError for other shapes, features that are not finite, a
    strength that is not positive, a problem with a single class, or no convergence.
    """
    if features.ndim not in (2, 3) or 0 in features.shape:
        raise MglibError(f"features are [N, D] or [S, N, D], not {list(features.shape)}")
    banks = features.reshape(-1, *features.shape[-2:])
    strengths = strengths.to(banks.device, torch.float64)
    number, whole = len(strengths), (len(strengths), banks.shape[1])
    if sets is None:
        sets = torch.arange(len(banks)).expand(number if len(banks) == 1 else len(banks))
    fits = sets.shape == (number,) and 0 <= int(sets.min()) <= int(sets.max()) < len(banks)
    fits &= tuple(labels.shape) in (whole, whole[1:]) and (rows is None or rows.shape == whole)
    if not fits:
        raise MglibError(
            f"features {list(features.shape)} and labels {list(labels.shape)} do not make "
            f"{number} problems: [N, D] or [S, N, D] with [N] or [P, N], sets [P], rows [P, N]"
        )
    if not torch.isfinite(banks).all():
        raise MglibError("a probe needs finite features")
    if not ((strengths > 0) & strengths.isfinite()).all():
        raise MglibError("a probe's strengths must be positive and finite")
    if labels.is_floating_point() or int(labels.min()) < 0:
        raise MglibError("a probe's labels must be whole numbers from 0")
    labels = labels.to(banks.device).long().expand(whole)
    used = torch.ones_like(labels) if rows is None else rows.to(banks.device).long()
    classes, objectives = int(labels.max()) + 1, torch.zeros_like(strengths)
    weights = strengths.new_zeros(number, classes, banks.shape[2] + 1)
    for index in sets.unique().tolist():
        here = (sets == index).nonzero()[:, 0].to(banks.device)
        some = used[here].any(0)
        right = weights.new_zeros(len(here), classes, int(some.sum()))
        right.scatter_(1, labels[here][:, None, some], used[here][:, None, some].double())
        points = banks[index, some].double()
        weights[here], objectives[here] = _fit_set(points, right, strengths[here], tolerance)
    return Probes(weights[:, :, :-1].mT.contiguous(), weights[:, :, -1], objectives)
