"""Which part of MoNA does what: its variants beside it, by the part that each changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mglib.analysis.held_out import percent
from mglib.analysis.statistics import Interval, interval_of
from mglib.transfer.results.values import (
    by_split,
    compare_to,
    differences,
    method_title,
    value_cell,
)
from mglib.transfer.targets import target_named

if TYPE_CHECKING:
    import pandas as pd

MONA = "mona"
# What a variant is judged by: the column of `chosen`, and its word in tables.
QUANTITIES = {"own": "error", "probe_accuracy": "source"}
BEYOND = "†"  # marks a difference that is no tie


@dataclass(frozen=True)
class Part:
    """A part of MoNA: its title, what MoNA has there, and what its variants have instead.

    `instead` holds words by the name of the method.
    """

    title: str
    own: str
    instead: Mapping[str, str]


PARTS = (
    Part("stage 1", "there is one", {"fine_tuning": "none"}),
    Part(
        "outer loss",
        "both terms",
        {
            "warm_up": "none",
            "mona@uniform=0": "alignment alone",
            "mona@align=0": "uniformity alone",
        },
    ),
    Part("outer weight", "0.5", {"mona@weight=0.05": "0.05", "mona@weight=5": "5"}),
    Part("stage 1, share", "0.2", {"mona@share=0.1": "0.1", "mona@share=0.4": "0.4"}),
    Part("stage 1, rate", "10", {"mona@rate=1": "1"}),
    Part("inner rate", "0.01", {"mona@inner_rate=0.001": "0.001", "mona@inner_rate=0.1": "0.1"}),
    Part("inner steps", "1", {"mona@inner_steps=3": "3"}),
    Part(
        "virtual step of",
        "all",
        {"mona@virtual=encoder": "the encoder", "mona@virtual=norms": "its norms"},
    ),
    Part("source set, share", "1", {"mona@surrogate=0.1": "0.1"}),
)
METHODS = (MONA, *(name for part in PARTS for name in part.instead))
# MoNA itself as long as there is one inner step, for the source never meets the predictor.
SAME = "mona@virtual=encoder"


def places(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The part that each method changes and what it has there, in the order of PARTS.

    Methods that are no variant of a part come last, under "other"; MoNA itself is left out.
    """
    known = {name: (part.title, words) for part in PARTS for name, words in part.instead.items()}
    others = {name: ("other", method_title(name)) for name in methods if name not in known}
    return {name: at for name, at in {**known, **others}.items() if name in {*methods} - {MONA}}


def part_gaps(
    values: pd.DataFrame, shares: Mapping[str, float], methods: Sequence[str]
) -> pd.DataFrame:
    """Every variant but SAME minus MoNA, paired by split, in what it is judged by, on every target.

    Columns quantity (of QUANTITIES), part, words, method, target, mean, low, high, n and verdict:
    that of `compare_to`, each quantity a family of its own, or "untested" of a single split, which
    has no interval. `values` as from `chosen`, `shares` are the tested share of instances by
    target.
    """
    import pandas as pd

    values, rows = values[values["method"] != SAME], []
    for column in QUANTITIES:
        tested = compare_to(values, shares, column, MONA, one_family=True).set_index(
            ["method", "target"]
        )
        gaps = differences(values, column, MONA)
        for method, (part, words) in places(methods).items():
            own = gaps[gaps["method"] == method]
            for target, found in own.groupby("target", observed=True)["value"]:
                at = interval_of(found.tolist(), shares[str(target)])
                said = tested["verdict"].get((method, target), "untested")
                rows.append(
                    (column, part, words, method, target, at.mean, at.low, at.high, at.n, said)
                )
    columns = ["quantity", "part", "words", "method", "target", "mean", "low", "high", "n"]
    return pd.DataFrame(rows, columns=[*columns, "verdict"])


def gap_text(own: pd.Series) -> str:
    """One of `part_gaps` in points: the mean, with half its interval if there is one."""
    if own["n"] < 2:
        return percent(float(own["mean"]), signed=True)
    return percent(Interval(own["mean"], own["low"], own["high"], int(own["n"])), signed=True)


def _table(
    names: tuple[str, ...],
    lines: Mapping[str, tuple[str, ...]],
    values: pd.DataFrame,
    cell: Callable[[str, str, str], str],
) -> pd.DataFrame:
    """A line for each method, a column for each quantity of each target with runs.

    What `lines` say of a method stands first, under `names`.
    """
    import pandas as pd

    targets = values["target"].cat.remove_unused_categories().cat.categories
    heads = {
        (target, column): f"{target_named(target).title}: {word}"
        for column, word in QUANTITIES.items()
        for target in targets
    }
    rows = [(*words, *(cell(method, *at) for at in heads)) for method, words in lines.items()]
    return pd.DataFrame(rows, columns=[*names, *heads.values()])


