"""What trials with lost frames say: by law and rate of the loss at test, and areas over rates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from mglib.analysis.held_out import percent
from mglib.analysis.pairs import holm
from mglib.analysis.statistics import LEVEL, Interval
from mglib.missing.frames import auilc
from mglib.missing.results.values import compare_to, intervals
from mglib.missing.sequences.laws import NONE

if TYPE_CHECKING:
    import pandas as pd

    from mglib.missing.sequences.trial import SequenceTrial

ASKED = ("dataset", "perceptor", "way", "trained", "seed", "split_seed")


def trained_on(law: str, rate: float) -> str:
    """What tables call it how a trial lost frames in training."""
    return "whole" if law == NONE else f"{law} {rate:g}"


def at_chosen(frame: pd.DataFrame, trials: Collection[str]) -> pd.DataFrame:
    """Test values of trials on sequences, by key, at the checkpoint that each chose.

    The first with the best validation accuracy; a trial that diverged before its first is left out.
    Columns: key, step, test_pattern, test_rate, and the metrics.
    """
    own = frame[frame["key"].isin(trials)]
    held = own[(own["split"] == "validation") & (own["metric"] == "accuracy")]
    held = held.dropna(subset="value").sort_values("step")
    best = held.loc[held.groupby("key", sort=False)["value"].idxmax()]
    steps = dict(zip(best["key"], best["step"], strict=True))
    test = own[(own["split"] == "test") & (own["step"] == own["key"].map(steps))]
    return test.pivot_table(
        index=["key", "step", "test_pattern", "test_rate"],
        columns="metric",
        values="value",
        sort=False,
    ).reset_index()


def curves(frame: pd.DataFrame, trials: Mapping[str, SequenceTrial]) -> pd.DataFrame:
    """Each trial's test values at its chosen checkpoint, a line for each law and rate of the loss.

    `frame` are rows, `trials` by key; the checkpoint is chosen under the law of training. What was
    tested whole stands at rate 0 of every law. Columns: dataset, perceptor, way, trained, seed,
    split_seed, key, step, law, rate, accuracy, cross_entropy.
    """
    import pandas as pd

    wide = at_chosen(frame, trials)
    wide = wide.rename(columns={"test_pattern": "law", "test_rate": "rate"})
    whole = wide[wide["law"] == NONE]
    laws = list(dict.fromkeys(law for own in trials.values() for law in own.laws))
    wide = pd.concat([*(whole.assign(law=name) for name in laws), wide[wide["law"] != NONE]])
    places = {name: place for place, name in enumerate((*trials, *laws))}
    wide = wide.sort_values(
        ["key", "law", "rate"], key=lambda own: own.map(places).fillna(own), ignore_index=True
    )
    for place, name in enumerate(ASKED):
        values = [
            trained_on(own.law, own.rate) if name == "trained" else getattr(own, name)
            for own in wide["key"].map(trials)
        ]
        wide.insert(place, name, values)
    return wide.rename_axis(columns=None)


def areas(values: pd.DataFrame) -> pd.DataFrame:
    """The area under every curve over rates, by its span: the mean of the curve.

    TFR-Net's AUILC, divided by the span of the rates so that it reads as an accuracy; a line for
    each trial and law, as from `curves`, without rates.
    """
    import pandas as pd

    rows = []
    keys = [*ASKED, "key", "law"]
    for place, own in values.sort_values("rate").groupby(keys, sort=False):
        rates = own["rate"].tolist()
        span = rates[-1] - rates[0]
        found = [auilc(rates, own[name].tolist()) / span for name in ("accuracy", "cross_entropy")]
        rows.append((*place, *found))
    return pd.DataFrame(rows, columns=[*keys, "accuracy", "cross_entropy"])


def contrasts(
    values: pd.DataFrame,
    along: str,
    reference: str,
    keys: Sequence[str],
    share: float,
    column: str = "accuracy",
) -> pd.DataFrame:
    """Every value of column `along` minus `reference`, by split, for each combination of `keys`.

    Columns: keys, `along`, mean, low, high, n, p (Holm's, over the whole table) and verdict:
    "higher", "lower" or "a tie". Empty with fewer than two splits.
    """
    import pandas as pd

    found = []
    for place, own in values.groupby([*keys], sort=False):
        named = own.assign(method=own[along], seen=0)
        tested = compare_to(named, reference, share, column).rename(columns={"method": along})
        for at, (name, value) in enumerate(zip(keys, place, strict=True)):
            tested.insert(at, name, value)
        found.append(tested)
    table = pd.concat(found, ignore_index=True)
    return judged(table.assign(p=table["raw"])).drop(columns=["seen", "raw"])


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Contrasts with p corrected by Holm over the whole table, and their verdicts by it."""
    import numpy as np

    p = holm([float(own) for own in table["p"]])
    sign = np.where(table["mean"] > 0, "higher", "lower")
    return table.assign(p=p, verdict=np.where(np.array(p) <= 1 - LEVEL, sign, "a tie"))


def area_table(
    found: pd.DataFrame, lines: Mapping[str, str], columns: Sequence[str], share: float
) -> pd.DataFrame:
    """Means of curves [%] with half their intervals: a line for each way, a column for each law.

    `found` as from `areas`, of one dataset and one training; `lines` are titles by way.
    """
    import pandas as pd

    cells = intervals(found, ["way", "law"], share).set_index(["way", "law"])
    return pd.DataFrame(
        [
            {"Lost frames": title, **{law: cell_of(cells, (way, law)) for law in columns}}
            for way, title in lines.items()
        ]
    )


def cell_of(cells: pd.DataFrame, place: tuple[object, object]) -> str:
    """Mean and half its interval [%] at a place of `intervals`; "–" if it is not there."""
    if place not in cells.index:
        return "–"
    own = cells.loc[place]
    interval = Interval(own["mean"], own["low"], own["high"], int(own["n"]))
    return percent(interval if interval.n > 1 else interval.mean)
