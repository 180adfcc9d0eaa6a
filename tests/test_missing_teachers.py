"""UMT, OGM-GE, ShaSpec and MMANet: each loss in plain loops, what sets it apart, its limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from _missing import (
    BOTH,
    ROWS,
    STEPS,
    TRIALS,
    agree,
    alone_of,
    cost,
    encoded,
    late,
    learned_by,
    linear,
    made_bank,
    made_batch,
    made_model,
    made_trial,
    mean_of,
    part,
    perceptron,
    relu,
    rows_of,
    same,
    softmax,
    statistics,
    trained,
)

from mglib.missing.branches import uniform_subsets
from mglib.missing.training import MissingTraining
from mglib.trials.counter import normals


@BOTH
def test_umt_imitates_its_teachers(classes):
    model, batch = made_model("umt@weight=3", classes), made_batch(classes)
    model.fit(*part(classes))
    wanted = np.zeros(TRIALS)
    for m in range(3):
        found = [
            (
                t,
                np.mean(
                    (encoded(model.branches, t, m, x[m]) - encoded(model.teachers, t, m, x[m])) ** 2
                ),
            )
            for t, _, x, s, _ in rows_of(batch)
            if s[m]
        ]
        wanted += 3 * np.array(mean_of(found))
    task = []
    for t, _, x, s, y in rows_of(batch):
        filled = [x[m] if s[m] else statistics(t, m)[0] for m in range(3)]
        task.append((t, cost(late(model, t, filled), y, classes)))
    agree(model.loss(batch), wanted + mean_of(task))
    teaching, learning = model.phases()
    agree(teaching.loss(batch), alone_of(model.teachers, batch, classes))
    assert teaching.active(STEPS // 2).all() and not learning.active(STEPS // 2).any()
    assert learning.active(STEPS // 2 + 1).all() and not teaching.active(STEPS // 2 + 1).any()
    taught = {id(parameter) for parameter in model.teachers.parameters()}
    assert {id(parameter) for parameter in teaching.parameters} == taught
    assert not taught & {id(parameter) for parameter in learning.parameters}


def test_umt_without_weight_is_mean_fill_that_begins_later():
    whole = trained([made_trial("umt@weight=0")])
    later = MissingTraining([made_trial("mean_fill")], made_bank([made_trial("mean_fill")]))
    for step, batch in later.batches(later.trials, 0, 24):
        if step > 12:
            later._take(step, batch)
    assert same(learned_by(whole, "branches"), learned_by(later, "branches"))


def ogm_factors(model, batch, alpha):
    wanted = np.ones((TRIALS, 3))
    for trial in range(TRIALS):
        means = []
        for m in range(3):
            right = []
            for t, _, x, s, y in rows_of(batch):
                if t == trial and s[m]:
                    z = encoded(model.branches, t, m, x[m])
                    right.append(softmax(linear(model.branches.heads[m], t, z))[int(y)])
            means.append(np.mean(right))
        for m in range(3):
            ratio = means[m] / np.mean([own for n, own in enumerate(means) if n != m])
            if ratio > 1:
                wanted[trial, m] = 1 - np.tanh(alpha * ratio)
    return wanted


def test_ogm_slows_what_is_ahead_and_adds_noise():
    batch = made_batch()
    model = made_model("ogm_ge@alpha=0.5,noise=0")
    wanted = ogm_factors(model, batch, 0.5)
    assert (wanted < 1).any(1).all() and (wanted == 1).any(1).all()
    agree(model.coefficients(batch), wanted)
    (phase,) = model.phases()
    plain = torch.autograd.grad(phase.loss(batch).sum(), phase.parameters)
    encoders = [own for own in model.branches.encoders for _ in ("weight", "bias")]
    with torch.no_grad():
        changed = phase.modulate(batch, plain)
        noisy = made_model("ogm_ge@alpha=0.5").modulate(batch, plain)
    for place, (before, after, noise) in enumerate(zip(plain, changed, noisy, strict=True)):
        if place >= len(encoders):
            assert after.equal(before) and noise.equal(before)
            continue
        scale = torch.tensor(wanted[:, place // 2], dtype=torch.float32)
        torch.testing.assert_close(after, before * scale[:, None, None], rtol=1e-4, atol=1e-7)
        if place % 2:
            assert noise.equal(after)
        else:
            drawn = normals(batch.noise["seed"], before.shape[1:], 100 + place // 2)
            spread = before.flatten(1).std(1)[:, None, None]
            torch.testing.assert_close(noise - after, spread * drawn, rtol=1e-3, atol=1e-6)


def test_ogm_leaves_alone_what_has_nothing_to_be_ahead_of():
    model, batch = made_model("ogm_ge"), made_batch(whole=True)
    batch.seen[..., 1:] = False
    assert (model.coefficients(batch) == 1).all()
    (phase,) = made_model("ogm_ge@optimiser=sgd").phases()
    assert phase.optimiser == "sgd" and phase.settings == {"momentum": 0.9}


def shaspec_parts(model, t, x):
    shared = [
        relu(linear(model.shared, t, linear(model.projections.encoders[m], t, x[m])))
        for m in range(3)
    ]
    return shared, [encoded(model.specific, t, m, x[m]) for m in range(3)]


def shaspec_answer(model, t, x, s, first):
    shared, specific = shaspec_parts(model, t, x)
    here = [shared[m] for m in range(3) if s[m]]
    general = here[0] if first else np.mean(here, 0)
    parts = [
        r + linear(model.composed, t, np.concatenate([r, o])) if s[m] else general
        for m, (r, o) in enumerate(zip(shared, specific, strict=True))
    ]
    return perceptron(model.decoder.layers, t, np.concatenate(parts))


@BOTH
@pytest.mark.parametrize("more", ["", "@stand_in=first"])
def test_shaspec(more, classes):
    name = f"shaspec{more},probability=0" if more else "shaspec@probability=0"
    model, batch = made_model(name, classes), made_batch(classes)
    task, told, ring = [], [], {m: [] for m in range(3)}
    said = model.answer(batch.x, batch.seen)
    for t, r, x, s, y in rows_of(batch):
        answer = shaspec_answer(model, t, x, s, bool(more))
        agree(said[t, r], answer)
        task.append((t, cost(answer, y, classes)))
        shared, specific = shaspec_parts(model, t, x)
        for m in range(3):
            after = (m + 1) % 3
            if s[m] and s[after]:
                ring[m].append((t, np.abs(shared[m] - shared[after]).mean()))
            if s[m]:
                told.append((t, cost(linear(model.identity, t, specific[m]), m, 3)))
    aligned = np.sum([mean_of(found) for found in ring.values()], 0)
    wanted = np.array(mean_of(task)) + 0.1 * aligned + 0.02 * np.array(mean_of(told))
    agree(model.loss(batch), wanted)
    # without weights it is the decoder's loss alone
    model.hparams = {**model.hparams, "alignment": torch.zeros(2), "identity": torch.zeros(2)}
    agree(model.loss(batch), mean_of(task))


def test_shaspec_drops_more_and_more_and_a_ring_of_two_is_one_pair():
    model, batch = made_model("shaspec"), made_batch(whole=True)
    early, later = (model.loss(replace(batch, step=step)) for step in (0, STEPS))
    calm = made_model("shaspec@probability=0").loss(batch)
    assert early.equal(calm) and not later.equal(calm)
    pair = made_model("shaspec", widths=(6, 4))
    two = made_batch(whole=True, widths=(6, 4))
    shared, _ = pair.features(two.x)
    agree(
        pair.distances(two, shared, two.seen),
        two.mean((shared[0] - shared[1]).abs().mean(-1)).detach().numpy(),
    )


def masked(network, t, x, s):
    z = [encoded(network.branches, t, m, x[m]) * s[m] for m in range(3)]
    hidden = relu(linear(network.perceptron.layers[0], t, np.concatenate(z)))
    return hidden, linear(network.perceptron.layers[1], t, hidden)


def test_uniform_subsets_are():
    seen = torch.ones(1, 14000, 3, dtype=torch.bool)
    seen[:, 7000:, 1] = False
    kept = uniform_subsets(seen, torch.tensor([5]))
    assert not (kept & ~seen).any()
    for rows, size in ((kept[0, :7000], 7), (kept[0, 7000:], 3)):
        found, counts = rows.unique(dim=0, return_counts=True)
        assert len(found) == size and found.any(-1).all()
        assert (counts - 7000 / size).abs().max() < 5 * (7000 / size) ** 0.5


def test_mmanet_distils_and_presses_the_weak():
    model, batch = made_model("mmanet"), made_batch(step=STEPS)
    model.without.copy_(torch.tensor([1, 2]))
    kept = uniform_subsets(batch.seen, batch.noise["seed"])
    wanted, pressed, task = np.zeros(TRIALS), [], []
    fired = 0
    for trial in range(TRIALS):
        own, taught, unsure = [], [], []
        for t, r, x, s, y in rows_of(batch):
            if t != trial:
                continue
            k = kept[t, r].tolist()
            hidden, said = masked(model.student, t, x, k)
            task.append((t, cost(said, y, 3)))
            own.append(hidden)
            hidden, said = masked(model.teacher, t, x, s)
            taught.append(hidden)
            unsure.append(-(softmax(said) * np.log(softmax(said))).sum())
            weak = 0.0
            if not k[int(model.without[t])]:
                fired += 1
                heads = model.student.branches.heads
                for m in range(3):
                    if k[m]:
                        z = encoded(model.student.branches, t, m, x[m])
                        weak += cost(linear(heads[m], t, z), y, 3)
            pressed.append((t, weak))
        for i, share in enumerate(np.array(unsure) / np.sum(unsure)):
            rows = [np.array([np.dot(z[i], other) for other in z]) for z in (own, taught)]
            left, right = (row / max(np.linalg.norm(row), 1e-12) for row in rows)
            wanted[trial] += 30 * share * ((left - right) ** 2).sum()
    assert 0 < fired < 17
    wanted += np.array(mean_of(task)) + 0.5 * np.array(mean_of(pressed))
    agree(model.loss(batch), wanted)
    agree(model.loss(replace(batch, step=STEPS // 2)), mean_of(task))  # before the teacher froze


def test_mmanet_finds_the_weak_subset_once():
    model = made_model("mmanet")
    x, seen, y = part()
    apart = np.zeros((TRIALS, 3))
    for trial in range(TRIALS):
        rows = [r for r in range(ROWS) if seen[trial, r].sum() > 1]

        def mean(left, trial=trial, rows=rows):
            found = []
            for r in rows:
                kept = [bool(seen[trial, r, m]) and m != left for m in range(3)]
                own = [values[trial, r].numpy() for values in x]
                found.append(softmax(masked(model.student, trial, own, kept)[1]))
            return np.mean(found, 0)

        for m in range(3):
            apart[trial, m] = (mean(m) * np.log(mean(m) / mean(None))).sum()
    model.finish(made_batch(step=STEPS // 2))
    model.fit(x, seen, y)
    assert model.without.tolist() == apart.argmax(1).tolist()
    assert model.fits_at() == [STEPS // 2]
    model.without.fill_(9)
    model.finish(made_batch(step=STEPS // 2 + 1))
    model.fit(x, seen, y)
    assert (model.without == 9).all()


def test_mmanet_without_its_terms_is_a_student_under_uniform_subsets():
    idle = trained([made_trial("mmanet@distillation=0,weak=0")])
    never = trained([made_trial("mmanet@pretraining=1")])
    both = trained([made_trial("mmanet")])
    assert same(learned_by(idle, "student"), learned_by(never, "student"))
    assert not same(learned_by(idle, "student"), learned_by(both, "student"))
    assert same(learned_by(idle, "teacher"), learned_by(both, "teacher"))
    assert not same(learned_by(never, "teacher"), learned_by(both, "teacher"))
