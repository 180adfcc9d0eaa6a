"""The published result tables of ModalBed (Liu et al. 2024, https://arxiv.org/abs/2412.18277).

Read from data/published/, whose README tells their source, and which numbers a defect of the
published code touches. All values are per cent.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from mglib import paths
from mglib.errors import MglibError, unknown

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = ("weak", "strong_tex", "strong_png")
# The methods whose rows are filled in every table; the first is what the others are held against.
GENERALIZERS = ("ERM", "IRM", "Mixup", "CDANN", "SagNet", "IB_ERM", "CondCAD", "EQRM")
_PLACE = ["selection", "perceptor", "dataset", "modality"]


@cache
def _read(name: str) -> pd.DataFrame:
    import pandas as pd

    file = paths.ROOT / "data" / "published" / f"modalbed_{name}.csv"
    if not file.is_file():
        raise MglibError(f"{file} is missing: it belongs to the repository")
    return pd.read_csv(file)


def _check(setting: str) -> None:
    if setting not in SETTINGS:
        raise unknown("published setting", setting, SETTINGS)


def published(setting: str) -> pd.DataFrame:
    """The cells of one set of tables: CSV columns and `constant`, the constant predictor's level.

    `setting` is weak, strong_tex or strong_png: two strong sets were published, which differ.
    `selection` is named as in mglib.trials.selection.RULES. `mean` is undefined where the table has
    a dash, `standard_error` there and in all of strong_png. Raises MglibError for another setting.
    """
    _check(setting)
    return _read(setting).merge(
        _read("constant_levels").rename(columns={"level": "constant"}), on=["dataset", "modality"]
    )


def published_averages(setting: str) -> pd.DataFrame:
    """The averages over modalities as printed, in the columns setting, selection, ... average.

    Raises MglibError for an unknown setting.
    """
    _check(setting)
    averages = _read("averages")
    return averages[averages["setting"] == setting].reset_index(drop=True)


def best_against_erm(setting: str = "weak", errors: float = 2.0) -> pd.DataFrame:
    """For each cell of the tables the best of GENERALIZERS against ERM, a line each.

    Columns selection, perceptor, dataset, modality, best, mean, erm, gap (mean - erm), noise (the
    root of the sum of both squared standard errors, 0 where ERM is the best) and `within`: the gap
    is at most `errors` times the noise. Equal means go to the first in GENERALIZERS. Nothing
    corrects for picking the best of eight, which widens gaps; each mean is of three trials. Raises
    MglibError for an unknown setting and for one whose standard errors are not known. Ours.
    """
    import pandas as pd

    table = published(setting)
    if table["standard_error"].isna().all():
        raise MglibError(f"the standard errors of the published setting '{setting}' are not known")
    lines = []
    for place, own in table.groupby(_PLACE, sort=False):
        by_method = own.set_index("algorithm").loc[list(GENERALIZERS)]
        best = str(by_method["mean"].idxmax())
        erm, error = by_method.loc["ERM", "mean"], by_method["standard_error"]
        gap = by_method.loc[best, "mean"] - erm
        noise = 0.0 if best == "ERM" else float(np.hypot(error[best], error["ERM"]))
        line = {"best": best, "mean": by_method.loc[best, "mean"], "erm": erm, "gap": gap}
        # Means have one decimal: a gap that equals the bound must not hang on binary fractions.
        line |= {"noise": noise, "within": bool(round(gap - errors * noise, 9) <= 0)}
        lines.append(dict(zip(_PLACE, place, strict=True)) | line)
    return pd.DataFrame(lines)


def counts_against_erm(setting: str = "weak", errors: float = 2.0) -> pd.DataFrame:
    """Of `best_against_erm` per dataset: cells, and `within`: where the best stays in the noise."""
    cells = best_against_erm(setting, errors)
    counted = cells.groupby("dataset", sort=False)["within"].agg(cells="size", within="sum")
    return counted.reset_index()
