"""How well must the unseen modality be bound? Learners stay the same; what they are shown changes.

Ours, between ModalBed's weak and strong generalization: the training modalities are fully bound,
the unseen one by fewer pairs with the centre of the space, or by pairs of which some are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mglib.analysis.alignment import linear_cka
from mglib.analysis.held_out import method_name, percent
from mglib.analysis.measured import Answer, measured
from mglib.analysis.pairs import compare_methods
from mglib.analysis.retrieval import recall_at_k
from mglib.analysis.statistics import PLUS_MINUS, Interval, resampled_interval
from mglib.analysis.worlds import Method, World, world_trials, world_values
from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.features import load_features
from mglib.registry import datasets, perceptors
from mglib.trials.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1  # of the measure here
RECALL, CKA = "recall", "cka_debiased"


@dataclass(frozen=True)
class Condition:
    """How the unseen modality is bound: by how many pairs (0: all there are), what share wrong."""

    pairs: int = 0
    noise: float = 0.0

    def perceptor(self, base: str) -> str:
        """The perceptor `base`, which binds, with these settings."""
        told = [f"pairs={self.pairs}"] * bool(self.pairs)
        told += [f"noise={self.noise:.12g}"] * bool(self.noise)
        return (base + ("," if "@" in base else "@") + ",".join(told)) if told else base


FULL = Condition()


def conditions_of(pairs: Sequence[int], noise: Sequence[float]) -> list[Condition]:
    """Fully bound, by so many pairs each, and with such shares of wrong pairs each, in that order.

    Raises MglibError for a repeated value, one of each sweep's ends being `FULL` already, or if
    nothing is swept.
    """
    found = [FULL, *(Condition(pairs=k) for k in pairs), *(Condition(noise=p) for p in noise)]
    if len(found) < 2 or len(set(found)) < len(found):
        raise MglibError(
            f"pairs {list(pairs)} and noise {list(noise)} must be different values above 0 (all "
            "pairs without noise stand there anyway), one at least"
        )
    return found


def centre_of(world: World) -> str:
    """The modality that the others of a world are bound to; it has no map that could be worse."""
    sense = perceptors.get(world.perceptor)()
    if not hasattr(sense, "centre"):
        raise MglibError(f"perceptor '{world.perceptor}' binds nothing; 'bound' does")
    return str(sense.centre(datasets.get(world.dataset)()))


def similarity_trials(
    world: World, methods: Sequence[Method], conditions: Sequence[Condition], **common: Any
) -> list[Trial]:
    """Every method without each modality but the centre, which is tested under every condition.

    `common` is as in `world_trials`. The two bounds stand there once. A trial's random streams do
    not hang on the condition, so the same learner is shown the modality as each condition sees it.
    """
    centre = centre_of(world)
    found = []
    for condition in conditions:
        unseen = "" if condition == FULL else condition.perceptor(world.perceptor)
        found += world_trials(world, methods, bounds=condition == FULL, unseen=unseen, **common)
    return [t for t in found if (centre in t.train) == (len(t.train) > 1)]


def similarity_rows(
    experiment: str,
    world: World,
    conditions: Sequence[Condition],
    split_seeds: Iterable[int],
    *,
    k: int,
    profile: str,
) -> pa.Table:
    """Rows `recall` (at k) and `cka_debiased` of each modality and the centre on the test pairs.

    The centre itself is the same under every condition, since it needs no pairs.
    """
    centre = centre_of(world)

    def answer(question: dict[str, Any]) -> Answer:
        own, other = (
            load_features(world.dataset, question["perceptor"], m, question["split_seed"])
            for m in (question["modality"], json.loads(question["hparams"])["centre"])
        )
        test = split_indices(own.groups, question["split_seed"])["test"]
        pair = own.values[test], other.values[test]
        values = {RECALL: recall_at_k(*pair, k), CKA: linear_cka(*pair)}
        return [{"metric": name, "value": v, "n": len(test)} for name, v in values.items()]

    questions = [
        {
            "task": "similarity",
            "dataset": world.dataset,
            "perceptor": condition.perceptor(world.perceptor),
            "split_seed": seed,
            "modality": modality,
            "split": "test",
            "hparams": {"centre": centre, "k": k},
        }
        for seed in split_seeds
        for condition in conditions
        for modality in world.seen
        if modality != centre
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="similarity"
    )


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
