"""Files of named arrays with what they are about, whole or refused: safetensors and a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from mglib import paths
from mglib.errors import MglibError


def _checksum(arrays: Mapping[str, np.ndarray], about: str) -> str:
    whole = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        whole.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        whole.update(np.ascontiguousarray(arrays[name]).tobytes())
    return whole.hexdigest()


def save_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    about: Mapping[str, Any] | None = None,
    variable: str = "MGLIB_ROWS",
) -> None:
    """Write arrays of any shape, with a JSON-serialisable word on them, whole or not at all.

    Raises MglibError, naming the environment `variable` that moves the folder, if it cannot.
    """
    solid = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(about or {}, sort_keys=True)
    content = save(solid, {"about": text, "sha256": _checksum(solid, text)})
    with paths.writing(path, variable):
        paths.replace(path, content)


def about_arrays(path: Path) -> dict[str, Any]:
    """What a file is about, without reading its arrays; raises MglibError if it is damaged."""
    try:
        with safe_open(path, "np") as file:
            found = json.loads((file.metadata() or {})["about"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise MglibError(f"damaged file {path}: {error}; delete it and run again") from error
    return dict(found)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; raises MglibError if they are not what was written."""
    try:
        with safe_open(path, "np") as file:
            told = file.metadata() or {}
        arrays = load(path.read_bytes())
        sound = told.get("sha256") == _checksum(arrays, told.get("about", ""))
    except (SafetensorError, OSError, ValueError) as error:
        raise MglibError(f"damaged file {path}: {error}; delete it and run again") from error
    if not sound:
        raise MglibError(
            f"damaged file {path}: its content is not what its checksum says; delete it and run "
            "again"
        )
    return arrays
