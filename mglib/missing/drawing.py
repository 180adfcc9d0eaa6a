"""The question that decides a mask table, and its answer: equal on every machine."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from mglib.errors import MglibError
from mglib.missing.checks import sound_labels, whole
from mglib.missing.law import Law
from mglib.provenance import digest
from mglib.registry import laws

FORMAT = 1  # raise it when equal questions are drawn from other streams or stored otherwise


def question(
    law_name: str,
    rate: float,
    *,
    modalities: int,
    rows: int,
    labels: np.ndarray | None = None,
    seed: int,
    split_seed: int,
    part: str,
) -> dict[str, Any]:
    """All that decides a mask table, JSON-serialisable; labels only where the law needs them.

    Raises MglibError as `mask_table` does.
    """
    law: Law = laws.get(law_name)()
    nominal = law.nominal(modalities, rate)
    for name, value, low in [("rows", rows, 1), ("seed", seed, 0), ("split_seed", split_seed, 0)]:
        if not whole(value, low):
            raise MglibError(
                f"{name} of a mask table must be a whole number from {low}, not {value!r}"
            )
    if not isinstance(part, str) or not part:
        raise MglibError(f"part of a mask table must be the name of a part, not {part!r}")
    told = sound_labels(law.name, labels, rows).astype("<i8").tobytes() if law.labelled else None
    return {
        "format": FORMAT,
        "law": law.name,
        "version": law.version,
        "rate": nominal,
        "modalities": int(modalities),
        "rows": int(rows),
        "labels": None if told is None else hashlib.sha256(told).hexdigest(),
        "seed": int(seed),
        "split_seed": int(split_seed),
        "part": part,
    }


def drawn(asked: dict[str, Any], labels: np.ndarray | None = None) -> np.ndarray:
    """The mask table of a question, bool [N, M]; labels [N] are those that it was asked with.

    Its stream hangs on the law, the seeds, the part and M alone, so that most laws lose at a rate
    what they lose at lower ones too: points of a curve over rates differ by less noise.
    """
    fields = ("format", "law", "version", "modalities", "seed", "split_seed", "part")
    stream = digest({field: asked[field] for field in fields})
    random = np.random.Generator(np.random.PCG64(int(stream, 16)))
    law: Law = laws.get(asked["law"])()
    return law.table(random, asked["rows"], asked["modalities"], asked["rate"], labels)