def level_table(
    values: pd.DataFrame, shares: Mapping[str, float], methods: Sequence[str]
) -> pd.DataFrame:
    """MoNA and every variant: error and what is kept of the source on every target, in per cent."""
    own = {part.title: part.own for part in PARTS}
    lines = {MONA: ("MoNA", "", "")} if MONA in methods else {}
    for method, (part, words) in places(methods).items():
        lines[method] = (part, own.get(part, "–"), words)
    means = {column: by_split(values, column) for column in QUANTITIES}
    return _table(
        ("Part", "MoNA's", "Variant's"),
        lines,
        values,
        lambda method, target, column: value_cell(means[column], target, method, shares),
    )


def gap_table(values: pd.DataFrame, gaps: pd.DataFrame) -> pd.DataFrame:
    """`part_gaps` as a line per variant, in points; BEYOND marks what is no tie."""
    known = gaps.set_index(["method", "target", "quantity"])

    def cell(method: str, target: str, column: str) -> str:
        if (method, target, column) not in known.index:
            return "–"
        own = known.loc[(method, target, column)]
        return gap_text(own) + BEYOND * (own["verdict"] in ("lower", "higher"))

    lines = {own.method: (own.part, own.words) for own in gaps.itertuples(index=False)}
    return _table(("Part", "Variant's"), lines, values, cell)


def kept_with_error(values: pd.DataFrame) -> pd.DataFrame:
    """By target and split: whether methods that keep more of their source have a lower error.

    Columns target, split_seed, methods and correlation: Spearman's, over the methods, of probe
    accuracy and error; negative where keeping goes with a better target. Fewer than three methods,
    or a quantity that is alike for all, have none and are left out.
    """
    import pandas as pd

    both = pd.concat([by_split(values, column) for column in QUANTITIES], axis=1).dropna()
    rows = [
        (target, split, len(own), own["own"].corr(own["probe_accuracy"], method="spearman"))
        for (target, split), own in both.groupby(["target", "split_seed"], observed=True)
        if len(own) > 2 and (own.nunique() > 1).all()
    ]
    return pd.DataFrame(rows, columns=["target", "split_seed", "methods", "correlation"])


def _by_target(texts: Mapping[str, str]) -> str:
    """What is said of each target, in one line, the target behind it."""
    return "; ".join(f"{own} ({target_named(name).title})" for name, own in texts.items()) or "none"


def told(gaps: pd.DataFrame, verdict: str) -> str:
    """The variants with a verdict, each with the target that it holds on."""
    return (
        "; ".join(
            f"{own.part}: {own.words} ({target_named(str(own.target)).title})"
            for own in gaps[gaps["verdict"] == verdict].itertuples(index=False)
        )
        or "none"
    )


def gap_texts(gaps: pd.DataFrame, method: str) -> str:
    """One variant's differences from MoNA on every target, of `part_gaps` of one quantity."""
    own = gaps[gaps["method"] == method]
    return _by_target({str(gap["target"]): gap_text(gap) for _, gap in own.iterrows()})


def reach(gaps: pd.DataFrame) -> str:
    """How small an effect `part_gaps` can tell: half the median interval of each quantity."""
    halves = (gaps["high"] - gaps["low"]).div(2).groupby(gaps["quantity"]).median().dropna()
    if halves.empty:
        return "Of a single split nothing can be tested"
    own, probe = (percent(float(halves[name])) for name in QUANTITIES)
    return (
        f"Half an interval is {own} points of error in the median and {probe} of the probe, "
        "so that smaller effects are out of reach"
    )


def extreme_texts(gaps: pd.DataFrame, which: str) -> str:
    """On every target the variant with the "lowest" or "highest" mean, and its difference."""
    found = {}
    for target, own in gaps.groupby("target", observed=True):
        gap = own.loc[own["mean"].idxmin() if which == "lowest" else own["mean"].idxmax()]
        found[str(target)] = f"{gap['part']}: {gap['words']}, {gap_text(gap)}"
    return _by_target(found)


def correlation_texts(found: pd.DataFrame) -> str:
    """Of `kept_with_error` the mean over splits on every target, with the least and the most."""

    def said(value: float) -> str:
        return f"{value:+.2f}".replace("-", "−")

    texts = {}
    for target, own in found.groupby("target", observed=True)["correlation"]:
        ends = f", {said(own.min())} to {said(own.max())}" if len(own) > 1 else ""
        texts[str(target)] = f"{said(own.mean())}{ends}"
    return _by_target(texts)
