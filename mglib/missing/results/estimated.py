"""How well information is estimated from samples, where it is known, as rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mglib.analysis.measured import Answer, measured
from mglib.missing.ceilings import joint, known_laws
from mglib.missing.ceilings.estimates import WORDS, complementarity, information

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
PARTS = {"both": (True, True), "first": (True, False), "second": (False, True)}


def estimate_rows(
    experiment: str,
    sigmas: Iterable[float],
    seeds: Iterable[int],
    samples: int,
    steps: int,
    *,
    profile: str,
) -> pa.Table:
    """Rows of the information in two digits, by estimate (`algorithm`), `modality` and seed.

    The law is `known_laws.two_digits`; the digits are read without error, as one-hot vectors.
    """

    def answer(question: dict[str, Any]) -> Answer:
        sigma, seed = question["train_rate"], question["seed"]
        law = known_laws.two_digits(sigma)
        random = np.random.Generator(np.random.PCG64([seed, round(1000 * sigma)]))
        cells = random.choice(law.size, samples, p=law.ravel())
        first, second, labels = np.unravel_index(cells, law.shape)
        digits = [np.eye(known_laws.DIGITS, dtype=np.float32)[own] for own in (first, second)]
        return [
            {
                "modality": part,
                "metric": "information",
                "value": information(
                    np.concatenate([d for d, there in zip(digits, seen, strict=True) if there], 1),
                    labels,
                    known_laws.DIGITS,
                    question["algorithm"],
                    seed,
                    steps,
                ),
                "n": samples,
            }
            for part, seen in PARTS.items()
        ]

    questions = [
        {
            "task": "estimated information",
            "dataset": "numerals",
            "perceptor": "raw",
            "algorithm": word,
            "train_rate": float(sigma),
            "seed": int(seed),
            "hparams": {"samples": samples, "steps": steps},
        }
        for sigma in sigmas
        for word in WORDS
        for seed in seeds
    ]
    return measured(
        experiment, questions, answer, version=VERSION, profile=profile, label="information"
    )


def estimated_metric(rows: pa.Table) -> pd.DataFrame:
    """The complementarity of two digits by sigma: exact, and as each estimate and seed has it.

    Columns sigma, estimate, seed, value and exact. An estimate that finds nothing in both is left
    out.
    """
    import pandas as pd

    table = rows.to_pandas()
    wide = table.pivot_table(
        index=["train_rate", "algorithm", "seed"], columns="modality", values="value"
    )
    found = []
    for (sigma, word, seed), own in wide.iterrows():
        law = known_laws.two_digits(sigma)
        exact = [joint.information(law, seen) for seen in PARTS.values()]
        if own["both"] > 0:
            value = complementarity(*(float(own[part]) for part in PARTS))
            found.append((sigma, word, seed, value, complementarity(*exact)))
    return pd.DataFrame(found, columns=["sigma", "estimate", "seed", "value", "exact"])
