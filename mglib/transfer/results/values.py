"""What transfer runs say: errors on targets, knowledge of the source, and methods side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.held_out import percent
from mglib.analysis.pairs import corrected_t_test, holm
from mglib.analysis.statistics import Interval, interval_of
from mglib.registry import transfers
from mglib.transfer.targets import names_by_place, target_named

if TYPE_CHECKING:
    import pandas as pd

    from mglib.transfer.trial import TransferTrial

REFERENCE_METHOD = "fine_tuning"
TARGET_METRICS = ("error", "nrmse")
SOURCE_METRICS = ("probe_accuracy", "davies_bouldin", "cka")


def curves(
    frame: pd.DataFrame, trials: Mapping[str, TransferTrial], targets: Sequence[str]
) -> pd.DataFrame:
    """Every measured value, by target, method, split_seed, seed, key, step, part and metric.

    `frame` are rows, `trials` by key, `targets` the names asked for, in their order. The metric
    "own" is the target's: share of errors, or nRMSE; those of the source keep their names.
    """
    import pandas as pd

    places = names_by_place(targets)
    own = frame[frame["key"].isin(trials)]
    names = [places[row.dataset, row.perceptor, row.train] for row in own.itertuples(index=False)]
    metric = own["metric"].where(~own["metric"].isin(TARGET_METRICS), "own")
    found = pd.DataFrame(
        {
            "target": pd.Categorical(names, [*targets], ordered=True),
            "method": own["algorithm"].to_numpy(),
            "split_seed": own["split_seed"].to_numpy(),
            "seed": own["seed"].to_numpy(),
            "key": own["key"].to_numpy(),
            "step": own["step"].to_numpy(),
            "part": own["split"].to_numpy(),
            "metric": metric.to_numpy(),
            "value": own["value"].to_numpy(float),
        }
    )
    order = ["target", "method", "split_seed", "seed", "step", "metric", "part"]
    return found.sort_values(order, kind="stable").reset_index(drop=True)


def chosen(found: pd.DataFrame) -> pd.DataFrame:
    """Each run at the checkpoint with its least validation error, the earliest of equals.

    Columns target, method, split_seed, seed, key, step, validation and own (the target's errors),
    and the source's metrics. Step 0 is a checkpoint, too: a run that never was better is read
    untrained, one that was never measured is left out. The test part takes no part in a choice.
    """
    import pandas as pd

    rows = []
    for key, run in found.groupby("key", sort=False):
        validation = run[(run["metric"] == "own") & (run["part"] == "validation")]
        sound = validation.dropna(subset="value")
        if sound.empty:
            continue
        least = sound.loc[sound["value"].idxmin()]
        step = int(least["step"])
        here = run[(run["step"] == step) & (run["part"] == "test")].set_index("metric")["value"]
        first = run.iloc[0]
        rows.append(
            {
                **{name: first[name] for name in ("target", "method", "split_seed", "seed")},
                "key": key,
                "step": step,
                "validation": float(least["value"]),
                **{name: float(here[name]) for name in ("own", *SOURCE_METRICS)},
            }
        )
    columns = ["target", "method", "split_seed", "seed", "key", "step", "validation", "own"]
    columns += SOURCE_METRICS
    values = pd.DataFrame(rows, columns=columns)
    values["target"] = pd.Categorical(
        values["target"], found["target"].cat.categories, ordered=True
    )
    return values


def diverged(found: pd.DataFrame) -> int:
    """How many runs of `curves` ended in numbers that are not finite."""
    own = found[found["metric"] == "own"]
    return int(own.loc[own["value"].isna(), "key"].nunique())


def before(found: pd.DataFrame) -> pd.DataFrame:
    """What the body knew of its source before training: split_seed and the source's metrics."""
    start = found[(found["step"] == 0) & found["metric"].isin(SOURCE_METRICS)]
    wide = start.pivot_table(index="split_seed", columns="metric", values="value", aggfunc="first")
    return wide.reset_index()


def by_split(values: pd.DataFrame, column: str) -> pd.Series:
    """One value per target, method and split: the mean over seeds."""
    keys = ["target", "method", "split_seed"]
    return values.groupby(keys, observed=True)[column].mean()


def differences(
    values: pd.DataFrame, column: str = "own", reference: str = REFERENCE_METHOD
) -> pd.DataFrame:
    """Every other method minus `reference` in every split of every target that both have.

    Columns target, method, split_seed and value; methods in the order of their names.
    """
    import pandas as pd

    columns = ["target", "method", "split_seed", "value"]
    wide = by_split(values, column).unstack("method")
    if reference not in wide:
        return pd.DataFrame(columns=columns)
    gaps = wide.drop(columns=reference).sub(wide[reference], axis=0)
    found = gaps.melt(ignore_index=False).dropna().reset_index()
    return found.sort_values(columns[:3], kind="stable", ignore_index=True)[columns]


def mean_gaps(values: pd.DataFrame) -> pd.DataFrame:
    """Each other method's error minus the reference method's, targets by methods.

    The mean over the splits that both have; NaN without one.
    """
    found = differences(values).groupby(["target", "method"], observed=True)["value"].mean()
    return found.unstack("method")


def compare_to(
    values: pd.DataFrame,
    shares: Mapping[str, float],
    column: str = "own",
    reference: str = REFERENCE_METHOD,
    one_family: bool = False,
) -> pd.DataFrame:
    """Every method minus `reference` on every target, paired by split.

    Columns target, method, mean, low, high, n, raw (p), p (Holm's, over the targets of a method:
    whether it differs anywhere is one question; as `one_family` over all rows) and verdict:
    "lower", "higher" or "a tie". `shares` are the tested share of instances by target. Pairs with
    fewer than two splits are left out.
    """
    import pandas as pd

    rows = []
    gaps = differences(values, column, reference)
    for (target, method), own in gaps.groupby(["target", "method"], observed=True)["value"]:
        if len(own) < 2:
            continue
        test = corrected_t_test(own.tolist(), shares[target])
        at = test.interval
        rows.append((target, method, at.mean, at.low, at.high, at.n, test.p))
    columns = ["target", "method", "mean", "low", "high", "n", "raw"]
    compared = pd.DataFrame(rows, columns=columns)
    compared["p"] = compared["raw"]
    for _, family in [("", compared)] if one_family else compared.groupby("method"):
        compared.loc[family.index, "p"] = holm(family["raw"].tolist())
    sign = np.where(compared["mean"] > 0, "higher", "lower")
    compared["verdict"] = np.where(compared["p"] <= 0.05, sign, "a tie")
    return compared


def beyond_all(compared: pd.DataFrame) -> int:
    """How many differences of `compare_to` are no tie with Holm's correction over all of them."""
    return sum(p <= 0.05 for p in holm(compared["raw"].tolist()))


def listed(targets: Iterable[str]) -> str:
    """Titles of targets, which may hold commas, in a sentence."""
    return "; ".join(target_named(name).title for name in targets) or "none"


def told_on(compared: pd.DataFrame, method: str, verdict: str) -> str:
    """The targets on which `compare_to` has a verdict on a method, in a sentence."""
    own = compared[(compared["method"] == method) & (compared["verdict"] == verdict)]
    return listed(map(str, own["target"]))


def tuned(values: pd.DataFrame) -> pd.DataFrame:
    """Of runs that differ in their learning rate alone, the one with the least validation error.

    `values` as from `chosen`, one row per run; the first of equals.
    """
    asked = ["target", "method", "split_seed", "seed"]
    best = values.groupby(asked, observed=True)["validation"].idxmin()
    return values.loc[best].reset_index(drop=True)


def beside_shorter(values: pd.DataFrame, shorter: pd.DataFrame) -> pd.DataFrame:
    """Mean errors of all methods by target, and of `shorter` runs of the reference method.

    Over the splits that the shorter runs of a target have; both frames are as from `chosen`. The
    columns are the methods, then "shorter"; only targets with shorter runs are there.
    """
    brief = by_split(shorter, "own").droplevel("method").rename("shorter")
    wide = by_split(values, "own").unstack("method").join(brief, how="inner")
    return wide.groupby("target", observed=True).mean()


def method_title(name: str) -> str:
    """What tables call a method; settings stay behind its title."""
    _, _, settings = name.partition("@")
    title: str = transfers.get(name).title
    return f"{title} ({settings})" if settings else title


def value_cell(means: pd.Series, target: str, method: str, shares: Mapping[str, float]) -> str:
    """Mean ± half the interval over splits in per cent; a dash without a run, no half of one split.

    `means` as from `by_split`.
    """
    try:
        own = means[target, method].tolist()
    except KeyError:
        return "–"
    interval = interval_of(own, shares[target])
    return percent(interval if interval.n > 1 else interval.mean)


def value_table(
    values: pd.DataFrame, shares: Mapping[str, float], methods: Sequence[str], column: str = "own"
) -> pd.DataFrame:
    """Methods as rows, targets as columns: cells as of `value_cell`."""
    import pandas as pd

    means = by_split(values, column)
    targets = [name for name in values["target"].cat.categories if name in set(values["target"])]
    rows = []
    for method in methods:
        row = {"Method": method_title(method)}
        for target in targets:
            row[target_named(target).title] = value_cell(means, target, method, shares)
        rows.append(row)
    return pd.DataFrame(rows)


def pair_grid(compared: pd.DataFrame) -> pd.DataFrame:
    """Differences of `compare_to` [points] with half their intervals, in bold what is no tie.

    Methods are rows, targets columns, in the order in which they first come; a dash where there is
    no pair.
    """
    import pandas as pd

    cells: dict[str, dict[str, str]] = {}
    targets = list(dict.fromkeys(target_named(str(name)).title for name in compared["target"]))
    for own in compared.itertuples(index=False):
        text = percent(Interval(own.mean, own.low, own.high, own.n), signed=True)
        line = cells.setdefault(method_title(str(own.method)), dict.fromkeys(targets, "–"))
        bold = own.verdict != "a tie"
        line[target_named(str(own.target)).title] = f"**{text}**" if bold else text
    return pd.DataFrame(
        [{"Method": title, **line} for title, line in cells.items()], columns=["Method", *targets]
    )


def mean_ranks(values: pd.DataFrame) -> pd.Series:
    """Mean rank of each method over the targets that all have, 1 the lowest error; ties share."""
    wide = by_split(values, "own").groupby(["target", "method"], observed=True).mean().unstack()
    return wide.dropna().rank(axis=1).mean().sort_values()


def kept_against_error(
    values: pd.DataFrame, method: str = "mona", reference: str = REFERENCE_METHOD
) -> pd.DataFrame:
    """By target and split: what `method` keeps of the source more, and its error over that.

    Columns target, split_seed, kept (difference of probe accuracies) and error (ratio of errors,
    both to those of `reference`); where the two have runs of both.
    """
    import pandas as pd

    wide = {name: by_split(values, name).unstack("method") for name in ("probe_accuracy", "own")}
    if not {method, reference} <= set(wide["own"].columns):
        return pd.DataFrame(columns=["target", "split_seed", "kept", "error"])
    kept = wide["probe_accuracy"][method] - wide["probe_accuracy"][reference]
    error = wide["own"][method] / wide["own"][reference]
    return pd.DataFrame({"kept": kept, "error": error}).dropna().reset_index()
