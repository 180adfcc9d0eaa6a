"""What each selection rule loses: the best test score it could have chosen minus its choice's.

Of DomainBed's question, whether a result is of the method or of how its checkpoint was selected
(Gulrajani & Lopez-Paz 2021, section 3); the regret is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.held_out import method_name, percent
from mglib.analysis.statistics import Interval, resampled_interval
from mglib.errors import MglibError, unknown
from mglib.registry import algorithms
from mglib.trials.selection import OURS, RULES, Parts, held_out, reported

if TYPE_CHECKING:
    import pandas as pd

ORACLE = "test-modality"
# What is measured, and what a figure's axis calls it.
AGAINST = {
    "regret": "Accuracy lost against the best checkpoint of any draw [points]",
    "behind_oracle": "Accuracy lost against the choice of the oracle [points]",
}
_METHOD = ["dataset", "perceptor", "algorithm", "variant"]
_RUN = [*_METHOD, "seed", "split_seed", "train"]
_CELL = ["dataset", "perceptor", "method", "rule"]


def _reported_scores(
    rows: pd.DataFrame, metric: str, parts: Parts, modalities: list[str] | None
) -> pd.DataFrame:
    """Rows of the held-out modality in the reported part, of runs that leave out exactly one."""
    single = rows[held_out(rows, modalities).str.len() == 1]
    shown = reported(single, parts, modalities)
    return shown[shown["metric"] == metric]


def regrets(
    rows: pd.DataFrame,
    metric: str = "accuracy",
    parts: Parts = OURS,
    modalities: list[str] | None = None,
) -> pd.DataFrame:
    """A line for every run that leaves out one modality, and every rule: what the rule lost.

    A run is all draws and checkpoints of one dataset, perceptor, algorithm, variant, training set,
    seed and split. Columns: those, modality, method, rule, `reachable` (the best reported score
    among them all), `score` (of the rule's choice), `oracle` (of the oracle's), `regret` (reachable
    minus score, at least 0) and `behind_oracle` (oracle minus score; below 0 where a rule found a
    better checkpoint than the oracle, which sees last steps only). The best of many noisy scores is
    more than any rule can be expected to reach, so regrets compare rules rather than measure waste.
    Methods that do not learn are left out, and of a rule those that lack runs it needs. Raises
    MglibError for a run of which the choice diverged: a mean without it would flatter the rule.
    """
    import pandas as pd

    rows = rows[np.array([algorithms.get(name).learns for name in rows["algorithm"]], bool)]
    candidates = _reported_scores(rows, metric, parts, modalities)
    best = candidates.groupby(_RUN, as_index=False)["value"].max()
    best = best.rename(columns={"value": "reachable"})
    found = []
    for name, rule in RULES.items():
        lacking = set(rule.missing(rows, modalities)[_METHOD].itertuples(index=False, name=None))
        chosen = rule.choose(rows, metric, parts, modalities)
        chosen = _reported_scores(chosen, metric, parts, modalities)
        methods = chosen[_METHOD].itertuples(index=False, name=None)
        whole = chosen[np.array([method not in lacking for method in methods], bool)]
        found.append(whole.rename(columns={"value": "score"}).assign(rule=name))
    table = pd.concat(found)[[*_RUN, "modality", "rule", "score"]].merge(best, on=_RUN)
    if table["score"].isna().any():
        lost = table[table["score"].isna()].iloc[0]
        raise MglibError(
            f"the choice of {lost['algorithm']} ({lost['variant']}) trained on {lost['train']} by "
            f"{lost['rule']} diverged in split {lost['split_seed']}, seed {lost['seed']}; lower "
            "its learning rate"
        )
    oracle = table.loc[table["rule"] == ORACLE, [*_RUN, "score"]]
    table = table.merge(oracle.rename(columns={"score": "oracle"}), on=_RUN, how="left")
    pairs = zip(table["algorithm"], table["variant"], strict=True)
    return table.assign(
        method=pd.Series([method_name(*pair) for pair in pairs], dtype=object),
        regret=table["reachable"] - table["score"],
        behind_oracle=table["oracle"] - table["score"],
    )


def regret_by_split(lost: pd.DataFrame, column: str = "regret") -> pd.DataFrame:
    """Means of a column of `regrets` over seeds and held-out modalities, per method and rule.

    Columns dataset, perceptor, method, rule, split_seed, value. `column` is one of AGAINST; the
    oracle is not held against itself.
    Raises MglibError for another column.
    """
    if column not in AGAINST:
        raise unknown("measure of a rule's loss", column, AGAINST)
    if column == "behind_oracle":
        lost = lost[(lost["rule"] != ORACLE) & lost["oracle"].notna()]
    means = lost.groupby([*_CELL, "split_seed"], as_index=False, sort=False)[column].mean()
    return means.rename(columns={column: "value"})


def regret_intervals(lost: pd.DataFrame, test_share: float, column: str = "regret") -> pd.DataFrame:
    """Mean and interval over splits for every method and rule: mean, low, high, splits.

    `test_share` of the instances is tested in each split. Raises MglibError for fewer than two
    splits.
    """
    import pandas as pd

    lines = []
    for cell, own in regret_by_split(lost, column).groupby(_CELL, sort=False):
        interval = resampled_interval(own["value"].tolist(), test_share)
        line = {"mean": interval.mean, "low": interval.low, "high": interval.high}
        lines.append(dict(zip(_CELL, cell, strict=True)) | line | {"splits": interval.n})
    return pd.DataFrame(lines, columns=[*_CELL, "mean", "low", "high", "splits"])


def regret_table(lost: pd.DataFrame, test_share: float, column: str = "regret") -> pd.DataFrame:
    """What each rule loses [points], a line per method, a column per rule; a dash if it lacks runs.

    Every cell is a mean with half its interval over splits. Dataset and perceptor are told where
    there are several.
    """
    import pandas as pd

    intervals = regret_intervals(lost, test_share, column)
    told = [name for name in ("dataset", "perceptor") if intervals[name].nunique() > 1]
    lines = []
    for place, own in intervals.groupby(_CELL[:-1], sort=False):
        known = dict(zip(_CELL, place, strict=False))
        line = {name.capitalize(): known[name] for name in told} | {"Method": known["method"]}
        by_rule = own.set_index("rule")
        for name, rule in RULES.items():
            if column == "behind_oracle" and name == ORACLE:
                continue
            cell = "–"
            if name in by_rule.index:
                at = by_rule.loc[name]
                interval = Interval(at["mean"], at["low"], at["high"], int(at["splits"]))
                cell = percent(interval, signed=column == "behind_oracle")
            line[rule.title.capitalize()] = cell
        lines.append(line)
    return pd.DataFrame(lines)
