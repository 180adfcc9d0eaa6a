"""Train a stack of trials as one model and measure it; knows no algorithm, dataset or file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mglib.registry import algorithms
from mglib.trials.algorithm import Algorithm, Batch, Task, stack_hparams
from mglib.trials.bank import EVALUATED, FeatureBank
from mglib.trials.optimisers import OPTIMISERS
from mglib.trials.sampling import initial_streams, minibatches
from mglib.trials.trial import Trial

# Rows of one evaluation pass; fixed, so that no prediction hangs on what is beside it.
EVALUATION_ROWS = 2048


def build(trials: Sequence[Trial], bank: FeatureBank) -> Algorithm:
    """The stacked model of some trials with their initial weights, on the bank's device."""
    first = trials[0]
    labels = bank.labels.cpu().numpy()
    counts = np.stack(
        [
            np.bincount(labels[bank.splits[t.split_seed]["train"]], minlength=bank.classes)
            for t in trials
        ]
    )
    task = Task(bank.values.shape[-1], bank.classes, len(first.train), torch.from_numpy(counts))
    hparams = {
        name: value.to(bank.values.device)
        for name, value in stack_hparams([t.values for t in trials]).items()
    }
    model = algorithms.get(first.algorithm)(task, hparams, initial_streams(trials), first.variant)
    return model.to(bank.values.device)


def predict(model: Algorithm, bank: FeatureBank, modality: str, trials: Sequence[Trial]) -> Tensor:
    """Logits [T, N, C] of every instance of one modality."""
    blocks = bank.blocks(modality, trials)
    with torch.no_grad():
        return torch.cat(
            [model.predict(rows[blocks]) for rows in bank.values.split(EVALUATION_ROWS, dim=1)],
            dim=1,
        )


def measure(
    model: Algorithm, bank: FeatureBank, trials: Sequence[Trial]
) -> list[list[dict[str, Any]]]:
    """For each trial its rows of accuracy and balanced accuracy, by modality and split."""
    rows: list[list[dict[str, Any]]] = [[] for _ in trials]
    labels = bank.labels.cpu().numpy()
    for modality in trials[0].evaluate:
        logits = predict(model, bank, modality, trials)
        finite = torch.isfinite(logits).all(-1).cpu().numpy()
        right = (logits.argmax(-1) == bank.labels).cpu().numpy()
        for trial, own, correct, usable in zip(trials, rows, right, finite, strict=True):
            for split in EVALUATED:
                index = bank.splits[trial.split_seed][split]
                hit, of, sound = correct[index], labels[index], usable[index].all()
                recalls = [hit[of == c].mean() for c in np.unique(of)]
                for metric, value in (
                    ("accuracy", hit.mean()),
                    ("balanced_accuracy", np.mean(recalls)),
                ):
                    own.append(
                        {
                            "modality": modality,
                            "split": split,
                            "metric": metric,
                            "value": float(value) if sound else None,
                            "n": len(index),
                            "status": "ok" if sound else "diverged",
                        }
                    )
    return rows


def train(
    trials: Sequence[Trial], bank: FeatureBank, tick: Callable[[int], None] = lambda steps: None
) -> list[dict[str, Any]]:
    """Train trials of one stack together; return their rows at every checkpoint.

    `tick` is told of finished trial-steps. A trial whose predictions stop being finite is recorded
    as diverged; the others never see it.
    """
    first = trials[0]
    model = build(trials, bank)
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows: list[dict[str, Any]] = []

    def checkpoint(step: int) -> None:
        for trial, own in zip(trials, measure(model, bank, trials), strict=True):
            rows.extend({**trial.columns(), "step": step, **row} for row in own)

    if not model.learns:
        checkpoint(0)
        return rows
    optimiser = OPTIMISERS[model.optimiser](
        parameters, model.hparams["lr"], model.hparams["weight_decay"]
    )
    blocks = torch.stack(
        [torch.tensor([bank.block[m, t.split_seed] for m in t.train]) for t in trials]
    ).to(bank.values.device)[:, :, None]
    pools = [bank.splits[t.split_seed]["train"] for t in trials]
    batches = minibatches(
        trials, pools, len(first.train), int(first.values["batch_size"]), first.steps, model.aligned
    )
    for step, index in enumerate(batches, start=1):
        index = index.to(bank.values.device)
        losses = model.loss(Batch(bank.values[blocks, index], bank.labels[index]))
        optimiser.step(torch.autograd.grad(losses.sum(), parameters))
        tick(len(trials))
        if step % first.every == 0 or step == first.steps:
            checkpoint(step)
    return rows
