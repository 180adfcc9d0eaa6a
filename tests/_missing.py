"""What tests of methods for missing modalities share: made-up data, models, and plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglib.missing.bank import MissingBank, Paired
from mglib.missing.method import MissingBatch, MissingTask, hide
from mglib.missing.training import MissingTraining
from mglib.missing.trial import MissingTrial
from mglib.registry import missing_methods

WIDTHS = (6, 4, 5)
PARTS = {"train": 210, "validation": 24, "test": 32}
HPARAMS = '{"batch_size": 8, "hidden": 8, "lr": 0.01, "weight_decay": 0.0001}'


def made_bank(trials, classes=3, seed=0):
    """Instances whose modalities each know a part of the answer."""
    random = np.random.RandomState(seed)
    size = sum(PARTS.values())
    edges = np.cumsum([0, *PARTS.values()])
    parts = {
        name: np.arange(start, stop)
        for name, start, stop in zip(PARTS, edges[:-1], edges[1:], strict=True)
    }
    answers = np.arange(size) % max(2, classes)
    values, zeros = [], []
    for width in WIDTHS:
        centres = random.randn(max(2, classes), width)
        own = centres[answers] + 0.8 * random.randn(size, width)
        values.append(torch.tensor(own, dtype=torch.float32)[None])
        zeros.append(torch.full((1, width), -0.5))
    truth = answers if classes else (answers - 0.5).astype(np.float32)
    paired = Paired(np.tile(np.arange(size), (len(WIDTHS), 1)), truth, parts, classes)
    seen = np.ones((len(trials), size, len(WIDTHS)), bool)
    learning = np.concatenate([parts["train"], parts["validation"]])
    for place, trial in enumerate(trials):
        drawn = np.random.RandomState(trial.seed).rand(len(learning), len(WIDTHS)) >= trial.rate
        drawn[np.arange(len(learning)), np.arange(len(learning)) % len(WIDTHS)] = True
        seen[place, learning] = drawn
    return MissingBank(
        tuple(values),
        tuple(zeros),
        {0: 0},
        tuple(paired for _ in trials),
        torch.from_numpy(np.stack([paired.items] * len(trials))),
        torch.from_numpy(np.stack([paired.answers] * len(trials))),
        torch.from_numpy(seen),
        classes,
    )


def made_trial(method, seed=0, rate=0.3, steps=24, hparams=HPARAMS, **more):
    return MissingTrial(
        "numerals",
        "frozen",
        ("handwriting_occluded", "speech", "words"),
        "class",
        "instance",
        method,
        "independent",
        rate,
        seed,
        0,
        steps,
        12,
        hparams,
        **more,
    )


def trained(trials, classes=3):
    bank = made_bank(trials, classes)
    training = MissingTraining(trials, bank)
    training.run()
    return training


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


def learned_by(training, *parts):
    state = training.model.state_dict()
    return {name: value for name, value in state.items() if name.split(".")[0] in parts}


def same(left, right):
    assert left.keys() == right.keys() and left
    return all(torch.equal(value, right[name]) for name, value in left.items())


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
