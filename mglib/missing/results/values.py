"""What trials with missing modalities say: by observed subset, by how many are seen, by law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.held_out import percent
from mglib.analysis.pairs import corrected_t_test, holm, p_value
from mglib.analysis.statistics import Interval, interval_of
from mglib.missing.subsets import subset_label, subsets
from mglib.registry import missing_methods

if TYPE_CHECKING:
    import pandas as pd

    from mglib.missing.trial import MissingTrial

ASKED_ALIKE = ("method", "split_seed", "seed")  # what runs of one setting differ in
ASKED = ("method", "pairing", "law", "rate", "seed", "split_seed")


def chosen(frame: pd.DataFrame, trials: Mapping[str, MissingTrial]) -> pd.DataFrame:
    """Each trial's test values at its chosen checkpoint, a line for each observed subset.

    `frame` are rows, `trials` by key. The checkpoint is the one with the best mean validation
    accuracy (of real answers: the least absolute error) over subsets, weighted by the instances
    that hold them, the first of equals; a trial that diverged before its first is left out.
    Columns: method, pairing, law, rate, seed, split_seed, key, step, subset, seen, the metrics, and
    what may choose between estimators: the metrics on the validation part, as `validation_...`.
    """
    import pandas as pd

    own = frame[frame["key"].isin(trials)]
    score, sign = ("mae", -1) if "mae" in set(own["metric"]) else ("accuracy", 1)
    validation = own[(own["split"] == "validation") & (own["metric"] == score)]
    weighed = (sign * validation["value"] * validation["n"]).groupby(
        [validation["key"], validation["step"]]
    )
    means = weighed.sum(min_count=1) / validation.groupby(["key", "step"])["n"].sum()
    means = means.dropna()
    test = own[own["split"] == "test"]
    ends = test[test["value"].isna() & (test["metric"] == score)]
    lost = pd.MultiIndex.from_frame(ends[["key", "step"]])
    means = means[~means.index.isin(lost)]
    steps = {key: by_step.idxmax()[1] for key, by_step in means.groupby(level="key", sort=False)}
    here = test[test["step"] == test["key"].map(steps)]
    cells = ["key", "step", "modality"]
    held = own[(own["split"] == "validation") & (own["step"] == own["key"].map(steps))]
    wide = here.pivot_table(index=cells, columns="metric", values="value", sort=False).join(
        held.pivot_table(index=cells, columns="metric", values="value", sort=False).add_prefix(
            "validation_"
        )
    )
    wide = wide.reset_index()
    for place, name in enumerate(ASKED):
        values = wide["key"].map(lambda key, name=name: getattr(trials[key], name))
        wide.insert(place, name, values)
    wide = wide.rename(columns={"modality": "subset"})
    wide.insert(len(ASKED) + 3, "seen", wide["subset"].str.count(r"\+") + 1)
    return wide.rename_axis(columns=None)


def by_split(values: pd.DataFrame, keys: Sequence[str], column: str) -> pd.Series:
    """One value per `keys` and split: the mean over subsets and seeds."""
    return values.groupby([*keys, "split_seed"], sort=False)[column].mean()


def under_law(
    values: pd.DataFrame,
    shares: Mapping[tuple[bool, ...], float],
    modalities: Sequence[str],
    column: str,
    nothing: float,
) -> pd.Series:
    """The mean under a law of subsets by method and split; `nothing` is the value of seeing none.

    Exact in the law: no table is drawn at test time.
    """
    weights = {subset_label(pattern, modalities): share for pattern, share in shares.items()}
    asked = {subset_label(p, modalities) for p in subsets(len(modalities))}
    none = sum(share for name, share in weights.items() if name not in asked)
    weighted = values[column] * values["subset"].map(weights).fillna(0.0)
    total = weighted.groupby([values["method"], values["split_seed"], values["seed"]]).sum()
    total = total + none * nothing if none else total
    return total.groupby(level=["method", "split_seed"], sort=False).mean()


def intervals(
    values: pd.DataFrame, keys: Sequence[str], share: float, column: str = "accuracy"
) -> pd.DataFrame:
    """Mean and interval over splits of every combination of `keys`: mean, low, high, n."""
    import pandas as pd

    rows = []
    own = by_split(values, keys, column).dropna()
    for place, by_place in own.groupby(level=list(range(len(keys))), sort=False):
        found = interval_of(by_place.tolist(), share)
        place = place if isinstance(place, tuple) else (place,)
        rows.append((*place, found.mean, found.low, found.high, found.n))
    return pd.DataFrame(rows, columns=[*keys, "mean", "low", "high", "n"])


def tuned(values: pd.DataFrame, keys: Sequence[str] = ASKED_ALIKE) -> pd.DataFrame:
    """Of runs that are alike in `keys` the one with the best validation accuracy, first of equals.

    `values` as from `chosen`, of one observed subset; the test part takes no part in the choice.
    """
    sound = values.dropna(subset="validation_accuracy")
    best = sound.groupby([*keys], sort=False)["validation_accuracy"].idxmax()
    return values.loc[best].reset_index(drop=True)


def compare_to(
    values: pd.DataFrame,
    reference: str,
    share: float,
    column: str = "accuracy",
    methods: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Methods (all, or those named) minus `reference` by number of modalities seen, by split.

    Columns method, seen, mean, low, high, n, raw (p), p (Holm's, over the methods of each number
    seen) and verdict: "higher", "lower" or "a tie". Raises KeyError if the reference is not there.
    """
    import pandas as pd

    means = by_split(values, ["method", "seen"], column).unstack("split_seed")
    rows = []
    for method, seen in means.index:
        if method == reference or (methods is not None and method not in methods):
            continue
        gaps = (means.loc[(method, seen)] - means.loc[(reference, seen)]).dropna()
        if len(gaps) < 2:
            continue
        test = corrected_t_test(gaps.tolist(), share)
        own = test.interval
        rows.append((method, seen, own.mean, own.low, own.high, own.n, test.p))
    compared = pd.DataFrame(rows, columns=["method", "seen", "mean", "low", "high", "n", "raw"])
    compared["p"] = compared["raw"]
    for _, family in compared.groupby("seen"):
        compared.loc[family.index, "p"] = holm(family["p"].tolist())
    sign = np.where(compared["mean"] > 0, "higher", "lower")
    compared["verdict"] = np.where(compared["p"] <= 0.05, sign, "a tie")
    return compared


