"""Baselines for missing modalities: each loss in plain loops, what sets it apart, its limits."""

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
    WIDTHS,
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

from mglib.errors import MglibError
from mglib.missing.subsets import subsets
from mglib.missing.training import MissingTraining
from mglib.trials.counter import normals


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
