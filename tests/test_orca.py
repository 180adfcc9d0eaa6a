"""OTDD against closed forms, exact transport and a Sinkhorn of its own; ORCA's two stages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mglib.errors import MglibError
from mglib.registry import transfers
from mglib.transfer.body import TargetShape
from mglib.transfer.method import TransferBatch, task_gradients
from mglib.transfer.methods.orca import k_means, token_means
from mglib.transfer.otdd import class_distances, clouds, entropic_values, otdd, squared_distances
from mglib.transfer.target import Target, Units
from mglib.transfer.training import boundaries

pytestmark = pytest.mark.usefixtures("one_thread")


def doubles(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def labelled(count=12, width=3, classes=3, seed=0):
    labels = torch.arange(count) % classes
    labels[-1] = 0  # classes of unlike size
    return doubles(count, width, seed=seed) * 0.5 + labels[:, None], labels * 7 + 2


def plain_sinkhorn(cost, by, rounds=4000):
    """Value and plan with even weights, round by round on scalings: shares nothing with POT."""
    kernel = np.exp(-cost / by)
    rows, columns = (np.full(n, 1 / n) for n in cost.shape)
    scale = np.ones(len(columns))
    for _ in range(rounds):
        other = rows / (kernel @ scale)
        before, scale = scale, columns / (kernel.T @ other)
        if np.allclose(before, scale, rtol=1e-13, atol=0):
            break
    plan = other[:, None] * kernel * scale[None]
    return (plan * cost).sum() + by * (plan * np.log(plan / np.outer(rows, columns))).sum(), plan


def plain_cost(first, second):
    return ((first[:, None] - second[None]) ** 2).sum(-1)


def plain_divergence(first, second, by):
    across, here, there = (
        plain_sinkhorn(plain_cost(a, b), by)[0]
        for a, b in ((first, second), (first, first), (second, second))
    )
    return across - here / 2 - there / 2


def plain_ground(first, ys, second, zs, by):
    cost = plain_cost(first, second) / 2
    for y in np.unique(ys):
        for z in np.unique(zs):
            apart = plain_divergence(first[ys == y], second[zs == z], by)
            cost[np.ix_(ys == y, zs == z)] += apart / 2
    return cost


def plain_otdd(first, ys, second, zs, by):
    pairs = ((first, ys, second, zs), (first, ys, first, ys), (second, zs, second, zs))
    across, here, there = (plain_sinkhorn(plain_ground(*pair, by), by)[0] for pair in pairs)
    return across - here / 2 - there / 2


def test_of_a_set_with_itself_it_is_nothing():
    features, labels = labelled()
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(1))
    assert float(otdd(features, labels, features, labels)) == pytest.approx(0, abs=1e-9)
    other = otdd(features, labels, features[order], 100 - labels[order])
    assert float(other) == pytest.approx(0, abs=1e-7)


def test_of_a_shifted_set_it_is_the_squared_shift():
    """Half of it by the features, half by the classes; all else is fixed by the plan's sums."""
    features, labels = labelled()
    shift = doubles(3, seed=4)
    found = otdd(features, labels, features + shift, labels)
    assert float(found) == pytest.approx(float(shift.square().sum()), rel=1e-6)


@pytest.mark.parametrize("by,error", [(0.3, 2e-5), (1.0, 1e-7)])
def test_it_agrees_with_a_sinkhorn_of_its_own(by, error):
    first, ys = labelled(9, seed=2)
    second, zs = labelled(7, classes=2, seed=3)
    arrays = [each.numpy() for each in (first, ys, second, zs)]
    assert float(otdd(first, ys, second, zs, by)) == pytest.approx(
        plain_otdd(*arrays, by), rel=error
    )
    one_by_one = sum(
        plain_otdd(arrays[0], arrays[1], arrays[2][arrays[3] == z], arrays[3][arrays[3] == z], by)
        * (arrays[3] == z).mean()
        for z in np.unique(arrays[3])
    )
    found = otdd(first, ys, second, zs, by, by_class=True)
    assert float(found) == pytest.approx(one_by_one, rel=error)


