"""The published form of strong generalization against ours: accuracy, and what selection can see.

In the published form (ModalBed, arXiv 2412.18277, as coded) the training modalities are scored
through encoders that the learner never met, so that their validation says nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.held_out import method_name, percent, verdict
from mglib.analysis.pairs import corrected_t_test, holm
from mglib.analysis.regret import regrets
from mglib.analysis.statistics import LEVEL, Interval, resampled_interval
from mglib.trials.selection import alone, training_modality_validation

if TYPE_CHECKING:
    import pandas as pd

_RUN = ["algorithm", "variant", "train", "seed", "split_seed"]
RULE = "training-modality"


def by_method(values: pd.DataFrame) -> pd.DataFrame:
    """Splits as rows, methods as columns; means over all else, such as modalities and seeds."""
    return values.pivot_table(index="split_seed", columns="method", values="value")


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    pairs = zip(rows["algorithm"], rows["variant"], strict=True)
    return rows.assign(method=[method_name(*pair) for pair in pairs])


def _trained_on(rows: pd.DataFrame, split: str) -> pd.DataFrame:
    """Accuracies of the modalities of its own training set in one part, modalities alone."""
    own = alone(rows[(rows["split"] == split) & (rows["metric"] == "accuracy")])
    inside = [m in t.split("+") for m, t in zip(own["modality"], own["train"], strict=True)]
    return own[np.array(inside, bool)]


def chosen_validation(rows: pd.DataFrame) -> pd.DataFrame:
    """Validation accuracy at the chosen checkpoint, mean over the training modalities of each run.

    A line per split, a column per method; rows of one sight.
    """
    return by_method(_named(_trained_on(training_modality_validation(rows), "validation")))


def selection_regret(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on the unseen modality lost against the best checkpoint of the same run.

    A line per split, a column per method; rows of one sight.
    """
    lost = regrets(rows)
    return by_method(lost[lost["rule"] == RULE].rename(columns={"regret": "value"}))


def lost_by_choice(own: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy on the training modalities at own choices minus at the other's, as `own` sees.

    A line per split, a column per method. Both sights train the same learners, so a checkpoint of
    one is one of the other; zero wherever they choose the same.
    """
    at = [*_RUN, "draw", "step"]
    scores = _trained_on(own, "test").groupby(at, as_index=False)["value"].mean()
    found = []
    for rows in (own, other):
        chosen = training_modality_validation(rows)[at].drop_duplicates()
        found.append(by_method(_named(chosen.merge(scores, on=at))))
    return found[0] - found[1]


def form_drift(own: pd.DataFrame, other: pd.DataFrame) -> float:
    """The mean difference of unseen modalities' test accuracies at equal checkpoints of two sights.

    Zero where both trained the same learners and saw what is unseen alike.
    """
    import pandas as pd

    at = [*_RUN, "draw", "step", "modality"]
    found = []
    for rows in (own, other):
        tested = alone(rows[(rows["split"] == "test") & (rows["metric"] == "accuracy")])
        inside = [
            m in t.split("+") for m, t in zip(tested["modality"], tested["train"], strict=True)
        ]
        found.append(tested[~np.array(inside, bool)].set_index(at)["value"])
    both = pd.concat(found, axis=1, keys=["own", "other"])
    return float((both["own"] - both["other"]).abs().fillna(1.0).mean())


def contrasts(
    first: pd.DataFrame, second: pd.DataFrame, methods: Sequence[str], test_share: float
) -> dict[str, tuple[Interval, str]]:
    """Of each method the interval of first minus second, paired by split, and what it says.

    Both have a line per split and a column per method; of the verdicts (higher, lower, a tie) all
    methods are one family for Holm's correction; the intervals are not corrected.
    """
    tests = [corrected_t_test((first[m] - second[m]).tolist(), test_share) for m in methods]
    corrected = holm([test.p for test in tests])
    return {
        method: (test.interval, verdict(test.interval) if adjusted < 1 - LEVEL else "a tie")
        for method, test, adjusted in zip(methods, tests, corrected, strict=True)
    }


def in_cell(contrast: tuple[Interval, str]) -> str:
    """A difference [points] and its verdict in one cell."""
    interval, word = contrast
    return f"{percent(interval, signed=True)} ({word})"


def listed(found: Mapping[str, tuple[Interval, str]], word: str) -> str:
    """The methods with one verdict, as a text prints them; "none" without any."""
    return ", ".join(method for method, (_, own) in found.items() if own == word) or "none"


def form_table(
    forms: Mapping[str, pd.DataFrame], methods: Sequence[str], test_share: float
) -> pd.DataFrame:
    """Accuracy [%] on the unseen modality: a line per method, a column per form.

    `forms`: title -> values by split and method. A dash where a form lacks the method.
    """
    import pandas as pd

    lines = []
    for method in methods:
        line = {"Method": method}
        for title, table in forms.items():
            known = method in table
            own = resampled_interval(table[method].tolist(), test_share) if known else None
            line[title] = "–" if own is None else percent(own)
        lines.append(line)
    return pd.DataFrame(lines)


def contrast_table(
    columns: Mapping[str, Mapping[str, tuple[Interval, str]]], methods: Sequence[str]
) -> pd.DataFrame:
    """A line per method, a column per contrast: the difference [points] and its verdict."""
    import pandas as pd

    return pd.DataFrame(
        [
            {"Method": m, **{title: in_cell(found[m]) for title, found in columns.items()}}
            for m in methods
        ]
    )


def selection_table(
    validations: Mapping[str, pd.DataFrame],
    lost: Mapping[str, Mapping[str, tuple[Interval, str]]],
    methods: Sequence[str],
    test_share: float,
) -> pd.DataFrame:
    """What selection saw in each form [%], and what the published choice loses [points]."""
    seen = form_table({f"Validation, {t}": v for t, v in validations.items()}, methods, test_share)
    return seen.merge(contrast_table(lost, methods), on="Method")


def adapter_table(
    values: pd.DataFrame,
    asked: Mapping[str, tuple[str, str, str]],
    modalities: Sequence[str],
    test_share: float,
) -> tuple[pd.DataFrame, dict[str, tuple[Interval, str]]]:
    """What adapters in a trunk change [%, points], by form and modality; and the differences alone.

    `values` as from `sight_values`; `asked`: form -> titles of the sights without and with them,
    and the method. All differences are one family for Holm's correction.
    """
    import pandas as pd

    def split_by_split(sight: int) -> pd.DataFrame:
        parts: dict[str, pd.Series] = {}
        for form, told in asked.items():
            own = values[(values["sight"] == told[sight]) & (values["method"] == told[2])]
            table = own.pivot_table(index="split_seed", columns="modality", values="value")
            parts |= {f"{form}: {m}": table[m] for m in modalities}
        return pd.DataFrame(parts)

    head, adapted = split_by_split(0), split_by_split(1)
    changed = contrasts(adapted, head, list(head), test_share)
    lines = [
        {
            "Form": name,
            "Head alone": percent(resampled_interval(head[name].tolist(), test_share)),
            "Adapted": percent(resampled_interval(adapted[name].tolist(), test_share)),
            "Difference": in_cell(changed[name]),
        }
        for name in head
    ]
    return pd.DataFrame(lines), changed
