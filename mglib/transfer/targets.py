"""The targets by name, nearest to a picture body first, and the trials that ask for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mglib.errors import MglibError, check_different, unknown
from mglib.registry import datasets, perceptors, transfers
from mglib.transfer.named import body_named
from mglib.transfer.trial import TransferTrial

BATCH_SIZE, WEIGHT_DECAY, RISE = 32, 1e-4, 0.1


@dataclass(frozen=True)
class Named:
    """A target: dataset, perceptor, modality and answer, with a title for tables and figures."""

    dataset: str
    perceptor: str
    modality: str
    target: str
    title: str


TARGETS = {
    "glyphs": Named("emoji_concepts", "raw", "glyph", "class", "line glyphs"),
    "spherical": Named("emoji_concepts", "spherical_projection", "art", "class", "art on a sphere"),
    "smartwatch_spectrograms": Named(
        "smartwatch", "raw", "accelerometer_spectrogram", "class", "watch spectrograms"
    ),
    "speech": Named("emoji_concepts", "log_mel", "speech", "class", "speech spectrograms"),
    "darcy": Named("darcy", "raw", "input", "output", "Darcy flow (PDEBench)"),
    "darcy_flow": Named("darcy_flow", "raw", "input", "output", "Darcy flow (NAS-Bench-360)"),
    "shallow_water": Named("shallow_water", "raw", "input", "output", "shallow water"),
    "diffusion_reaction_2d": Named(
        "diffusion_reaction_2d", "raw", "input", "output", "diffusion-reaction, 2-D"
    ),
    "smartwatch": Named("smartwatch", "raw", "accelerometer", "class", "watch series"),
    "advection": Named("advection", "raw", "input", "output", "advection"),
    "burgers": Named("burgers", "raw", "input", "output", "Burgers"),
    "diffusion_reaction": Named(
        "diffusion_reaction", "raw", "input", "output", "diffusion-reaction, 1-D"
    ),
    "diffusion_sorption": Named(
        "diffusion_sorption", "raw", "input", "output", "diffusion-sorption"
    ),
}


def target_named(name: str) -> Named:
    """A target of TARGETS, or one written 'dataset/perceptor/modality/answer'.

    Raises MglibError for unknown names, the nearest one named.
    """
    if name in TARGETS:
        return TARGETS[name]
    parts = name.split("/")
    if len(parts) != 4:
        raise MglibError(
            f"{unknown('target', name, TARGETS)}; or dataset/perceptor/modality/answer"
        )
    data = datasets.get(parts[0])
    perceptors.get(parts[1])
    if parts[2] not in data.kinds:
        raise unknown(f"modality of {parts[0]}", parts[2], data.kinds)
    if parts[3] not in data.targets:
        raise unknown(f"target of {parts[0]}", parts[3], data.targets)
    return Named(parts[0], parts[1], parts[2], parts[3], name)


def names_by_place(targets: Iterable[str]) -> dict[tuple[str, str, str], str]:
    """The names of some targets by dataset, perceptor and modality, as rows tell them.

    Raises MglibError for two targets of the same input, which rows do not tell apart.
    """
    found: dict[tuple[str, str, str], str] = {}
    for name in targets:
        own = target_named(name)
        place = (own.dataset, own.perceptor, own.modality)
        if place in found:
            raise MglibError(
                f"targets '{found[place]}' and '{name}' have the same input, {'/'.join(place)}: "
                "run them apart"
            )
        found[place] = name
    return found


def transfer_trials(
    *,
    targets: Iterable[str],
    bodies: str | Sequence[str],
    methods: Iterable[str],
    seeds: Iterable[int],
    split_seeds: Iterable[int],
    steps: int,
    every: int,
    lr: float,
    batch_size: int = BATCH_SIZE,
) -> list[TransferTrial]:
    """Every combination of targets, methods, seeds and splits on a body, as trials.

    Methods that are not for a body are refused by it. Raises MglibError for an unknown name, an
    empty or repeated list, two targets of the same input, or numbers out of range.
    """
    names, chosen, seeds, split_seeds = [*targets], [*methods], [*seeds], [*split_seeds]
    for what, own in (
        ("targets", names),
        ("methods", chosen),
        ("seeds", seeds),
        ("split seeds", split_seeds),
    ):
        check_different(what, own)
    names_by_place(names)
    for what, number in (("steps", steps), ("every", every), ("batch_size", batch_size)):
        if number < 1:
            raise MglibError(f"{what} must be at least 1, not {number}")
    if not 0 < lr < 1:
        raise MglibError(f"lr must lie between 0 and 1, not {lr}")
    hparams = {"lr": lr, "weight_decay": WEIGHT_DECAY, "batch_size": batch_size, "rise": RISE}
    found = []
    for body in [bodies] if isinstance(bodies, str) else bodies:
        for method in chosen:
            transfers.get(method).check_body(body_named(body))
        found += [
            TransferTrial(
                own.dataset,
                own.perceptor,
                own.modality,
                own.target,
                body,
                method,
                int(seed),
                int(split_seed),
                steps,
                every,
                json.dumps(hparams, sort_keys=True),
            )
            for own in map(target_named, names)
            for method in chosen
            for seed in seeds
            for split_seed in split_seeds
        ]
    return found