def test_with_little_regularisation_it_is_exact_transport():
    import ot

    first, ys = labelled(6, seed=5)
    second, zs = labelled(6, classes=2, seed=6)

    def exact(cost):
        return float(ot.emd2([], [], np.ascontiguousarray(cost)))

    x, y, z, w = (each.numpy() for each in (first, ys, second, zs))
    cost = plain_cost(x, z) / 2
    for i, one in enumerate(y):
        for j, other in enumerate(w):
            cost[i, j] += exact(plain_cost(x[y == one], z[w == other])) / 2
    found = otdd(first, ys, second, zs, 1e-3)  # sets against themselves cost nothing then
    assert float(found) == pytest.approx(exact(cost), rel=0.01)


def test_padding_takes_no_part():
    features, labels = labelled(11, classes=4)
    made = clouds(features, labels)
    assert made.points.shape == (4, 4, 3) and made.weights.sum(1).allclose(torch.ones(4).double())
    found = class_distances(made, made, 0.5)
    for i, y in enumerate(made.labels):
        for j, z in enumerate(made.labels):
            clouds_of = features[labels == y].numpy(), features[labels == z].numpy()
            assert float(found[i, j]) == pytest.approx(plain_divergence(*clouds_of, 0.5), abs=1e-6)
    single = clouds(doubles(2, 3), torch.arange(2))
    apart = squared_distances(single.points[:1], single.points[1:])
    assert float(class_distances(single, single, 0.1)[0, 1]) == pytest.approx(float(apart))


def test_gradient_is_that_of_the_frozen_plan_and_of_the_value():
    """Central differences: of <P, cost> with P held, and of the value, whose W are held."""
    first, ys = labelled(8, seed=7)
    second, zs = labelled(6, classes=2, seed=8)
    direction, by, radius = doubles(6, 3, seed=9), 0.5, 1e-4
    second.requires_grad_()
    (gradient,) = torch.autograd.grad(otdd(first, ys, second, zs, by), second)
    slope = float((gradient * direction).sum())
    x, y, z, w = (each.detach().numpy() for each in (first, ys, second, zs))
    across, there = plain_ground(x, y, z, w, by), plain_ground(z, w, z, w, by)
    labels = across - plain_cost(x, z) / 2, there - plain_cost(z, z) / 2
    plans = plain_sinkhorn(across, by)[1], plain_sinkhorn(there, by)[1]

    def frozen(moved):
        own = (plans[1] * plain_cost(moved, moved)).sum() / 4
        return (plans[0] * plain_cost(x, moved)).sum() / 2 - own

    def value(moved):
        own = plain_sinkhorn(plain_cost(moved, moved) / 2 + labels[1], by)[0] / 2
        return plain_sinkhorn(plain_cost(x, moved) / 2 + labels[0], by)[0] - own

    for objective in (frozen, value):
        ends = [objective(z + sign * radius * direction.numpy()) for sign in (1, -1)]
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * radius), rel=1e-5)
    assert abs(slope) > 0.1


def test_bad_input_is_refused():
    features, labels = labelled()
    with pytest.raises(MglibError, match="one width"):
        otdd(features, labels, features[:, :2], labels)
    with pytest.raises(MglibError, match="labels"):
        otdd(features, labels[1:], features, labels)
    with pytest.raises(MglibError, match="above 0, not 0"):
        otdd(features, labels, features, labels, 0.0)
    with pytest.raises(MglibError, match="\\[B, L, D\\]"):
        token_means(features)
    with pytest.raises(MglibError, match="from 0.001"):
        transfers.get("orca@regularisation=0.0")


def test_values_of_many_problems_are_those_of_each():
    costs, even = doubles(5, 4, 6).square(), torch.ones(5, 6).double()
    values, plans = entropic_values(costs, even[:, :4] / 4, even / 6, 0.2)
    for cost, value, plan in zip(costs, values, plans, strict=True):
        wanted, its_plan = plain_sinkhorn(cost.numpy(), 0.2)
        assert float(value) == pytest.approx(wanted, rel=1e-7)
        np.testing.assert_allclose(plan, its_plan, atol=1e-6)


