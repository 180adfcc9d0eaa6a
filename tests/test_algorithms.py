"""Each algorithm against an independent formula, and in the limit where it is a simpler one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up import make_bank, make_trial

from mglib.trials.algorithm import Batch
from mglib.trials.engine import build, train


def slow_features(model, trial, x):
    """The featurizer in NumPy, one row at a time: linear layers with ReLU between them."""
    rows = []
    for row in np.asarray(x, np.float64):
        for number, layer in enumerate(model.featurizer.layers):
            row = np.maximum(row, 0) if number else row
            row = row @ layer.weight[trial].detach().double().numpy()
            row = row + layer.bias[trial, 0].detach().double().numpy()
        rows.append(row)
    return np.array(rows)


def slow_cross_entropy(logits, labels):
    return np.mean(
        [np.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels, strict=True)]
    )


def head(model, trial):
    return (
        model.classifier.weight[trial].detach().double().numpy(),
        model.classifier.bias[trial, 0].detach().double().numpy(),
    )


def random_batch(bank, trials=2, modalities=3, rows=5):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(trials, modalities, rows, bank.values.shape[-1], generator=g)
    y = torch.randint(bank.classes, (trials, modalities, rows), generator=g)
    return Batch(x, y, torch.ones(trials, 1, rows))


def test_erm_loss_equals_the_formula():
    bank = make_bank()
    model = build([make_trial(seed=s) for s in range(2)], bank)
    batch = random_batch(bank)
    for trial in range(2):
        w, b = head(model, trial)
        logits = slow_features(model, trial, batch.x[trial].reshape(15, -1)) @ w + b
        expected = slow_cross_entropy(logits, batch.y[trial].flatten().tolist())
        assert model.loss(batch)[trial].item() == pytest.approx(expected, rel=1e-5)


def test_concat_loss_equals_the_formula_and_every_instance_meets_its_own_label():
    bank = make_bank()
    model = build([make_trial("concat", seed=s) for s in range(2)], bank)
    batch = random_batch(bank)
    y = batch.y[:, :1].expand(-1, 3, -1)
    for trial in range(2):
        w, b = head(model, trial)
        z = [slow_features(model, trial, batch.x[trial, m]) for m in range(3)]
        logits = [np.concatenate([z[m][i] for m in range(3)]) @ w + b for i in range(5)]
        expected = slow_cross_entropy(logits, y[trial, 0].tolist())
        assert model.loss(Batch(batch.x, y, batch.used))[trial].item() == pytest.approx(
            expected, rel=1e-5
        )


def test_concat_copies_the_unseen_modality_into_every_slot():
    bank = make_bank()
    model = build([make_trial("concat")], bank)
    x = random_batch(bank, trials=1).x[:, 0]
    w, b = head(model, 0)
    z = slow_features(model, 0, x[0])
    expected = sum(z @ w[16 * m : 16 * (m + 1)] for m in range(3)) + b
    np.testing.assert_allclose(model.predict(x)[0].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_concat_of_one_modality_is_erm():
    bank = make_bank()
    rows = {}
    for name in ("erm", "concat"):
        trial = make_trial(name, train=("glyph",), steps=30, weight_decay=0.0, wc=0.0)
        rows[name] = [(r["modality"], r["split"], r["value"]) for r in train([trial], bank)]
    assert rows["erm"] == rows["concat"]


def test_majority_is_the_most_frequent_training_class():
    bank = make_bank(instances=301, classes=7)
    trial = make_trial("majority")
    labels = bank.labels.numpy()
    counts = np.bincount(labels[bank.splits[0]["train"]])
    rows = [r for r in train([trial], bank) if r["split"] == "test" and r["metric"] == "accuracy"]
    expected = np.mean(labels[bank.splits[0]["test"]] == counts.argmax())
    assert rows and all(r["value"] == pytest.approx(expected) for r in rows)
