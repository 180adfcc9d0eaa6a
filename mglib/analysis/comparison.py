"""Two sets of rows that answer the same questions, cell by cell: how far do they differ?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mglib.analysis.costs import COSTS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# What makes a cell; its runs differ in seed, split and draw and are averaged.
CELL = [
    "task",
    "dataset",
    "perceptor",
    "algorithm",
    "variant",
    "train",
    "train_pattern",
    "test_pattern",
    "train_rate",
    "test_rate",
    "modality",
    "metric",
]


# How far a cell's mean over n runs may differ, times sqrt(n), for values up to 1 in size. Training
# on another processor adds the same numbers in another order, and runs drift apart from there.
# Measured on 84 runs with the vector units off (ATEN_CPU_CAPABILITY=default, MKL_CBWR=COMPATIBLE):
# a run's test accuracy moves by a standard deviation of 0.001 after 80 steps and 0.016 after 800
# (ERM 0.020, Concat 0.010; at most 0.084), a cell's mean by 0.065 / sqrt(n) at most. This is five
# times ERM's.
TOLERANCE = 0.1


def last_values(rows: pa.Table) -> pd.DataFrame:
    """Each key's values at its last step on the test part, or of no part: CELL, asked, key, value.

    `asked` holds the parameters of a measure, which no algorithm names. A null value (diverged)
    stays. Of costs the medians of the ratios over all runs are there, and nothing else.
    """
    import pyarrow.compute as pc

    reported = pc.fill_null(pc.equal(rows["split"], "test"), True)
    frame = rows.filter(reported).to_pandas()
    step = frame["step"].fillna(-1)
    frame = frame[step == step.groupby(frame["key"]).transform("max")]
    asked = frame["hparams"].where(frame["algorithm"].isna(), None).replace("{}", None)
    cells = frame[CELL].astype(object)
    frame = cells.where(cells.notna(), "").assign(
        asked=asked.fillna(""), key=frame["key"], value=frame["value"].astype(float)
    )
    own = [*CELL, "asked", "key"]
    frame = frame[(frame["task"] != COSTS) | (frame["metric"] == "ratio")]
    medians = frame[frame["task"] == COSTS].groupby(own)["value"].transform("median")
    return frame.assign(value=medians.combine_first(frame["value"])).drop_duplicates(own)


def compare_cells(here: pa.Table, reference: pa.Table) -> pd.DataFrame:
    """Means per cell over the keys that both have: CELL, here, reference, difference, n, tolerance.

    `beyond` says whether a cell differs by more than its tolerance; such cells come first, then
    the others by how much of it they use. A run that diverged on one side alone is beyond any.
    Cells of costs have no tolerance (not a number), are never beyond it, and come last.
    """
    own = [*CELL, "asked"]
    both = last_values(here).merge(
        last_values(reference), on=[*own, "key"], suffixes=("_here", "_reference")
    )
    lost = both["value_here"].isna() != both["value_reference"].isna()
    same = (both["value_here"] == both["value_reference"]) | both["value_here"].isna() & ~lost
    groups = both.assign(lost=lost, same=same).groupby(own, sort=True)
    cells = groups.agg(
        here=("value_here", "mean"),
        reference=("value_reference", "mean"),
        n=("key", "size"),
        same=("same", "all"),
        lost=("lost", "any"),
    ).reset_index()
    cells["difference"] = (cells["here"] - cells["reference"]).where(~cells["same"], 0.0)
    size = cells["reference"].abs().clip(lower=1.0).fillna(1.0)
    judged = cells["task"] != COSTS
    cells["tolerance"] = (TOLERANCE * size / np.sqrt(cells["n"])).where(judged)
    beyond = cells["lost"] | (cells["difference"].abs() > cells["tolerance"])
    cells["beyond"] = beyond & judged
    used = (cells["difference"].abs() / cells["tolerance"]).where(~cells["lost"], np.inf)
    order = used.sort_values(ascending=False, kind="stable").index
    return cells.loc[order].drop(columns="lost").reset_index(drop=True)