def method_title(name: str) -> str:
    """What tables call a method; settings stay behind its title."""
    _, _, settings = name.partition("@")
    title: str = missing_methods.get(name).title
    return f"{title} ({settings.replace(',', ', ').replace('=', ' ')})" if settings else title


def seen_title(seen: int, modalities: int) -> str:
    """What tables call it that so many of the modalities are seen."""
    words = ("none", "one", "two", "three", "four", "five", "six")
    return "all seen" if seen == modalities else f"{words[seen]} seen"


def seen_table(
    values: pd.DataFrame,
    methods: Sequence[str],
    modalities: int,
    share: float,
    column: str = "accuracy",
) -> pd.DataFrame:
    """Methods as rows, how many are seen as columns: mean ± half the interval, in per cent."""
    import pandas as pd

    found = intervals(values, ["method", "seen"], share, column).set_index(["method", "seen"])
    rows = []
    for method in methods:
        row = {"Method": method_title(method)}
        for seen in range(modalities, 0, -1):
            title = seen_title(seen, modalities)
            if (method, seen) not in found.index:
                row[title] = "–"
                continue
            own = found.loc[(method, seen)]
            interval = Interval(own["mean"], own["low"], own["high"], int(own["n"]))
            row[title] = percent(interval if interval.n > 1 else interval.mean)
        rows.append(row)
    return pd.DataFrame(rows)


def pair_table(compared: pd.DataFrame, modalities: int) -> pd.DataFrame:
    """Method, how many are seen, difference [points] with half its interval, p and verdict."""
    import pandas as pd

    rows = [
        {
            "Method": method_title(str(own.method)),
            "Seen": seen_title(int(own.seen), modalities),
            "Difference": percent(Interval(own.mean, own.low, own.high, own.n), signed=True),
            "p": p_value(own.p),
            "Verdict": own.verdict,
        }
        for own in compared.itertuples(index=False)
    ]
    return pd.DataFrame(rows, columns=["Method", "Seen", "Difference", "p", "Verdict"])
