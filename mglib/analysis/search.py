"""What random search does to a result: what it gains, and how much of the spread is its own.

DomainBed's code draws hyper-parameters anew in every trial, so that its "±" holds the spread of the
draws, while its readers expect one draw repeated (issues 103 and 111 of its repository). Where
every draw is run in every split, both can be told apart; the analysis is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.held_out import (
    held_out_values,
    method_interval,
    method_name,
    paired_difference,
    percent,
    verdict,
)
from mglib.analysis.pairs import p_value
from mglib.analysis.regret import regret_by_split
from mglib.analysis.statistics import Interval
from mglib.errors import MglibError
from mglib.trials.selection import RULES, alone, held_out, reported, training_modality_validation

if TYPE_CHECKING:
    import pandas as pd

TRIALS = 3  # behind every cell of the published tables


@dataclass(frozen=True)
class Components:
    """Variances of values [draws, splits]: of draws, of splits, and of what both leave.

    `p` is that of the F test that all draws are alike.
    """

    draws: float
    splits: float
    rest: float
    p: float

    def plus_minus(self, trials: int, anew: bool) -> float:
        """Standard error of a mean over trials with one draw, or with one drawn anew in each."""
        return float(((anew * self.draws + self.splits + self.rest) / trials) ** 0.5)


def variance_components(values: np.ndarray) -> Components:
    """Components of a two-way table [draws, splits] with one value in each cell.

    Mean squares are set equal to their expectations in the model mean + draw + split + rest, all
    random (Searle, Casella & McCulloch 1992, chapter 4); an estimate below 0 becomes 0. Raises
    MglibError for fewer than two draws or splits, or values that are not finite.
    """
    from scipy.stats import f

    x = np.asarray(values, float)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise MglibError(
            "variance components need finite values of at least two draws in at least two splits, "
            f"not {x.shape[0]} draws in {x[0].size if len(x) else 0} splits"
        )
    draws, splits = x.shape
    of_draw, of_split = x.mean(1, keepdims=True), x.mean(0, keepdims=True)
    free = (draws - 1) * (splits - 1)
    # Equal rows or columns leave rounding behind, which no test may take for a spread.
    least = (1e-12 * float(np.abs(x).max())) ** 2
    squares = {
        "draws": splits * (of_draw - x.mean()) ** 2 / (draws - 1),
        "splits": draws * (of_split - x.mean()) ** 2 / (splits - 1),
        "rest": (x - of_draw - of_split + x.mean()) ** 2 / free,
    }
    mean = {name: float(own.sum()) for name, own in squares.items()}
    mean = {name: value if value > least else 0.0 for name, value in mean.items()}
    if mean["rest"]:
        p = float(f.sf(mean["draws"] / mean["rest"], draws - 1, free))
    else:
        p = 0.0 if mean["draws"] else 1.0
    return Components(
        max(0.0, (mean["draws"] - mean["rest"]) / splits),
        max(0.0, (mean["splits"] - mean["rest"]) / draws),
        mean["rest"],
        p,
    )


def draw_values(rows: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """Test scores on the held-out modality of every draw by itself.

    Columns method, draw, split_seed, value. Means over held-out modalities and seeds of runs that
    leave out one modality; the checkpoint is chosen by training-modality validation among those of
    the draw. NaN where a run of the draw has no finite checkpoint: its mean would not be of the
    same modalities.
    """
    import pandas as pd

    single = rows[held_out(rows).str.len() == 1]
    chosen = [
        reported(training_modality_validation(own, metric)) for _, own in single.groupby("draw")
    ]
    table = pd.concat(chosen)
    table = table[table["metric"] == metric]
    pairs = zip(table["algorithm"], table["variant"], strict=True)
    named = table.assign(method=[method_name(*pair) for pair in pairs])
    cell = ["method", "draw", "split_seed"]
    means = named.groupby(cell, sort=False)["value"].agg(lambda own: own.mean(skipna=False))
    return means.astype(float).reset_index()


def drawn_table(values: pd.DataFrame, method: str) -> np.ndarray:
    """Scores [draws, splits] of a method's random draws, without those that diverged in a split.

    `values` as from `draw_values`; draw 0, the defaults, was not drawn.
    """
    own = values[(values["method"] == method) & (values["draw"] > 0)]
    table = own.pivot_table(
        index="draw", columns="split_seed", values="value", dropna=False, aggfunc="mean"
    )
    return table.dropna().to_numpy(float)


def spread_table(values: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """How far draws and splits spread each method [points], and the "±" of three trials so made.

    Columns Method, Draws (random ones without divergence), standard deviations Between draws,
    Between splits and Rest, p of equal draws, ± of one draw, ± of new draws. Dashes for a method of
    which fewer than two draws are left.
    """
    import pandas as pd

    lines = []
    for method in methods:
        table = drawn_table(values, method)
        words = ["–"] * 6
        if len(table) > 1:
            found = variance_components(table)
            spreads = [part**0.5 for part in (found.draws, found.splits, found.rest)]
            errors = [found.plus_minus(TRIALS, anew) for anew in (False, True)]
            words = [percent(value) for value in (*spreads, *errors)]
            words.insert(3, p_value(found.p))
        names = [
            "Between draws",
            "Between splits",
            "Rest",
            "p (draws)",
            "± one draw",
            "± new draws",
        ]
        line = {"Method": method, "Draws": len(table)}
        lines.append(line | dict(zip(names, words, strict=True)))
    return pd.DataFrame(lines)


def searched_values(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`held_out_values` of the defaults alone, and of the choice among all draws.

    Both by training-modality validation. Raises MglibError for a choice that diverged.
    """
    single = alone(rows)
    return (
        held_out_values(training_modality_validation(single[single["draw"] == 0]), supervised=""),
        held_out_values(training_modality_validation(single), supervised=""),
    )


