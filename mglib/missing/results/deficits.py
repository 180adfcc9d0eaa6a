"""Where models lose: what the inputs do not tell, what encoders lose of it, what fusion adds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mglib.missing.ceilings.deficits import averaged_deficits, deficits
from mglib.missing.subsets import subset_label, subsets

if TYPE_CHECKING:
    import pandas as pd

ANSWERED, HEADS = "cross_entropy", "head_cross_entropy"


def least_entropies(*tables: pd.DataFrame) -> pd.Series:
    """An estimate of H(Y | X_S) [nats] by observed subset: that of the best estimator there.

    Every method, and fresh heads on its encoders, are estimators whose held-out cross-entropy is
    no smaller in expectation. The one with the least mean on the validation part is chosen; what
    it has on the test part is the estimate. `tables` are as from `values.chosen`. Source: ours.
    """
    import pandas as pd

    found = [
        table.groupby(["subset", "method"], sort=False)[[f"validation_{column}", column]]
        .mean()
        .set_axis(["chosen_by", "value"], axis=1)
        for table in tables
        for column in (ANSWERED, HEADS)
        if column in table
    ]
    every = pd.concat(found).reset_index().dropna()
    return every.loc[every.groupby("subset")["chosen_by"].idxmin()].set_index("subset")["value"]


def deficit_table(
    measured: pd.DataFrame,
    others: pd.DataFrame,
    methods: Iterable[str],
    modalities: Sequence[str],
) -> pd.DataFrame:
    """Ceiling, encoder and fusion deficit [nats] by method and number seen, means over splits.

    `measured` has fresh heads; `others` join it in estimating the ceiling. Columns method, seen,
    ceiling, encoders, fusion and loss, their sum: the method's own cross-entropy. Source: ours.
    """
    import pandas as pd

    patterns = {subset_label(pattern, modalities): pattern for pattern in subsets(len(modalities))}
    ceiling = least_entropies(measured, others)
    rows = []
    for method in methods:
        own = measured[measured["method"] == method]
        for seen, cells in own.groupby("seen", sort=False):
            means = cells.groupby("subset", sort=False)[[ANSWERED, HEADS]].mean()
            places = {patterns[name]: name for name in means.index}
            parts = averaged_deficits(
                deficits(
                    {own: float(means[ANSWERED][name]) for own, name in places.items()},
                    {own: float(means[HEADS][name]) for own, name in places.items()},
                    {own: float(ceiling[name]) for own, name in places.items()},
                ),
                dict.fromkeys(places, 1 / len(places)),
            )
            rows.append({"method": method, "seen": seen, **asdict(parts), "loss": parts.loss})
    return pd.DataFrame(rows)
