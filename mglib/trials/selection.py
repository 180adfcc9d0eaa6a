"""Model selection: which checkpoint of which draw is reported, by a rule blind to the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_RUN = ["dataset", "perceptor", "algorithm", "variant", "train", "seed", "split_seed"]


def training_modality_validation(rows: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """Rows of the (draw, step) with the best mean validation score over the training modalities.

    One choice per dataset, perceptor, algorithm, variant, training set, seed and split (ModalBed's
    first rule); on a tie the earlier draw and step. A diverged checkpoint is never chosen unless
    there is no other. Only rows of split "validation" and of modalities in `train` are looked at.
    """
    seen = [m in t.split("+") for m, t in zip(rows["modality"], rows["train"], strict=True)]
    scored = rows[
        np.array(seen, bool) & (rows["split"] == "validation") & (rows["metric"] == metric)
    ]
    # mean() of pandas skips nulls; a diverged modality must not drop out of the mean.
    scores = (
        scored.assign(value=scored["value"].fillna(-1.0))
        .groupby([*_RUN, "draw", "step"])["value"]
        .mean()
        .reset_index()
    )
    scores = scores.sort_values(
        [*_RUN, "value", "draw", "step"], ascending=[True] * len(_RUN) + [False, True, True]
    )
    chosen = scores.drop_duplicates(_RUN)[[*_RUN, "draw", "step"]]
    return rows.merge(chosen, on=[*_RUN, "draw", "step"])
