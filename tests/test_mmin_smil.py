"""MMIN and SMIL row by row in plain loops, their parts against sklearn, and their limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from _missing import WIDTHS, cost, linear, made_batch, made_model, made_trial, relu
from sklearn.cluster import KMeans
from test_imputation import BOTH, part

from mglib.missing.branches import uniform_subsets
from mglib.missing.centres import centres
from mglib.missing.method import hide
from mglib.trials.counter import normals

pytestmark = pytest.mark.usefixtures("one_thread")


def test_centres_are_those_of_sklearn():
    random = np.random.RandomState(3)
    x = random.randn(200, 4) + 3 * random.randint(3, size=(200, 1))
    start = x[np.arange(7) * 200 // 7]
    own = KMeans(7, init=start, n_init=1, algorithm="lloyd", tol=0, max_iter=50).fit(x)
    found = centres(torch.from_numpy(x), 7).numpy()
    np.testing.assert_allclose(found, own.cluster_centers_, rtol=1e-6, atol=1e-9)
    few = centres(torch.from_numpy(x[:3]), 7).numpy()
    assert {tuple(row) for row in few} == {tuple(row) for row in x[:3]}


def smil_made(model, x, left, noise=None):
    """A missing feature as the weighted mean of centres, in plain loops."""
    made = []
    for m in range(len(x)):
        own = np.zeros(x[m].shape)
        for t in range(2):
            middle = getattr(model, f"centres{m}")[t].double().numpy()
            for r in range(x[m].shape[1]):
                said = []
                for j in range(len(x)):
                    if j != m and left[t, r, j]:
                        first, last = model.weigher.maps[f"{j}to{m}"].layers
                        hidden = torch.from_numpy(linear(first, t, x[j][t, r].numpy()))
                        said.append(linear(last, t, torch.nn.functional.gelu(hidden).numpy()))
                if said:
                    said = np.mean(said, 0) + (0 if noise is None else noise[m][t, r])
                    weights = np.log1p(np.exp(said))
                    own[t, r] = weights @ middle / weights.sum()
        made.append(own)
    return made


@BOTH
def test_smil_row_by_row(classes):
    model = made_model("smil", classes, noise=0.2, inner=0.3)
    x, seen = part()
    model.fit(x, seen, torch.zeros(2, 60))
    batch = made_batch(classes)
    batch.seen[:, :6] = True
    values = [torch.randn(2, 9, w, generator=torch.Generator().manual_seed(w)) for w in WIDTHS]
    batch = replace(batch, x=hide(values, batch.seen))
    seeds = batch.noise["seed"]
    left = uniform_subsets(batch.seen, seeds, proper=True)
    noise = [0.2 * normals(seeds, (9, 10), 2 + m).double().numpy() for m in range(3)]
    made = smil_made(model, batch.x, left.numpy(), noise)
    whole = [
        torch.where(left[..., m, None], own.double(), torch.from_numpy(made[m]))
        for m, own in enumerate(batch.x)
    ]
    complete = batch.seen.all(-1) & (batch.used > 0)
    wanted = []
    for t in range(2):
        weights = {
            name: own[t].detach().double().requires_grad_()
            for name, own in model.reader.named_parameters()
        }

        def answer(weights, r, x, t=t):
            total = 0
            for m in range(3):
                first = (weights[f"branches.{kind}.{m}.{part}"] for kind, part in ORDER[:2])
                last = (weights[f"branches.{kind}.{m}.{part}"] for kind, part in ORDER[2:])
                weight, bias = first
                z = (x[m][t, r] @ weight + bias[0]).relu()
                weight, bias = last
                total = total + z @ weight + bias[0]
            return total

        def price(weights, r, answer=answer, t=t):
            said = answer(weights, r, whole)
            if classes:
                return -said.log_softmax(-1)[batch.y[t, r]]
            return (said[0] - batch.y[t, r]) ** 2

        outer = [r for r in range(1, 9, 2) if complete[t, r]]
        inner = [r for r in range(9) if batch.used[t, r] and r not in outer]
        loss = torch.stack([price(weights, r) for r in inner]).mean()
        slopes = torch.autograd.grad(loss, list(weights.values()))
        stepped = {
            name: own - 0.3 * slope
            for (name, own), slope in zip(weights.items(), slopes, strict=True)
        }
        total = torch.stack([price(stepped, r) for r in outer]).mean().item()
        for m in range(3):
            apart = []
            for r in outer:
                if not left[t, r, m]:
                    real = batch.x[m][t, r].numpy()
                    z = [
                        relu(linear(model.reader.branches.encoders[m], t, own))
                        for own in (made[m][t, r], real)
                    ]
                    apart.append(np.mean((made[m][t, r] - real) ** 2) + np.mean((z[0] - z[1]) ** 2))
            total += 0.01 * (np.mean(apart) if apart else 0)
        wanted.append(total)
    np.testing.assert_allclose(model.loss(batch).detach().numpy(), wanted, rtol=2e-5)


ORDER = [("encoders", "weight"), ("encoders", "bias"), ("heads", "weight"), ("heads", "bias")]


def test_smil_without_complete_rows_still_learns_and_its_inner_step_counts():
    batch = made_batch()
    batch.seen[..., 0], batch.seen[..., 1] = True, False
    batch = replace(batch, x=hide(batch.x, batch.seen))
    x, seen = part()
    found = []
    for inner in (0.0, 0.5):
        model = made_model("smil", inner=inner)
        model.fit(x, seen, torch.zeros(2, 60))
        found.append(model.loss(batch).detach())
    assert (found[1] < found[0]).all()  # the outer rows are the inner ones
    assert torch.isfinite(found[0]).all() and (found[0] > 0).all()


def perceptron(own, t, x, slope=0.0):
    for number, layer in enumerate(own.layers):
        x = linear(layer, t, np.where(x > 0, x, slope * x) if number else x)
    return x


def cascaded(own, t, x):
    codes = []
    for encoder, decoder in zip(own.encoders, own.decoders, strict=True):
        codes.append(perceptron(encoder, t, x, 0.01))
        x = x + perceptron(decoder, t, codes[-1])
    return perceptron(own.transition, t, x), np.concatenate(codes)


@BOTH
def test_mmin_row_by_row(classes):
    model = made_model("mmin@blocks=2", classes, reconstruction=4.0, cycle=2.0)
    for number, own in enumerate(model.teacher.parameters()):
        own.data.add_(0.1 * (number + 1))
    batch = made_batch(classes)
    left = uniform_subsets(batch.seen, batch.noise["seed"], proper=True).numpy()
    seen, wanted = batch.seen.numpy(), []
    for t in range(2):
        rows = []
        for r in range(9):
            if not batch.used[t, r]:
                continue
            x = [own[t, r].numpy() for own in batch.x]

            def embed(encoders, there, x=x, t=t):
                z = [relu(linear(own, t, x[m])) for m, own in enumerate(encoders)]
                return np.concatenate([there[m] * z[m] for m in range(3)])

            embedded = embed(model.encoders, left[t, r])
            made, codes = cascaded(model.ahead, t, embedded)
            returned, _ = cascaded(model.back, t, made)
            target = embed(model.teacher, seen[t, r] & ~left[t, r])
            known = np.repeat(seen[t, r], 5)
            task = cost(perceptron(model.classifier, t, codes), batch.y[t, r], classes)
            missed = np.mean((made - target)[known] ** 2)
            rows.append(task + 4 * missed + 2 * np.mean((returned - embedded) ** 2))
        wanted.append(np.mean(rows))
    np.testing.assert_allclose(model.loss(batch).detach().numpy(), wanted, rtol=2e-5)


def test_mmin_that_adds_nothing_reads_zeros():
    model, batch = made_model("mmin"), made_batch()
    for decoder in model.ahead.decoders:
        for parameter in decoder.layers[-1].parameters():
            parameter.data.zero_()
    filled = model.embed(model.encoders, batch.x, batch.seen)
    total, codes = model.ahead.unfold(filled)
    assert torch.equal(total, filled)
    assert (filled.view(2, 9, 3, 5)[~batch.seen] == 0).all()
    once = [encoder(filled) for encoder in model.ahead.encoders]
    assert torch.equal(codes, torch.cat(once, -1))
    assert torch.equal(model.answer(batch.x, batch.seen), model.classifier(codes))


def test_the_teacher_is_what_pretraining_left():
    trials = [made_trial("mmin@pretraining=0.25"), made_trial("mmin", 1)]  # of 24 steps: 6 and 12
    assert trials[0].stack == trials[1].stack
    model = made_model("mmin", steps=24)
    model.hparams["pretraining"] = torch.tensor([0.25, 0.5])
    before = model.teacher[0].weight.clone()
    for step in range(1, 25):
        model.encoders[0].weight.data.fill_(step)
        with torch.no_grad():
            model.finish(made_batch(step=step))
        taught = model.teacher[0].weight
        for trial, edge in enumerate((6, 12)):
            wanted = before[trial] if step < edge else torch.full_like(taught[trial], edge)
            assert torch.equal(taught[trial], wanted)
    assert not any(own.requires_grad for own in model.teacher.parameters())
    first, rest = model.phases()
    assert [first.active(7).tolist(), rest.active(7).tolist()] == [[False, True], [True, False]]
    listed = {id(own) for own in [*first.parameters, *rest.parameters]}
    assert listed == {id(own) for own in model.parameters() if own.requires_grad}
