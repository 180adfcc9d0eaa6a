"""What each defect of ModalBed's published code costs, beside the corrected form.

The published tables are those of https://arxiv.org/abs/2412.18277 (`mglib.analysis.published`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mglib.analysis.held_out import method_interval, method_name, percent, verdict
from mglib.analysis.pairs import by_split, corrected_t_test, holm
from mglib.analysis.published import published
from mglib.analysis.statistics import LEVEL, Interval, resampled_interval
from mglib.analysis.worlds import Method
from mglib.errors import MglibError
from mglib.registry import algorithms
from mglib.trials import learners

if TYPE_CHECKING:
    import pandas as pd

CORRECTED = "corrected"
PRINTED = {"concat": "Concat", "ogm": "OGM", "dlmg": "DLMG", "erm": "ERM"}
SGD = ("ogm", "dlmg")  # of ModalBed's learners those that learn by stochastic gradient descent


def variants_of(names: Sequence[str] | None = None) -> list[Method]:
    """Every variant of each named algorithm (None: of every algorithm) that has more than one.

    Raises MglibError for a named one with a single variant: nothing can be set beside it.
    """
    several = [n for n in algorithms.names() if len(algorithms.get(n).variants) > 1]
    for name in names or ():
        if name in algorithms.names() and name not in several:
            raise MglibError(
                f"'{name}' has one form only; those with a published one are {', '.join(several)}"
            )
    return learners(several if names is None else names)


def defect(algorithm: str, variant: str) -> str:
    """What the code of a variant does wrong; what a variant before it has, too, is not repeated."""
    method = algorithms.get(algorithm)
    told = str(method.defects.get(variant, "another definition, no defect")).rstrip(".")
    for other in method.variants[: method.variants.index(variant)]:
        earlier = method.defects.get(other, "")
        told = told.replace(earlier, "and as above") if earlier else told
    return told[0].lower() + told[1:]


def defect_costs(
    values: pd.DataFrame, methods: Sequence[Method], test_share: float
) -> pd.DataFrame:
    """Corrected minus every other variant, paired by split; one family for Holm's correction.

    `values` as from `scored_values`; a variant without values (it diverged) is left out. Columns
    algorithm, variant, mean, low, high, n, p_holm, verdict (higher, lower, a tie, the same: equal
    in every split).
    """
    import pandas as pd

    table = by_split(values)
    pairs = [
        (algorithm, variant)
        for algorithm, variant in methods
        if variant != CORRECTED
        and {method_name(algorithm, variant), method_name(algorithm, CORRECTED)} <= {*table}
    ]
    gaps = [
        (table[method_name(a, CORRECTED)] - table[method_name(a, v)]).tolist() for a, v in pairs
    ]
    tests = [corrected_t_test(gap, test_share) for gap in gaps]
    lines = []
    for (a, v), gap, test, p in zip(
        pairs, gaps, tests, holm([test.p for test in tests]), strict=True
    ):
        told = verdict(test.interval) if p < 1 - LEVEL else "a tie"
        told = told if any(gap) else "the same"
        interval = test.interval
        lines.append((a, v, interval.mean, interval.low, interval.high, interval.n, p, told))
    columns = ["algorithm", "variant", "mean", "low", "high", "n", "p_holm", "verdict"]
    return pd.DataFrame(lines, columns=columns)


def defect_table(
    values: pd.DataFrame, costs: pd.DataFrame, published_costs: pd.DataFrame, test_share: float
) -> pd.DataFrame:
    """A line per defect: what it is, accuracy [%] with and without it, and what it costs [points].

    `costs` as from `defect_costs` of the same `values`, `published_costs` those under the published
    protocol.
    """
    import pandas as pd

    beside = {(cost.algorithm, cost.variant): cost for cost in published_costs.itertuples()}
    lines = []
    for cost in costs.itertuples(index=False):
        with_it, without_it = (
            percent(method_interval(values, None, method_name(cost.algorithm, v), test_share))
            for v in (cost.variant, CORRECTED)
        )
        lines.append(
            {
                "Learner": method_name(cost.algorithm, cost.variant),
                "What the code does": defect(cost.algorithm, cost.variant),
                "With it": with_it,
                "Corrected": without_it,
                "Cost": _told(cost),
                "Cost, published splits": _told(beside.get((cost.algorithm, cost.variant))),
            }
        )
    return pd.DataFrame(lines)


def listed(costs: pd.DataFrame, *verdicts: str) -> str:
    """The names of the variants whose verdict is one of those given; "none" if there is none."""
    own = costs[costs["verdict"].isin(verdicts)]
    names = [method_name(*pair) for pair in zip(own["algorithm"], own["variant"], strict=True)]
    return ", ".join(names) or "none"


def _told(cost: Any) -> str:
    """A line of `defect_costs` in words: the difference, and whether corrected is higher."""
    if cost is None:
        return "–"
    gap = Interval(cost.mean, cost.low, cost.high, cost.n)
    return f"{percent(gap, signed=True)} ({cost.verdict})"


def above(
    values: pd.DataFrame, methods: Sequence[Method], lower: str, test_share: float
) -> pd.DataFrame:
    """How far each method lies above the method `lower`, paired by split.

    Columns algorithm, variant, mean, low, high as shares; methods without values are left out.
    """
    import pandas as pd

    table = by_split(values)
    lines = []
    for algorithm, variant in methods:
        name = method_name(algorithm, variant)
        if name in table:
            gap = resampled_interval((table[name] - table[lower]).tolist(), test_share)
            lines.append((algorithm, variant, gap.mean, gap.low, gap.high))
    return pd.DataFrame(lines, columns=["algorithm", "variant", "mean", "low", "high"])


def told_above(gaps: pd.DataFrame) -> str:
    """The lines of `above` in words: each variant with its points."""
    return ", ".join(
        f"{method_name(row.algorithm, row.variant)} "
        f"{percent(Interval(row.mean, row.low, row.high, 0), signed=True)}"
        for row in gaps.itertuples(index=False)
    )


def published_above(names: Sequence[str]) -> pd.DataFrame:
    """Printed weak accuracy above the constant predictor [points], means over modalities.

    Training-modality validation. Columns algorithm, perceptor, dataset, gap; `names` are algorithms
    of ours, of which those in `PRINTED` are in ModalBed's tables.
    """
    import pandas as pd

    table = published("weak")
    table = table[table["selection"] == "training-modality"]
    table = table.assign(gap=table["mean"] - table["constant"])
    found = []
    for name in names:
        own = table[table["algorithm"] == PRINTED.get(name)]
        means = own.groupby(["perceptor", "dataset"], as_index=False, sort=False)["gap"].mean()
        found.append(means.assign(algorithm=name))
    return pd.concat(found)[["algorithm", "perceptor", "dataset", "gap"]].reset_index(drop=True)


def published_table_above(
    printed: pd.DataFrame, ours: pd.DataFrame, titles: Mapping[str, str]
) -> pd.DataFrame:
    """Points above a constant answer: the printed range over nine cells, and each variant here.

    `printed` as from `published_above`, `ours` as from `above`; `titles` of variants, in order.
    """
    import pandas as pd

    lines = []
    for name in dict.fromkeys(printed["algorithm"]):
        gaps = printed.loc[printed["algorithm"] == name, "gap"]
        line = {
            "Learner": algorithms.get(name).title,
            "Printed, least": f"{gaps.min():+.1f}".replace("-", "−"),
            "Printed, most": f"{gaps.max():+.1f}".replace("-", "−"),
        }
        for variant, title in titles.items():
            own = ours[(ours["algorithm"] == name) & (ours["variant"] == variant)]
            line[title] = "–"
            if len(own):
                gap = own.iloc[0]
                line[title] = percent(Interval(gap["mean"], gap["low"], gap["high"], 0), True)
        lines.append(line)
    return pd.DataFrame(lines)
