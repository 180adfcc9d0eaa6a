"""What is measured beside the answers, where a checkpoint is better than those before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mglib.errors import MglibError
from mglib.missing.bank import MEASURED, MissingBank, learned
from mglib.missing.fresh_heads import fresh_heads
from mglib.missing.method import MissingMethod, hide
from mglib.missing.subsets import subsets
from mglib.missing.trial import MissingTrial

GRADES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way from what stands in to the real features
OF_ALSO = {
    "": (),
    "heads": ("head_accuracy", "head_cross_entropy"),
    "virtual": ("virtual_cosine", "virtual_recall"),
    "substitutes": ("branch_bias", "virtual_cosine", "virtual_recall"),
    "graded": tuple(f"graded_accuracy_{100 * grade:g}" for grade in GRADES),
}
RECALLED = 10
TEST = MEASURED.index("test")


def measure_further(
    model: MissingMethod,
    bank: MissingBank,
    trials: Sequence[MissingTrial],
    values: Sequence[np.ndarray],
    better: Sequence[bool],
) -> None:
    """Write what the trials ask for `also` into the last metrics of `values` [S, parts, metrics].

    Of the trials that got `better`. Raises MglibError for a method that has no such thing.
    """
    asked = {
        "heads": (measure_heads,),
        "virtual": (measure_virtual,),
        "substitutes": (measure_virtual, measure_bias),
        "graded": (measure_graded,),
    }
    for measure in asked[trials[0].also]:
        measure(model, bank, trials, values, better)


def measure_heads(
    model: MissingMethod,
    bank: MissingBank,
    trials: Sequence[MissingTrial],
    values: Sequence[np.ndarray],
    better: Sequence[bool],
) -> None:
    """Measure fresh heads on the encoders, under every subset.

    Raises MglibError for a method that does not encode each modality by itself, and real answers.
    """
    everything = bank.items.shape[2]
    index = torch.arange(everything, device=bank.device).expand(len(trials), -1)
    z = model.encode(bank.rows(bank.blocks(trials), index)) if bank.classes else None
    if z is None:
        raise MglibError(
            f"fresh heads need classes and encoders of their own, which '{trials[0].method}' of "
            f"{trials[0].target} has not"
        )
    for place, pattern in enumerate(subsets(len(bank.values))):
        for trial, own in enumerate(bank.paired):
            parts = {**own.parts, "train": learned(trials[trial], own)}
            size = own.items.shape[1]
            encoded = [one[trial, :size].cpu() for one in z]
            if better[trial] and all(bool(torch.isfinite(one).all()) for one in encoded):
                labels = torch.from_numpy(own.answers)
                values[trial][place, :, -2:] = fresh_heads(encoded, labels, parts, pattern)


def _tested(
    bank: MissingBank, trials: Sequence[MissingTrial]
) -> tuple[list[int], tuple[Tensor, ...]]:
    """How many test instances each trial has, and their features [T, P, D], padded by repeats."""
    rows = [own.parts["test"] for own in bank.paired]
    index = torch.from_numpy(np.stack([np.resize(own, max(map(len, rows))) for own in rows]))
    return [len(own) for own in rows], bank.rows(bank.blocks(trials), index.to(bank.device))


def measure_virtual(
    model: MissingMethod,
    bank: MissingBank,
    trials: Sequence[MissingTrial],
    values: Sequence[np.ndarray],
    better: Sequence[bool],
) -> None:
    """Measure how near virtual features, or what stands in, are to the real ones.

    On the test part, under every subset that lacks a modality: the mean cosine, and how often the
    real one is among the RECALLED nearest real ones; means over what is missing. Raises MglibError
    for a method that makes no virtual features.
    """
    sizes, x = _tested(bank, trials)
    for place, pattern in enumerate(subsets(len(bank.values))):
        seen = torch.tensor(pattern, device=bank.device).expand(*x[0].shape[:2], -1)
        made = model.fill(hide(x, seen), seen)
        if made is None:
            raise MglibError(f"'{trials[0].method}' makes no virtual features to measure")
        if any(own.shape != real.shape for own, real in zip(made, x, strict=True)):
            raise MglibError(
                f"virtual features of '{trials[0].method}' lie behind an encoder: there are no "
                "real ones beside which to measure them"
            )
        for trial, size in enumerate(sizes):
            told = [
                nearness(made[m][trial, :size].cpu(), x[m][trial, :size].cpu())
                for m, there in enumerate(pattern)
                if not there
            ]
            if told and better[trial]:
                values[trial][place, TEST, -2:] = np.mean(told, 0)


def nearness(made: Tensor, real: Tensor) -> tuple[float, float]:
    """Mean cosine of rows [N, D] with their own, and the share that finds it among RECALLED.

    Of real rows that are equally near half are counted as nearer, so that zeros find nothing.
    """
    one, other = (torch.nn.functional.normalize(own, dim=-1) for own in (made, real))
    cosines = one @ other.T
    own = cosines.diagonal()
    nearer = (cosines > own[:, None]).sum(1) + ((cosines == own[:, None]).sum(1) - 1) / 2
    return float(own.mean()), float((nearer < RECALLED).double().mean())


def measure_bias(
    model: MissingMethod,
    bank: MissingBank,
    trials: Sequence[MissingTrial],
    values: Sequence[np.ndarray],
    better: Sequence[bool],
) -> None:
    """Measure how far what stands in turns the answer, on the test part: see `MissingMethod.bias`.

    A mean over instances and over what is missing, in nats. Raises MglibError for a method whose
    branches say nothing of their own.
    """
    sizes, x = _tested(bank, trials)
    for place, pattern in enumerate(subsets(len(bank.values))):
        missing = len(pattern) - sum(pattern)
        seen = torch.tensor(pattern, device=bank.device).expand(*x[0].shape[:2], -1)
        turned = model.bias(hide(x, seen), seen)
        if turned is None:
            raise MglibError(f"the branches of '{trials[0].method}' say nothing that can be biased")
        for trial, size in enumerate(sizes):
            if missing and better[trial]:
                values[trial][place, TEST, -3] = (
                    float(turned[trial, :size].sum(-1).mean()) / missing
                )


def measure_graded(
    model: MissingMethod,
    bank: MissingBank,
    trials: Sequence[MissingTrial],
    values: Sequence[np.ndarray],
    better: Sequence[bool],
) -> None:
    """Measure accuracies as what stands in becomes the real features, by GRADES of the way.

    On the test part, under every subset that lacks a modality: at 0 the usual answer, at 1 that to
    whole instances. No method could use such substitutes: they show what their quality is worth.
    Raises MglibError for real answers, and for a method that stands nothing in. Source: ours.
    """
    sizes, x = _tested(bank, trials)
    for place, pattern in enumerate(subsets(len(bank.values))):
        seen = torch.tensor(pattern, device=bank.device).expand(*x[0].shape[:2], -1)
        made = model.fill(hide(x, seen), seen) if bank.classes else None
        if made is None:
            raise MglibError(
                f"'{trials[0].method}' stands nothing in that could be graded for "
                f"{trials[0].target}"
            )
        for number, grade in enumerate(GRADES):
            mixed = [start + grade * (end - start) for start, end in zip(made, x, strict=True)]
            said = model.answer(mixed, torch.ones_like(seen)).argmax(-1).cpu().numpy()
            for trial, (own, size) in enumerate(zip(bank.paired, sizes, strict=True)):
                if better[trial] and not all(pattern):
                    right = said[trial, :size] == own.answers[own.parts["test"]]
                    values[trial][place, TEST, number - len(GRADES)] = right.mean()
