"""The trials of a study with missing modalities: every combination of what is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mglib.errors import MglibError, check_different, unknown
from mglib.missing.trial import MissingTrial
from mglib.registry import datasets, laws, missing_methods, pairings, perceptors

HPARAMS = {"lr": 1e-3, "weight_decay": 1e-3, "batch_size": 64, "hidden": 128}


def missing_trials(
    *,
    dataset: str,
    perceptor: str,
    modalities: Sequence[str],
    methods: Iterable[str],
    seeds: Iterable[int],
    split_seeds: Iterable[int],
    steps: int,
    every: int,
    target: str = "class",
    pairing: str = "instance",
    law: str = "none",
    rates: Sequence[float] = (0.0,),
    hparams: Mapping[str, float] = HPARAMS,
    share: float = 1.0,
    also: str = "",
) -> list[MissingTrial]:
    """Every combination of methods, rates of a law, seeds and splits, as trials.

    Raises MglibError for an unknown name, an empty or repeated list, or numbers out of range.
    """
    names, chosen, hidden = [*modalities], [*methods], [*rates]
    first, second = [*seeds], [*split_seeds]
    own: dict[str, list[Any]] = {
        "modalities": names,
        "methods": chosen,
        "rates": hidden,
        "seeds": first,
        "split seeds": second,
    }
    for what, values in own.items():
        check_different(what, values)
    for what, number in (("steps", steps), ("every", every)):
        if number < 1:
            raise MglibError(f"{what} must be at least 1, not {number}")
    if not 0 < share <= 1:
        raise MglibError(f"share of the training part must be above 0 to 1, not {share}")
    data = datasets.get(dataset)
    perceptors.get(perceptor)
    for modality in names:
        if modality not in data.kinds:
            raise unknown(f"modality of {dataset}", modality, data.kinds)
    if target not in data.targets:
        raise unknown(f"target of {dataset}", target, data.targets)
    pairings.get(pairing).check_modalities(len(names))
    for rate in hidden:
        laws.get(law)().check(len(names), rate)
    told = json.dumps(dict(hparams), sort_keys=True)
    return [
        MissingTrial(
            dataset,
            perceptor,
            tuple(names),
            target,
            pairing,
            missing_methods.get(method).name,
            law,
            float(rate),
            int(seed),
            int(split_seed),
            steps,
            every,
            told,
            share=share,
            also=also,
        )
        for method in chosen
        for rate in hidden
        for seed in first
        for split_seed in second
    ]
