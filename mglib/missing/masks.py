"""Mask tables, drawn once and stored: one safetensors file and one JSON card per question.

A table is never drawn at test time, and the same question has the same table on every machine.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mglib import paths
from mglib.errors import MglibError
from mglib.missing.drawing import drawn, question
from mglib.missing.subsets import realised
from mglib.provenance import digest, write_record


def path_of(question: dict[str, Any]) -> Path:
    """Where the table of a question lies; its card lies beside it with suffix .json."""
    return paths.cache() / "masks" / f"{digest(question)}.safetensors"


def _sha256(table: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest()


def _card(path: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The card of a question, or None if there is none, or one that is damaged."""
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) and asked.items() <= card.items() else None


def _stored(path: Path, card: dict[str, Any]) -> np.ndarray | None:
    """The table of a file if it is there and is the one on its card."""
    try:
        table = load(path.read_bytes())["observed"]
    except (OSError, SafetensorError, KeyError):
        return None
    sound = table.dtype == np.bool_ and table.shape == (card["rows"], card["modalities"])
    return table.copy() if sound and _sha256(table) == card.get("sha256") else None


def mask_table(
    law_name: str,
    rate: float,
    *,
    modalities: int,
    rows: int,
    labels: np.ndarray | None = None,
    seed: int,
    split_seed: int,
    part: str,
) -> np.ndarray:
    """The mask table of a part, bool [N, M], True = observed: read, or drawn and stored.

    N `rows` of the part in their order, M `modalities`, labels [N] only for laws that need them.
    What is missing or damaged is drawn again, bit for bit, and written whole; two writers write the
    same. Raises MglibError for unknown laws, rates that the law lacks, bad numbers or labels, a
    place that cannot be written, and if a sound card tells of another table than is drawn here.
    """
    asked = question(
        law_name,
        rate,
        modalities=modalities,
        rows=rows,
        labels=labels,
        seed=seed,
        split_seed=split_seed,
        part=part,
    )
    path = path_of(asked)
    card = _card(path, asked)
    stored = _stored(path, card) if card else None
    if stored is not None:
        return stored
    table = drawn(asked, labels)
    if card and card.get("sha256") != _sha256(table):
        raise MglibError(
            f"the mask table of card {path.with_suffix('.json')} cannot be drawn again: "
            f"law '{law_name}' gives another one here; delete the card, or raise the law's version"
        )
    found = realised(table)
    about = {
        **asked,
        "sha256": _sha256(table),
        "missing": found.missing,
        "missing_by_modality": list(found.by_modality),
        "incomplete": found.incomplete,
        "counts": {"".join(str(int(s)) for s in key): n for key, n in found.counts.items()},
    }
    with paths.writing(path):
        paths.replace(path, save({"observed": np.ascontiguousarray(table)}))
        write_record(path.with_suffix(".json"), about)
    return table
