"""EQRM's two defects: one modality's risk has no spread, and the optimiser that is never renewed.

Found in the published code of ModalBed (https://arxiv.org/abs/2412.18277); see
`mglib.algorithms.eqrm`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mglib.analysis.defects import CORRECTED
from mglib.analysis.held_out import method_name, paired_difference, percent, verdict
from mglib.analysis.protocols import NEW, scored_values

if TYPE_CHECKING:
    import pandas as pd

EQRM, PUBLISHED = "eqrm", "as_published"
_KIND = ["modalities", "draw"]


def burn_in_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Of EQRM's runs the end: one line per run.

    Columns key, variant, train, draw, split_seed, modalities (how many are trained on), burn_in
    (steps), whole (the burn-in is a whole number), diverged, and last_sound (the last step at which
    all was finite, 0: none).
    """
    own = rows[rows["algorithm"] == EQRM]
    first = own.drop_duplicates("key").set_index("key")
    runs = first[["variant", "train", "draw", "split_seed"]].copy()
    runs["modalities"] = runs["train"].str.count(r"\+") + 1
    runs["burn_in"] = [json.loads(text)["eqrm_burnin_iters"] for text in first["hparams"]]
    runs["whole"] = runs["burn_in"] % 1 == 0
    lost = own["status"] == "diverged"
    runs["diverged"] = lost.groupby(own["key"]).any()
    sound = own["step"].where(~lost.groupby([own["key"], own["step"]]).transform("any"), 0)
    runs["last_sound"] = sound.groupby(own["key"]).max()
    return runs.reset_index()


def _counted(own: pd.DataFrame, column: str, variant: str) -> str:
    of = own.loc[own["variant"] == variant, column]
    return f"{int(of.sum())} of {len(of)}"


def burn_in_table(rows: pd.DataFrame, test_share: float) -> pd.DataFrame:
    """A line per number of training modalities and draw: burn-in, renewed and diverged runs, cost.

    The published code renews the optimiser only after a burn-in that is a whole number. The cost
    is corrected minus published accuracy on the modality held out [points], paired by split; a dash
    where published runs diverged or more than one modality is held out.
    """
    import pandas as pd

    lines = []
    for (modalities, draw), own in burn_in_runs(rows).groupby(_KIND):
        published = own[own["variant"] == PUBLISHED]
        line = {
            "Trained on": f"{modalities} modalit{'y' if modalities == 1 else 'ies'}",
            "Draw": str(draw),
            "Burn-in [steps]": f"{own['burn_in'].iloc[0]:.2f}".rstrip("0").rstrip("."),
            "Renewed as published": _counted(own, "whole", PUBLISHED),
            "Diverged as published": _counted(own, "diverged", PUBLISHED),
            "Diverged corrected": _counted(own, "diverged", CORRECTED),
            "Cost": "–",
        }
        values = scored_values(rows[rows["key"].isin(own["key"])], NEW)
        first, second = (method_name(EQRM, variant) for variant in (CORRECTED, PUBLISHED))
        if not published["diverged"].any() and {first, second} <= {*values["method"]}:
            gap = paired_difference(values, None, first, second, test_share)
            told = "the same" if gap.low == gap.high == 0 else verdict(gap)
            line["Cost"] = f"{percent(gap, signed=True)} ({told})"
        lines.append(line)
    return pd.DataFrame(lines)
