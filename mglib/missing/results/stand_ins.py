"""What trials with a missing sequence say: by stand-in, share of incomplete rows, and pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mglib.missing.results.lost_frames import at_chosen, cell_of, contrasts, judged
from mglib.missing.results.values import intervals
from mglib.missing.sequences.laws import NONE

if TYPE_CHECKING:
    import pandas as pd

    from mglib.missing.sequences.virtual_trial import VirtualTrial

ASKED = (
    *("dataset", "perceptor", "present", "missing", "line", "stand_in", "matching"),
    *("rate", "seed", "split_seed"),
)


def line_of(stand_in: str, matching: str) -> str:
    """The name of a stand-in with the level of its matching, in tables of values."""
    return f"{stand_in}/{matching}"


def lacking(frame: pd.DataFrame, trials: Mapping[str, VirtualTrial]) -> pd.DataFrame:
    """Each trial's test values at its chosen checkpoint, complete and without the second sequence.

    `frame` are rows, `trials` by key. Columns: dataset, perceptor, present, missing, line (see
    `line_of`), stand_in, matching, rate (of incomplete rows in training), seed, split_seed, key,
    step, complete (whether both sequences are there), accuracy, cross_entropy.
    """
    import pandas as pd

    wide = at_chosen(frame, trials)
    asked = [
        (
            *(own.dataset, own.perceptor, *own.modalities, line_of(own.stand_in, own.matching)),
            *(own.stand_in, own.matching, own.rate, own.seed, own.split_seed),
        )
        for own in (trials[key] for key in wide["key"])
    ]
    complete = wide.pop("test_pattern") == NONE
    wide = wide.drop(columns="test_rate")
    wide.insert(2, "complete", complete)
    return pd.concat([pd.DataFrame(asked, columns=[*ASKED]), wide], axis=1)


def at_every_rate(
    values: pd.DataFrame, lines: Sequence[str], rates: Sequence[float]
) -> pd.DataFrame:
    """Values with those of `lines`, which read no second sequence, repeated at each of `rates`.

    Of the present modality alone the share of incomplete rows changes nothing.
    """
    import pandas as pd

    same = values["line"].isin(lines)
    return pd.concat(
        [values[~same], *(values[same].assign(rate=float(rate)) for rate in rates)],
        ignore_index=True,
    )


def against(
    values: pd.DataFrame, along: str, reference: str, keys: Sequence[str], share: float
) -> pd.DataFrame:
    """Every value of column `along` minus `reference`, by split, for each combination of `keys`.

    Means over the rates that both have. Columns as of `lost_frames.contrasts`, p by Holm over the
    whole table; empty with fewer than two splits, or where nothing stands beside the reference.
    """
    import pandas as pd

    found = []
    for _, own in values.groupby([*keys], sort=False):
        known = own[own[along] == reference]
        for _, other in own[own[along] != reference].groupby(along, sort=False):
            rates = {*known["rate"]} & {*other["rate"]}
            both = pd.concat([known, other])
            if rates:
                both = both[both["rate"].isin(rates)]
                found.append(contrasts(both, along, reference, keys, share))
    columns = [*keys, along, "mean", "low", "high", "n", "p", "verdict"]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
    return judged(table)[columns]


def rate_table(
    values: pd.DataFrame, lines: Mapping[str, str], rates: Sequence[float], share: float
) -> pd.DataFrame:
    """Accuracy [%] with half its interval: a line for each stand-in, a column for each rate.

    `values` as from `lacking`, of one pair and one pattern; `lines` are titles by name. "–" where
    nothing was asked.
    """
    import pandas as pd

    cells = intervals(values, ["line", "rate"], share).set_index(["line", "rate"])
    return pd.DataFrame(
        [
            {
                "Stand-in": title,
                **{f"{100 * rate:g} %": cell_of(cells, (line, rate)) for rate in rates},
            }
            for line, title in lines.items()
        ]
    )