def _both(defaults: pd.DataFrame, searched: pd.DataFrame, method: str) -> pd.DataFrame:
    """One method's values on both sides, which take the method's place."""
    import pandas as pd

    sides = (("defaults", defaults), ("searched", searched))
    return pd.concat([own[own["method"] == method].assign(method=name) for name, own in sides])


def gain(
    defaults: pd.DataFrame, searched: pd.DataFrame, method: str, test_share: float
) -> Interval:
    """Accuracy of the choice among all draws minus that of the defaults, paired by split.

    `defaults`, `searched` as from `searched_values`; `test_share` of the instances is tested.
    """
    both = _both(defaults, searched, method)
    return paired_difference(both, None, "searched", "defaults", test_share)


def gain_table(
    defaults: pd.DataFrame, searched: pd.DataFrame, methods: Sequence[str], test_share: float
) -> pd.DataFrame:
    """Accuracy [%] of the defaults and of the choice among all draws, their `gain`, verdict."""
    import pandas as pd

    lines = []
    for method in methods:
        both = _both(defaults, searched, method)
        gap = gain(defaults, searched, method, test_share)
        lines.append(
            {
                "Method": method,
                "Defaults": percent(method_interval(both, None, "defaults", test_share)),
                "Searched": percent(method_interval(both, None, "searched", test_share)),
                "Difference": percent(gap, signed=True),
                "Verdict": verdict(gap),
            }
        )
    return pd.DataFrame(lines)


def rule_values(lost: pd.DataFrame, column: str = "regret") -> pd.DataFrame:
    """Means of a column of `regrets` over methods, for every rule and split.

    Columns method (the title of a rule), split_seed, value. Only rules that have a value of some
    method, and of these only methods that they all have, so that rules can be compared with each
    other (`mglib.analysis.pairs.compare_methods`).
    """
    values = regret_by_split(lost, column)
    rules = values.groupby("method")["rule"].nunique()
    whole = values[values["method"].isin(rules[rules == values["rule"].nunique()].index)]
    means = whole.groupby(["rule", "split_seed"], as_index=False)["value"].mean()
    titles = {name: rule.title.capitalize() for name, rule in RULES.items()}
    order = means["rule"].map(list(RULES).index)
    means = means.assign(method=means["rule"].map(titles)).iloc[order.argsort(kind="stable")]
    return means[["method", "split_seed", "value"]].reset_index(drop=True)
