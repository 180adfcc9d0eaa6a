"""Strong modality generalization: what is unseen comes through a perceptor bound to nothing.

ModalBed (arXiv 2412.18277) trains in a bound space and tests through self-supervised encoders; its
code sends the training modalities through them at test, too. Ours: that form beside one in which
they keep their space, and the ways between strong and weak that few pairs, or none, open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mglib.analysis.worlds import Method, World, world_trials, world_values
from mglib.errors import MglibError
from mglib.perceptors.self_supervised import SelfSupervised
from mglib.registry import datasets, perceptors
from mglib.trials.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

BOUND, OWN = "bound", "self_supervised"


@dataclass(frozen=True)
class Sight:
    """Through which perceptors modalities are met: in training, and at test the unseen ones.

    With `for_all` the training modalities at test, too. An empty `unseen` is the same perceptor.
    """

    title: str
    perceptor: str
    unseen: str = ""
    for_all: bool = False


WEAK = Sight("One space", BOUND)
STRONG = Sight("Strong", BOUND, OWN)
PUBLISHED = Sight("Strong, as published", BOUND, OWN, for_all=True)
APART = Sight("Own spaces", OWN)
FORMS = (WEAK, STRONG, PUBLISHED, APART)


def adapted_sights(rank: int) -> tuple[Sight, Sight]:
    """The strong form and the own spaces, with adapters of a rank in the trunks of images."""
    name = _named(OWN, adapters=rank)
    return Sight("Strong, adapted trunks", BOUND, name), Sight("Own spaces, adapted trunks", name)


def adapted_modalities(world: World, sights: Sequence[Sight]) -> list[str]:
    """The modalities of a world whose trunks are adapted in some sights."""
    dataset = datasets.get(world.dataset)()
    names = {sight.unseen or sight.perceptor for sight in sights}
    senses = [perceptors.get(name)() for name in sorted(names)]
    return [
        m
        for m in world.seen
        if any(isinstance(own, SelfSupervised) and own.adapted(dataset, m) for own in senses)
    ]


@dataclass(frozen=True)
class Rung:
    """A way from strong to weak: the method, the pairs that it is given, and what then sees."""

    method: str
    pairs: int
    sight: Sight


RELATIVE = "Relative"


def _named(base: str, **chosen: int | str) -> str:
    """A perceptor's name with settings, in its order and without what is as by default."""
    settings = perceptors.get(base).settings
    told = [
        f"{k}={chosen[k]}" for k in settings if k in chosen and chosen[k] != settings[k].default
    ]
    return f"{base}@{','.join(told)}" if told else base


def rungs(pairs: Sequence[int], transported: Sequence[int] = ()) -> list[Rung]:
    """Every method at every number of pairs that it can use, the two that need none first.

    `transported` are the numbers among `pairs` that transport is given, besides none at all. The
    anchored methods map what is unseen into the bound space; relative vectors are trained on, too.
    Raises MglibError for numbers that are repeated, below 1, or not among `pairs`.
    """
    if not pairs or len(set(pairs)) < len(pairs) or min(pairs) < 1:
        raise MglibError(f"pairs must be one or more different numbers from 1, not {list(pairs)}")
    if strange := sorted(set(transported) - set(pairs)):
        raise MglibError(f"transport is asked with {strange} pairs, which are not among {pairs}")
    asked = [("moments", 0), ("transport", 0)]
    for number in sorted(pairs):
        asked += [(method, number) for method in ("procrustes", "ridge")]
        asked += [("transport", number)] if number in transported else []
    found = []
    for method, number in asked:
        title, name = method.capitalize(), _named("anchored", method=method, pairs=number)
        found.append(Rung(title, number, Sight(f"{title}, pairs {number}", BOUND, name)))
    least = int(perceptors.get("relative").settings["pairs"].low)
    for number in sorted(n for n in pairs if n >= least):
        sight = Sight(f"{RELATIVE}, pairs {number}", _named("relative", pairs=number))
        found.append(Rung(RELATIVE, number, sight))
    return found


def sight_trials(
    world: World, methods: Sequence[Method], sights: Iterable[Sight], **common: Any
) -> dict[str, list[Trial]]:
    """By the title of each sight, the trials of every method in one world; `common` as there.

    Raises MglibError for a world whose space is not the one that unseen modalities are mapped to.
    """
    if world.perceptor != BOUND:
        raise MglibError(
            f"{world.title} is seen through '{world.perceptor}'; between strong and weak lies "
            f"'{BOUND}', as in the worlds text_centred and numerals"
        )
    return {
        sight.title: world_trials(
            replace(world, perceptor=sight.perceptor),
            methods,
            unseen=sight.unseen,
            unseen_for_all=sight.for_all,
            **{"bounds": False, **common},
        )
        for sight in sights
    }


def own_rows(rows: pd.DataFrame, trials: Iterable[Trial]) -> pd.DataFrame:
    """The rows of some trials."""
    return rows[rows["key"].isin({trial.key for trial in trials})]


def sight_values(rows: pd.DataFrame, trials: Mapping[str, Sequence[Trial]]) -> pd.DataFrame:
    """Values of `world_values`, with a column `sight`: the title under which the trials stand."""
    import pandas as pd

    return pd.concat(
        [world_values(own_rows(rows, own)).assign(sight=title) for title, own in trials.items()],
        ignore_index=True,
    )
