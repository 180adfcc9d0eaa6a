"""Baselines for missing modalities: each loss in plain loops, what sets it apart, its limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_missing_contract import WIDTHS, made_bank, made_trial, trained

from mglib.errors import MglibError
from mglib.missing.branches import uniform_subsets
from mglib.missing.method import MissingBatch, MissingTask, hide
from mglib.missing.subsets import subsets
from mglib.missing.training import MissingTraining
from mglib.registry import missing_methods
from mglib.trials.counter import normals

TRIALS, ROWS, HIDDEN, STEPS = 2, 9, 5, 40
BOTH = pytest.mark.parametrize("classes", [3, 0])


def made_model(name, classes=3, widths=WIDTHS, steps=STEPS, **numbers):
    """A model of two trials with learning rate 0.01 and what else its name tells."""
    kind = missing_methods.get(name)
    kind.check_task(len(widths), classes)
    values = {"lr": 0.01, "weight_decay": 0.0, "hidden": HIDDEN, **kind.numbers(), **numbers}
    hparams = {name: torch.full((TRIALS,), float(value)) for name, value in values.items()}
    prior = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]) if classes else torch.zeros(2, 1)
    zeros = tuple(torch.linspace(-1, 1, 2 * width).view(2, width) for width in widths)
    streams = [torch.Generator().manual_seed(trial) for trial in range(TRIALS)]
    return kind(MissingTask(widths, classes, prior, zeros, steps), hparams, streams)


def made_batch(classes=3, whole=False, step=1, widths=WIDTHS, seed=0):
    """Nine rows of two trials, the last of the first trial padding."""
    random = torch.Generator().manual_seed(seed)
    seen = torch.rand(TRIALS, ROWS, len(widths), generator=random) < 0.6
    seen[..., 0] |= ~seen.any(-1)
    seen = torch.ones_like(seen) if whole else seen
    x = [torch.randn(TRIALS, ROWS, width, generator=random) for width in widths]
    y = torch.randint(3, (TRIALS, ROWS), generator=random)
    used = torch.ones(TRIALS, ROWS)
    used[0, -1] = 0
    noise = {"seed": torch.tensor([11, 12]) + seed}
    return MissingBatch(hide(x, seen), seen, y if classes else y - 1.0, used, step, noise)


def linear(layer, trial, x):
    weight, bias = (p.detach().double().numpy()[trial] for p in (layer.weight, layer.bias))
    return np.asarray(x, float) @ weight + bias[0]


def relu(x):
    return np.maximum(x, 0)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def cost(answer, y, classes):
    return -np.log(softmax(answer)[int(y)]) if classes else (answer[0] - float(y)) ** 2


def encoded(branches, trial, m, x):
    return relu(linear(branches.encoders[m], trial, x))


def perceptron(layers, trial, x):
    return linear(layers[1], trial, relu(linear(layers[0], trial, x)))


def rows_of(batch):
    """Every row in use: its trial, place, features by modality, what is seen, and its answer."""
    for trial in range(TRIALS):
        for row in range(ROWS):
            if batch.used[trial, row]:
                x = [own[trial, row].double().numpy() for own in batch.x]
                yield trial, row, x, batch.seen[trial, row].tolist(), batch.y[trial, row].item()


def mean_of(found):
    """The mean of each trial of what (trial, value) pairs tell."""
    return [np.mean([value for trial, value in found if trial == t] or [0]) for t in range(TRIALS)]


def agree(tensor, wanted):
    np.testing.assert_allclose(tensor.detach().numpy(), wanted, rtol=2e-5, atol=1e-6)


def late(model, trial, x):
    heads = model.branches.heads
    return sum(
        linear(heads[m], trial, encoded(model.branches, trial, m, x[m])) for m in range(len(x))
    )


def part(classes=3):
    """A training part that a method is fitted to: rows, what is seen of them, answers."""
    batch = made_batch(classes, seed=7)
    return batch.x, batch.seen, batch.y


def statistics(trial, m):
    x, seen, _ = part()
    own = x[m][trial][seen[trial, :, m]].double().numpy()
    return own.mean(0), own.std(0)


@BOTH
@pytest.mark.parametrize("name", ["zero_fill", "mean_fill", "noise_fill"])
def test_what_is_missing_is_filled_before_late_fusion(name, classes):
    model, batch = made_model(name, classes), made_batch(classes)
    model.fit(*part(classes))
    drawn = [normals(batch.noise["seed"], (ROWS, w), 2 + m) for m, w in enumerate(WIDTHS)]

    def instead(trial, row, m):
        mean, deviation = statistics(trial, m)
        return {
            "zero_fill": model.task.zeros[m][trial].numpy(),
            "mean_fill": mean,
            "noise_fill": mean + deviation * drawn[m][trial, row].double().numpy(),
        }[name]

    found = [
        (
            t,
            cost(
                late(model, t, [x[m] if s[m] else instead(t, r, m) for m in range(3)]), y, classes
            ),
        )
        for t, r, x, s, y in rows_of(batch)
    ]
    agree(model.loss(batch), mean_of(found))


PLAIN = "ume_mma@pretraining=0,probability=0"
ALIKE = [
    "zero_fill",
    "noise_fill",
    "learned_token@probability=0",
    "modality_dropout@probability=0",
    "umt@weight=0,pretraining=0",
    "ogm_ge@alpha=0,noise=0",
    PLAIN,
]


def learned_by(training, *parts):
    state = training.model.state_dict()
    return {name: value for name, value in state.items() if name.split(".")[0] in parts}


def same(left, right):
    assert left.keys() == right.keys() and left
    return all(torch.equal(value, right[name]) for name, value in left.items())


@pytest.fixture(scope="module")
def plain():
    return trained([made_trial("mean_fill", rate=0.0)])


@pytest.mark.parametrize("method", ALIKE)
def test_with_nothing_missing_and_nothing_added_it_is_plain_late_fusion(method, plain):
    other = trained([made_trial(method, rate=0.0)])
    assert same(learned_by(plain, "branches"), learned_by(other, "branches"))
    assert np.array_equal(plain.found[0].values[:, -1], other.found[0].values[:, -1])


@pytest.mark.parametrize(
    "method",
    ["zero_fill", "noise_fill", "learned_token", "modality_dropout", "umt", "ogm_ge", "product"],
)
def test_with_something_missing_it_is_not(method):
    plain, other = trained([made_trial("mean_fill")]), trained([made_trial(method)])
    assert not same(learned_by(plain, "branches"), learned_by(other, "branches"))


def test_mean_fill_is_late_fusion_without_the_rest_of_ume_mma():
    left, right = trained([made_trial("mean_fill")]), trained([made_trial(PLAIN)])
    assert np.array_equal(left.found[0].answers, right.found[0].answers)
    assert made_model("mean_fill").kept(made_batch()).equal(made_batch().seen)


@BOTH
def test_a_learned_token_stands_where_a_modality_was_dropped(classes):
    model, batch = made_model("learned_token", classes), made_batch(classes)
    kept = model.kept(batch)
    assert not kept.equal(batch.seen) and kept.any(-1).all()
    assert ((batch.seen.long() - kept.long()).sum(-1) <= 1).all()
    tokens = [token.detach().numpy() for token in model.substitute.tokens]
    found = []
    for t, r, x, _, y in rows_of(batch):
        filled = [x[m] if kept[t, r, m] else tokens[m][t, 0] for m in range(3)]
        found.append((t, cost(late(model, t, filled), y, classes)))
    agree(model.loss(batch), mean_of(found))
    model.loss(batch).sum().backward()
    assert all(token.grad.abs().sum() > 0 for token in model.substitute.tokens)


def test_modality_dropout_is_bernoulli_and_rises():
    whole = torch.ones(2, 4000, 3, dtype=torch.bool)
    many = replace(made_batch(whole=True), seen=whole)

    def lost(name, step):
        kept = made_model(name).kept(replace(many, step=step))
        assert kept.any(-1).all()
        return 1 - kept.float().mean((0, 1))

    # all three go in 1/8 of the rows, where one comes back
    assert (lost("modality_dropout", 1) - (0.5 - 1 / 24)).abs().max() < 0.02
    ramp = "modality_dropout@schedule=ramp"
    assert (lost(ramp, 2) - 0.05).abs().max() < 0.02  # 0.5 x 2 / 20
    assert (lost(ramp, 10) - (0.25 - 0.25**3 / 3)).abs().max() < 0.02
    assert lost(ramp, 20).equal(lost("modality_dropout", 20))
    assert lost(ramp, 40).equal(lost(ramp, 20))


@BOTH
def test_modality_dropout_fills_zeros(classes):
    model, batch = made_model("modality_dropout", classes), made_batch(classes)
    kept, zeros = model.kept(batch), model.task.zeros
    found = []
    for t, r, x, _, y in rows_of(batch):
        filled = [x[m] if kept[t, r, m] else zeros[m][t].numpy() for m in range(3)]
        found.append((t, cost(late(model, t, filled), y, classes)))
    agree(model.loss(batch), mean_of(found))


def alone_of(branches, batch, classes):
    """Mean over modalities of the mean loss of each alone, of the rows that have it."""
    terms = []
    for m in range(3):
        found = [
            (t, cost(linear(branches.heads[m], t, encoded(branches, t, m, x[m])), y, classes))
            for t, _, x, s, y in rows_of(batch)
            if s[m]
        ]
        terms.append(mean_of(found))
    return np.mean(terms, 0)


@BOTH
def test_the_ensemble_learns_apart_and_answers_with_the_mean(classes):
    model, batch = made_model("ensemble", classes), made_batch(classes)
    (phase,) = model.phases()
    agree(phase.loss(batch), alone_of(model.branches, batch, classes))
    assert phase.active(STEPS).all()
    said = model.answer(batch.x, batch.seen)
    for t, r, x, s, _ in rows_of(batch):
        own = [
            linear(model.branches.heads[m], t, encoded(model.branches, t, m, x[m]))
            for m in range(3)
            if s[m]
        ]
        agree(said[t, r], np.mean(own, 0))
    name = "ume_mma@fusion=mean,substitute=drop,pretraining=1"
    left, right = (trained([made_trial(own)], classes) for own in ("ensemble", name))
    assert np.array_equal(left.found[0].answers, right.found[0].answers)


def test_the_product_multiplies_calibrated_posteriors():
    model, batch = made_model("product"), made_batch()
    model.calibrate(*part())
    heat, prior = model.fusion.temperature.numpy(), model.prior.numpy()
    assert (heat != 1).all()
    said = model.answer(batch.x, batch.seen).softmax(-1)
    for t, r, x, s, _ in rows_of(batch):
        posterior = prior[t].astype(float)
        for m in range(3):
            if s[m]:
                z = encoded(model.branches, t, m, x[m])
                own = softmax(linear(model.branches.heads[m], t, z) / heat[t, m])
                posterior = posterior * own / prior[t]
        agree(said[t, r], posterior / posterior.sum())


@pytest.mark.parametrize("method", ["product", "ogm_ge", "mmanet"])
def test_methods_of_classes_say_so(method):
    with pytest.raises(MglibError, match="not real answers|no real answers"):
        made_model(method, classes=0)


@BOTH
@pytest.mark.parametrize("name", ["early_fusion", "mid_fusion"])
def test_features_are_fused_before_or_after_they_are_encoded(name, classes):
    model, batch = made_model(name, classes), made_batch(classes)
    model.fit(*part(classes))
    kept = model.kept(batch)
    assert not kept.equal(batch.seen)
    found = []
    for t, r, x, _, y in rows_of(batch):
        x = [x[m] if kept[t, r, m] else statistics(t, m)[0] for m in range(3)]
        if name == "early_fusion":
            said = linear(model.head, t, relu(linear(model.encoder, t, np.concatenate(x))))
        else:
            z = np.concatenate([encoded(model.branches, t, m, x[m]) for m in range(3)])
            said = perceptron(model.fusion.perceptron.layers, t, z)
        found.append((t, cost(said, y, classes)))
    agree(model.loss(batch), mean_of(found))


def test_mid_fusion_is_a_word_of_ume_mma():
    pair = "mid_fusion", "ume_mma@fusion=mid,pretraining=0"
    left, right = (trained([made_trial(own)]) for own in pair)
    assert np.array_equal(left.found[0].answers, right.found[0].answers)


@BOTH
@pytest.mark.parametrize("word", ["sum", "mid"])
def test_the_oracle_learns_every_subset_from_rows_that_have_all_of_it(word, classes):
    name = "oracle" if word == "sum" else "oracle@fusion=mid"
    model, batch = made_model(name, classes), made_batch(classes)
    total, said = np.zeros(TRIALS), model.answer(batch.x, batch.seen)
    assert len(model.models) == 7
    for pattern, own in zip(subsets(3), model.models, strict=True):
        chosen = [m for m in range(3) if pattern[m]]
        found = []
        for t, r, x, s, y in rows_of(batch):
            if not all(s[m] for m in chosen):
                continue
            answer = late(own, t, [x[m] for m in chosen])
            if word == "mid":
                z = [encoded(own.branches, t, place, x[m]) for place, m in enumerate(chosen)]
                answer = perceptron(own.fusion.perceptron.layers, t, np.concatenate(z))
            found.append((t, cost(answer, y, classes)))
            if tuple(s) == pattern:
                agree(said[t, r], answer)
        total += mean_of(found)
    agree(model.loss(batch), total)


@pytest.mark.parametrize("more", ["", "@fusion=mid", "@pretraining=0.5"])
def test_the_oracle_of_a_subset_is_a_model_that_never_knew_another_modality(more):
    trial = made_trial(f"oracle{more}", rate=0.0)
    whole = trained([trial])
    for place, pattern in enumerate(subsets(3)):
        chosen = [m for m in range(3) if pattern[m]]
        names = tuple(trial.modalities[m] for m in chosen)
        asked = {"": "pretraining=0", "@fusion=mid": "fusion=mid,pretraining=0"}.get(more)
        asked = f"ume_mma@{asked},probability=0" if asked else "ume_mma@probability=0"
        bank = made_bank([trial])
        bank = replace(
            bank,
            values=tuple(bank.values[m] for m in chosen),
            zeros=tuple(bank.zeros[m] for m in chosen),
            items=bank.items[:, chosen],
            seen=bank.seen[..., chosen],
        )
        single = MissingTraining([replace(trial, method=asked, modalities=names)], bank)
        single.run()
        assert np.array_equal(single.found[0].values[:, -1], whole.found[0].values[:, place])


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
