"""How well must the unseen modality be bound? Learners stay the same; what they are shown changes.

Ours: every learner under every condition of `mglib.analysis.similarity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mglib.analysis.held_out import method_name, percent
from mglib.analysis.pairs import compare_methods
from mglib.analysis.similarity import CKA, FULL, RECALL, Condition, centre_of
from mglib.analysis.statistics import PLUS_MINUS, Interval, resampled_interval
from mglib.analysis.worlds import Method, World, world_trials, world_values
from mglib.trials.trial import Trial

if TYPE_CHECKING:
    import pandas as pd


def similarity_trials(
    world: World, methods: Sequence[Method], conditions: Sequence[Condition], **common: Any
) -> list[Trial]:
    """Every method without each modality but the centre, which is tested under every condition.

    `common` is as in `world_trials`. The two bounds stand there once. A trial's random streams do
    not hang on the condition, so the same learner is shown the modality as each condition sees it.
    """
    centre = centre_of(world.dataset, world.perceptor)
    found = []
    for condition in conditions:
        unseen = "" if condition == FULL else condition.perceptor(world.perceptor)
        found += world_trials(world, methods, bounds=condition == FULL, unseen=unseen, **common)
    return [t for t in found if (centre in t.train) == (len(t.train) > 1)]


def similarity_values(rows: pd.DataFrame, bounds: Sequence[str] = ()) -> pd.DataFrame:
    """`world_values` of each condition: columns perceptor (of the unseen), modality, method, ....

    The methods named in `bounds` hang on no condition; they are there under each.
    """
    import pandas as pd

    found = [
        world_values(own).assign(perceptor=perception.rpartition(">")[2])
        for perception, own in rows.groupby("perceptor", sort=False)
    ]
    values = pd.concat(found, ignore_index=True)
    once = values[values["method"].isin(bounds)]
    others = [
        name for name in dict.fromkeys(values["perceptor"]) if name not in set(once["perceptor"])
    ]
    return pd.concat([values, *(once.assign(perceptor=name) for name in others)], ignore_index=True)


def learners_apart(rows: pd.DataFrame) -> int:
    """How many accuracies in trained modalities are not the same to the bit under all conditions.

    Zero where the conditions have the same learners, which see nothing else of them.
    """
    own = rows[rows["metric"] == "accuracy"]
    trained = [m in t.split("+") for m, t in zip(own["modality"], own["train"], strict=True)]
    at = ["algorithm", "variant", "train", "seed", "split_seed", "step", "split", "modality"]
    found = own[trained].fillna({"value": -1.0}).groupby(at, dropna=False)["value"].nunique()
    return int((found > 1).sum())


def condition_intervals(
    values: pd.DataFrame, world: World, conditions: Sequence[Condition], test_share: float
) -> pd.DataFrame:
    """Mean over modalities of each method under each condition, with its interval over splits.

    Columns pairs, noise, method, mean, low, high.
    """
    import pandas as pd

    lines = []
    for condition in conditions:
        under = values[values["perceptor"] == condition.perceptor(world.perceptor)]
        for method, own in under.groupby("method", sort=False):
            by_split = own.groupby("split_seed")["value"].mean()
            interval = resampled_interval(by_split.tolist(), test_share)
            line = {"pairs": condition.pairs, "noise": condition.noise, "method": method}
            lines.append(line | {"mean": interval.mean, "low": interval.low, "high": interval.high})
    return pd.DataFrame(lines)


def against_full(
    values: pd.DataFrame,
    world: World,
    conditions: Sequence[Condition],
    method: str,
    test_share: float,
) -> pd.DataFrame:
    """One method under each condition minus fully bound, as `compare_methods` has it, with Holm.

    Column `first` is the perceptor of the condition.
    """
    own = values[values["method"] == method].assign(method=lambda table: table["perceptor"])
    names = [condition.perceptor(world.perceptor) for condition in conditions]
    return compare_methods(own, test_share, against=FULL.perceptor(world.perceptor), methods=names)


def mean_similarity(
    similarity: pd.DataFrame, metric: str, perceptor: str, share: float
) -> Interval:
    """Interval over splits of a measure of `similarity_rows`, averaged over modalities."""
    own = similarity[(similarity["metric"] == metric) & (similarity["perceptor"] == perceptor)]
    return resampled_interval(own.groupby("split_seed")["value"].mean().tolist(), share)


def condition_table(
    values: pd.DataFrame,
    similarity: pd.DataFrame,
    world: World,
    conditions: Sequence[Condition],
    methods: Sequence[Method],
    test_share: float,
) -> pd.DataFrame:
    """A line per condition: alignment, accuracy [%] of each method, the first's loss, a verdict."""
    import pandas as pd

    names = [method_name(*method) for method in methods]
    tested = against_full(values, world, conditions, names[0], test_share).set_index("first")
    lines = []
    for condition in conditions:
        perceptor = condition.perceptor(world.perceptor)
        recall = mean_similarity(similarity, RECALL, perceptor, test_share)
        cka = mean_similarity(similarity, CKA, perceptor, test_share)
        line = {
            "Pairs": str(condition.pairs or "all"),
            "Wrong [%]": f"{100 * condition.noise:.0f}",
            "Recall [%]": percent(recall),
            "CKA": f"{cka.mean:.2f}{PLUS_MINUS}{cka.half:.2f}".replace("-", "−"),
        }
        under = values[values["perceptor"] == perceptor]
        for name in names:
            own = under[under["method"] == name].groupby("split_seed")["value"].mean()
            line[name] = percent(resampled_interval(own.tolist(), test_share))
        line |= {f"{names[0]}, change": "–", "Verdict": "–"}
        if condition != FULL:
            test = tested.loc[perceptor]
            gap = Interval(test["mean"], test["low"], test["high"], int(test["n"]))
            line |= {
                f"{names[0]}, change": percent(gap, signed=True),
                "Verdict": test["verdict"],
            }
        lines.append(line)
    return pd.DataFrame(lines)
