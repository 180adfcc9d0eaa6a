"""The published protocol beside ours: whose instances are scored, and what its "±" is.

ModalBed (https://arxiv.org/abs/2412.18277) shuffles every modality by itself: an instance that is
scored in the held-out modality was trained on in the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.analysis.held_out import held_out_values, method_interval, percent, verdict
from mglib.analysis.pairs import by_split
from mglib.analysis.statistics import PLUS_MINUS, Interval, resampled_interval, standard_error
from mglib.analysis.worlds import Method, World
from mglib.registry import algorithms
from mglib.trials import make_trials, without
from mglib.trials.hyperparameters import PUBLISHED, pace_of
from mglib.trials.selection import (
    OURS,
    Parts,
    alone,
    published_parts,
    training_modality_validation,
)
from mglib.trials.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

# Of a modality as many instances are scored as trained on, the part "in" of each (ours to say).
PUBLISHED_SHARE = 0.5


@dataclass(frozen=True)
class Scored:
    """Which instances a table is about: the splits, the part scored, and the rule's parts.

    `share` is what intervals over such splits are told to be tested.
    """

    splits: str
    part: str
    parts: Parts = OURS
    share: float | None = None


NEW = Scored("disjoint", "test")
KNOWN = Scored("disjoint", "train")
AS_PUBLISHED = Scored("as_published", "in", published_parts(), PUBLISHED_SHARE)


def protocol_trials(
    world: World,
    methods: Iterable[Method],
    *,
    split_seeds: Iterable[int],
    steps: int,
    checkpoints: int,
    lr: float,
    train: Sequence[Sequence[str]] | None = None,
    hurried: bool = True,
    **more: Any,
) -> list[Trial]:
    """Every method on every training set (None: all modalities but one) in every split.

    `lr` is that of ERM. A learner by SGD, too, goes at its ratio to the published one (ours: a step
    of SGD is as long as its rate says); not `hurried`, it keeps its published rate. The rest is as
    in `world_trials`, `more` as in `make_trials`.
    """
    pace, split_seeds = pace_of(steps, lr), list(split_seeds)
    trials = []
    for name, variant in methods:
        search = algorithms.get(name).search
        fixed = {"weight_decay": 0.0}
        if "momentum" in search:
            fixed["lr"] = search["lr"].default * (pace if hurried else PUBLISHED).rates
        trials += make_trials(
            dataset=world.dataset,
            perceptor=world.perceptor,
            target=world.target,
            algorithm=name,
            variant=variant,
            train=without(world.seen, 1) if train is None else train,
            evaluate=world.seen,
            seeds=[0],
            split_seeds=split_seeds,
            steps=steps,
            every=max(1, steps // checkpoints),
            pace=pace,
            fixed=fixed,
            **more,
        )
    return trials


def scored_values(rows: pd.DataFrame, scored: Scored) -> pd.DataFrame:
    """`held_out_values` of the part that is scored, checkpoints by training-modality validation.

    A method with a run of which no checkpoint is finite is left out as a whole: a mean without that
    run would flatter it. `diverged_runs` counts such runs.
    """
    chosen = training_modality_validation(alone(rows), parts=scored.parts)
    methods = chosen["algorithm"] + "/" + chosen["variant"]
    lost = set(methods[chosen["value"].isna()])
    own = chosen[(chosen["split"] == scored.part) & ~methods.isin(lost)]
    return held_out_values(own.assign(split="test"), supervised="")


def diverged_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each algorithm and variant the runs, and how many were not finite at some checkpoint.

    Columns algorithm, variant, runs, diverged.
    """
    runs = rows.assign(lost=rows["status"] == "diverged").groupby(
        ["algorithm", "variant", "key"], sort=False
    )["lost"]
    by_method = runs.any().groupby(level=["algorithm", "variant"], sort=False)
    return by_method.agg(runs="size", diverged="sum").reset_index()


def gap_interval(
    first: pd.DataFrame, second: pd.DataFrame, method: str, test_share: float
) -> Interval:
    """Interval of one method's values in one table minus those in another, paired by split.

    Both as from `scored_values`, averaged over modalities within each split.
    """
    own = [by_split(values[values["method"] == method])[method] for values in (first, second)]
    return resampled_interval((own[0] - own[1]).tolist(), test_share)


def sharing_table(
    new: pd.DataFrame,
    known: pd.DataFrame,
    published: pd.DataFrame,
    methods: Sequence[str],
    test_share: float,
) -> pd.DataFrame:
    """What shared instances give [%]: a line per method that all three tables have.

    All as from `scored_values`. `new` and `known` are of the same runs: the held-out modality of
    instances never trained on, and of those trained on in the other modalities. `published` trains
    on more instances and scores such as were trained on; its intervals are told `PUBLISHED_SHARE`.
    """
    import pandas as pd

    lines = []
    for name in methods:
        if not all((values["method"] == name).any() for values in (new, known, published)):
            continue
        given = gap_interval(known, new, name, test_share)
        rest = gap_interval(published, known, name, PUBLISHED_SHARE)
        lines.append(
            {
                "Learner": name,
                "New": percent(method_interval(new, None, name, test_share)),
                "Known": percent(method_interval(known, None, name, test_share)),
                "Published splits": percent(
                    method_interval(published, None, name, PUBLISHED_SHARE)
                ),
                "Known minus new": f"{percent(given, signed=True)} ({verdict(given)})",
                "Published minus known": f"{percent(rest, signed=True)} ({verdict(rest)})",
            }
        )
    return pd.DataFrame(lines)


def half_to_error(splits: int, test_share: float) -> float:
    """Half the corrected interval over the "±" of the published tables, for so many splits.

    Both are multiples of one standard deviation: the ratio hangs on no measurement.
    """
    values = [0.0] * (splits - 1) + [1.0]
    return resampled_interval(values, test_share).half / standard_error(values)


def spreads(values: pd.DataFrame, methods: Sequence[str], test_share: float) -> pd.DataFrame:
    """Three readings of one spread, each a mean over held-out modalities.

    Columns method, mean, error (the published "±": deviation, ddof 0, over root n), deviation
    (ddof 1) and half (half the corrected interval) in the unit of the values; a value per split.
    """
    import pandas as pd

    lines = []
    for name in methods:
        own = values[values["method"] == name].groupby("modality")["value"]
        cells = [
            (
                x.mean(),
                standard_error(x.tolist()),
                x.std(ddof=1),
                resampled_interval(x.tolist(), test_share).half,
            )
            for _, x in own
        ]
        lines.append((name, *np.mean(cells, axis=0)))
    return pd.DataFrame(lines, columns=["method", "mean", "error", "deviation", "half"])


def spread_table(found: pd.DataFrame) -> pd.DataFrame:
    """`spreads` in per cent: the mean with each of its three "±"."""
    import pandas as pd

    def told(mean: float, spread: float) -> str:
        return f"{100 * mean:.1f}{PLUS_MINUS}{100 * spread:.1f}"

    heads = {"As printed": "error", "Standard deviation": "deviation", "Interval": "half"}
    return pd.DataFrame(
        [
            {"Learner": row["method"]}
            | {head: told(row["mean"], row[name]) for head, name in heads.items()}
            for row in found.to_dict("records")
        ]
    )