class TinyBody(nn.Module):
    """Tokens of four values; a source batch is tokens and which are real."""

    def source_tokens(self, batch):
        return batch


class Turned(nn.Module):
    """[B, D, L] as tokens [B, L, D]."""

    def forward(self, channels):
        return channels.transpose(1, 2)


class TinyModel(nn.Module):
    """Series [B, 2, 12] cut in tokens of four values each: what the methods see of a model."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.encoder = TinyBody(), nn.Linear(4, 4)
        self.embedder = nn.Sequential(nn.Conv1d(2, 4, 3, 3), Turned())
        self.predictor = nn.Linear(4, 3)

    def named(self, *parts):
        return {
            f"{part}.{name}": parameter
            for part in parts
            for name, parameter in getattr(self, part).named_parameters()
        }


def tiny_setting(classes=3):
    model = TinyModel()
    inputs = torch.randn(16, 2, 12)
    answers = torch.arange(16) % 3 if classes else torch.randn(16, 1, 12)
    shape = TargetShape(2, (12,), classes, () if classes else (1, 12))
    one = torch.ones(2)
    parts = {name: np.arange(16) for name in ("train", "validation", "test")}
    groups = np.arange(16)
    target = Target(inputs, answers, Units(one, one, one[:1], one[:1]), parts, groups, shape)
    labels = torch.arange(12) % 4
    tokens = torch.randn(12, 5, 4) * 0.3 + labels[:, None, None]
    mask = torch.arange(5) < torch.randint(1, 6, (12, 1))
    return model, target, TransferBatch(inputs, answers, (tokens, mask), labels, 0.5)


@pytest.mark.parametrize("classes", [3, 0])
def test_the_first_stage_brings_the_embedder_to_the_source(classes):
    model, target, batch = tiny_setting(classes)
    method = transfers.get("orca")()
    stage = method.stages(model)[0]
    own = {name: model.named("embedder")[name] for name in stage.names}
    assert (
        stage.source
        and stage.rate == 10
        and set(own)
        == {
            "embedder.0.weight",
            "embedder.0.bias",
        }
    )
    optimiser = torch.optim.Adam(own.values(), lr=0.1)
    before = float(method.distance(model, target, batch).detach())
    for _ in range(6):
        for name, gradient in stage.gradients(model, target, batch, own).items():
            own[name].grad = gradient
        optimiser.step()
    assert 0 < float(method.distance(model, target, batch).detach()) < 0.7 * before


def test_fields_get_the_clusters_of_training_answers():
    model, target, batch = tiny_setting(0)
    method = transfers.get("orca")()
    found = method.classes(target, batch.answers)
    assert len(found.unique()) == 10 and torch.equal(
        found[3:], method.classes(target, batch.answers[3:])
    )
    places = torch.tensor([[0.0, 0], [0, 1], [9, 9], [9, 8], [-9, 5]])
    centres = k_means(places, 3)
    expected = {(0.0, 0.5), (9.0, 8.5), (-9.0, 5.0)}
    assert {tuple(each) for each in centres.tolist()} == expected
    assert len(k_means(torch.ones(4, 2), 3)) == 1


def test_means_leave_out_what_is_not_real():
    tokens = torch.randn(2, 5, 3)
    mask = torch.arange(5) < torch.tensor([[2], [5]])
    found = token_means(tokens, mask)
    torch.testing.assert_close(found[0], tokens[0, :2].mean(0))
    torch.testing.assert_close(found[1], token_means(tokens)[1])
    torch.testing.assert_close(token_means(tokens.transpose(1, 2)[..., None]), tokens.mean(1))


def test_without_its_share_it_is_plain_fine_tuning():
    model = tiny_setting()[0]
    stages = transfers.get("orca@share=0")().stages(model)
    (plain,) = transfers.get("fine_tuning")().stages(model)
    assert boundaries(stages, 40) == [0, 0, 40]
    last = stages[1]
    assert (last.share, last.names, last.rate, last.source) == (1.0, plain.names, 1.0, False)
    assert last.gradients is plain.gradients is task_gradients
    default = transfers.get("orca")().stages(model)
    assert [stage.share for stage in default] == [0.2, 0.8]
