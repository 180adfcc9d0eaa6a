"""The grid: which methods and training sets there are, and the trials that ask for all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from mglib.errors import MglibError, unknown
from mglib.registry import algorithms, datasets, perceptors
from mglib.trials.hyperparameters import PUBLISHED, Pace, draw_hparams
from mglib.trials.multimodal import Multimodal
from mglib.trials.trial import Trial


def learners(names: Sequence[str] | None = None) -> list[tuple[str, str]]:
    """(algorithm, variant) of every algorithm that learns, or of the named ones, in every variant.

    A name may choose one variant, as "mixup/as_published". Raises MglibError for an unknown name, a
    repeated one, none at all, or one that learns nothing.
    """
    if names is None:
        names = [name for name in algorithms.names() if algorithms.get(name).learns]
    found: list[tuple[str, str]] = []
    for text in names:
        name, _, variant = text.partition("/")
        method = algorithms.get(name)
        if not method.learns:
            raise MglibError(f"'{name}' learns nothing; it stands in every table as a bound")
        if variant and variant not in method.variants:
            raise unknown(f"variant of {name}", variant, method.variants)
        found += [(name, own) for own in ((variant,) if variant else method.variants)]
    if not found or len(set(found)) < len(found):
        raise MglibError(f"algorithms must be one or more different learners, not {list(names)}")
    return found


def corrected_learners(names: Sequence[str] | None = None) -> list[tuple[str, str]]:
    """The same with a bare name standing for its corrected form alone, not for every variant."""
    bare = list(dict(learners())) if names is None else names
    return learners([name if "/" in name else f"{name}/corrected" for name in bare])


def without(modalities: Sequence[str], number: int) -> list[list[str]]:
    """The training sets that leave out each choice of `number` modalities, in order."""
    return [
        [m for m in modalities if m not in left_out]
        for left_out in combinations(modalities, number)
    ]


def make_trials(
    *,
    dataset: str,
    perceptor: str,
    algorithm: str,
    train: Iterable[Iterable[str]],
    evaluate: Iterable[str],
    seeds: Iterable[int],
    split_seeds: Iterable[int],
    steps: int,
    every: int,
    variant: str = "corrected",
    draws: Iterable[int] = (0,),
    fixed: Mapping[str, float] | None = None,
    pace: Pace = PUBLISHED,
    target: str = "class",
    unseen: str = "",
    unseen_for_all: bool = False,
    splits: str = "disjoint",
    patterns: Iterable[str] = (),
) -> list[Trial]:
    """Every combination of training sets, draws, seeds and splits of one algorithm, as trials.

    `fixed` hyper-parameters replace drawn ones where the algorithm has them, those go at `pace`;
    the pattern "by_slot" is left out for one without slots; the rest is as in `Trial`. Raises
    MglibError for an unknown name, a repeated or empty list, a hyper-parameter out of range, steps
    below 1, or patterns with published splits, where modalities share no instances to be tested
    together on.
    """
    data, method = datasets.get(dataset), algorithms.get(algorithm)
    for name in (perceptor, unseen) if unseen else (perceptor,):
        perceptors.get(name)
    if target not in data.targets:
        raise unknown(f"target of {dataset}", target, data.targets)
    if unseen_for_all and not unseen:
        raise MglibError("unseen_for_all needs `unseen`, the perceptor that sees all at test")
    patterns = tuple(patterns)
    if patterns and splits != "disjoint":
        raise MglibError(f"patterns {list(patterns)} need disjoint splits, not '{splits}'")
    if not issubclass(method, Multimodal):
        patterns = tuple(name for name in patterns if name != "by_slot")
    if variant not in method.variants:
        raise unknown(f"variant of {algorithm}", variant, method.variants)
    if steps < 1 or every < 1:
        raise MglibError(f"steps ({steps}) and every ({every}) must be at least 1")
    # One order and plain numbers, so that one question has one key.
    sets = [tuple(sorted(modalities)) for modalities in train]
    seeds, split_seeds, draws = ([int(n) for n in some] for some in (seeds, split_seeds, draws))
    for name, number in (
        ("training sets", len(sets)),
        ("seeds", len(seeds)),
        ("split seeds", len(split_seeds)),
        ("draws", len(draws)),
    ):
        if not number:
            raise MglibError(f"no {name} are asked for, so there is nothing to train")
    evaluate = tuple(sorted(evaluate))
    for modalities in [*sets, evaluate]:
        if not modalities or len(set(modalities)) < len(modalities):
            raise MglibError(f"modalities {modalities} of {dataset} are empty or repeated")
        for modality in modalities:
            if modality not in data.kinds:
                raise unknown(f"modality of {dataset}", modality, data.kinds)
    for name, value in (fixed or {}).items():
        least = 1 if name == "batch_size" else 0
        if not math.isfinite(value) or value < least:
            raise MglibError(f"hyper-parameter '{name}' must be at least {least}, not {value}")
    relevant = {name: value for name, value in (fixed or {}).items() if name in method.search}
    return [
        Trial(
            dataset,
            perceptor,
            algorithm,
            variant,
            modalities,
            evaluate,
            seed,
            split_seed,
            draw,
            steps,
            every,
            json.dumps(draw_hparams(method.search, draw, seed, relevant, pace), sort_keys=True),
            target,
            unseen,
            unseen_for_all,
            splits,
            patterns,
        )
        for modalities in sets
        for draw in draws
        for seed in seeds
        for split_seed in split_seeds
    ]
