"""What each selection rule reports, with bootstrap intervals over groups, splits and seeds.

From the stored predictions of single test instances; the intervals are rows of their own, so that
committed rows alone tell them again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mglib.analysis.measured import Answer, measured
from mglib.analysis.resampling import DRAWS, Hits, bootstrap_interval
from mglib.errors import MglibError
from mglib.provenance import digest
from mglib.registry import algorithms
from mglib.trials.artifacts import Predictions, read_predictions
from mglib.trials.selection import RULES, reported

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
MEAN = "mean"  # of all held-out modalities
_METHOD = ["dataset", "perceptor", "algorithm", "variant"]


def hits_of(own: pd.DataFrame, predictions: dict[str, Predictions]) -> list[Hits]:
    """Hits of chosen rows by split: seeds side by side, averaged over the rows' modalities.

    `own` has split_seed, seed, modality, key and step. Raises MglibError for a key without
    predictions, or a run that lacks a modality which another one has.
    """
    found = []
    tested = own.groupby(["split_seed", "seed"])["modality"].agg(frozenset)
    if tested.nunique() > 1:
        raise MglibError("runs of one method were tested on different modalities")
    for _, of_split in own.groupby("split_seed"):
        by_seed, groups = [], np.empty(0)
        for _, of_seed in of_split.groupby("seed"):
            several = []
            for row in of_seed.sort_values("modality").itertuples(index=False):
                if row.key not in predictions:
                    raise MglibError(
                        f"no predictions are kept of trial {row.key} (of committed rows none are); "
                        "compute its rows anew: in an empty folder MGLIB_ROWS, without results/"
                    )
                seen = predictions[row.key]
                place = seen.steps.index(row.step), seen.evaluate.index(row.modality)
                several.append(seen.hits[place])
                groups = seen.groups
            by_seed.append(np.mean(several, axis=0))
        found.append(Hits(np.stack(by_seed), groups))
    return found


def rule_rows(experiment: str, trials: pa.Table, *, profile: str, draws: int = DRAWS) -> pa.Table:
    """Rows of accuracy, accuracy_low and accuracy_high for every method, rule and modality.

    `trials` are the rows of all runs that the rules need; the modality "mean" averages the held-out
    ones instance by instance. A method that lacks runs which a rule needs has no rows under it; one
    with a diverged choice has undefined ones. Percentile intervals at 95 %; the pool's groups are
    drawn once for all splits.
    """
    frame = trials.to_pandas()
    learned = frame[[algorithms.get(name).learns for name in frame["algorithm"]]]
    members: dict[str, pd.DataFrame] = {}
    questions = []
    for name, rule in RULES.items():
        lacking = set(rule.missing(learned)[_METHOD].itertuples(index=False, name=None))
        chosen = reported(rule.choose(learned))
        chosen = chosen[chosen["metric"] == "accuracy"]
        for method, own in chosen.groupby(_METHOD):
            if method in lacking:
                continue
            for modality in [*sorted(own["modality"].unique()), MEAN]:
                part = own if modality == MEAN else own[own["modality"] == modality]
                told = part[["key", "step", "modality"]].sort_values(["key", "modality"])
                hparams = {"rule": name, "draws": draws, "trials": digest(told.values.tolist())}
                members[json.dumps([*method, modality, hparams], sort_keys=True)] = part
                columns = dict(zip(_METHOD, method, strict=True))
                questions.append(
                    {
                        "task": "selection",
                        **columns,
                        "modality": modality,
                        "split": "test",
                        "hparams": hparams,
                    }
                )
    kept: dict[str, Predictions] = {}

    def answer(question: dict[str, Any]) -> Answer:
        if not kept:
            keys = {key for part in members.values() for key in part["key"]}
            kept.update(read_predictions(experiment, keys))
        method = [question[column] for column in (*_METHOD, "modality")]
        asked = json.dumps([*method, json.loads(question["hparams"])], sort_keys=True)
        if members[asked]["value"].isna().any():
            return [
                {"metric": metric, "value": None, "n": 0}
                for metric in ("accuracy", "accuracy_low", "accuracy_high")
            ]
        splits = hits_of(members[asked], kept)
        interval = bootstrap_interval(splits, draws=draws, shared_groups=True)
        values = {
            "accuracy": interval.mean,
            "accuracy_low": interval.low,
            "accuracy_high": interval.high,
        }
        return [
            {"metric": metric, "value": value, "n": interval.n} for metric, value in values.items()
        ]

    return measured(
        experiment,
        questions,
        answer,
        version=VERSION,
        profile=profile,
        label="bootstrap intervals",
    )


def rule_table(rows: pd.DataFrame, names: dict[tuple[str, str], str]) -> pd.DataFrame:
    """Accuracy [%] averaged over held-out modalities, a line per method, a column per rule.

    `names` maps (algorithm, variant) to what a table calls it. A dash where a rule lacks runs.
    """
    import pandas as pd

    own = rows[rows["modality"] == MEAN]
    own = own.assign(rule=[json.loads(h)["rule"] for h in own["hparams"]])
    lines = []
    for (algorithm, variant), name in names.items():
        line = {"Method": name}
        for rule, about in RULES.items():
            here = own[
                (own["algorithm"] == algorithm)
                & (own["variant"] == variant)
                & (own["rule"] == rule)
            ].set_index("metric")["value"]
            line[about.title.capitalize()] = (
                f"{100 * here['accuracy']:.1f} [{100 * here['accuracy_low']:.1f}, "
                f"{100 * here['accuracy_high']:.1f}]"
                if len(here) and here.notna().all()
                else "–"
            )
        lines.append(line)
    return pd.DataFrame(lines)
