"""What works on this machine: Python, torch, GPU, notebooks, renderers, caches."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from typing import Any

from mglib import paths
from mglib.data._imported import ImportedDataset
from mglib.errors import MglibError


def _item(name: str, ok: bool, detail: str, needed: bool = True) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail, "needed": needed}


def _package(name: str, use: str, needed: bool = True) -> dict[str, Any]:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        return _item(name, False, f"{use}: {error}", needed)
    return _item(name, True, f"{use}: {getattr(module, '__version__', 'installed')}", needed)


def _features(name: str) -> dict[str, Any]:
    """The features of one dataset, raw if it has no frozen ones: damage is a fault, lack is not."""
    from mglib.features import load_features, recipe, state
    from mglib.registry import datasets

    data = datasets.get(datasets.get(name).features_of or name)
    core = data.core
    if issubclass(data, ImportedDataset):
        return _imported(data)
    seen = "frozen" if "frozen" in data.perceptors else "raw"
    states = {modality: state(recipe(data.name, seen, modality, None)) for modality in core}
    missing = [modality for modality, found in states.items() if found == "missing"]
    try:
        for modality in core:
            if modality not in missing:
                load_features(data.name, seen, modality)
    except MglibError as error:
        return _item(name, False, str(error))
    if missing:
        detail = f"no features of {', '.join(missing)}; `mglib prepare {name}` makes them"
        return _item(name, False, detail, needed=False)
    return _item(name, True, "features prepared and undamaged")


def _imported(data: type[ImportedDataset]) -> dict[str, Any]:
    """The same of a dataset whose features others make: nothing needs to be there."""
    from mglib.features import load_features
    from mglib.perceptors._imported import imported_here

    here = imported_here(data.name)
    try:
        for seen in here:
            for modality in data.core:
                load_features(data.name, seen, modality)
    except MglibError as error:
        return _item(data.name, False, str(error), needed=False)
    if not here:
        detail = "nothing imported; `mglib import-features FILE` brings features of ModalBed's"
        return _item(data.name, False, detail, needed=False)
    return _item(data.name, True, f"imported and undamaged: {', '.join(here)}")


def check() -> list[dict[str, Any]]:
    """One entry for each part: name, ok, detail, and whether the paper needs it."""
    import torch

    from mglib.registry import datasets

    version = platform.python_version()
    found = [
        _item("python", (3, 11) <= sys.version_info[:2] <= (3, 13), f"{version} (3.11 to 3.13)"),
        _item(
            "system",
            sys.platform == "linux" and platform.machine() == "x86_64",
            f"{platform.system()} {platform.machine()} (tested on Linux x86_64)",
            needed=False,
        ),
        _package("torch", "training"),
        _item(
            "gpu",
            torch.cuda.is_available(),
            torch.cuda.get_device_name() if torch.cuda.is_available() else "none; the CPU is used",
            needed=False,
        ),
        _item("cores", True, f"{paths.cores()}, one worker process each"),
        _package("papermill", "notebooks"),
        _package("onnxruntime", "speech features"),
        _package("pypandoc", "built-in renderer"),
        _package("typst", "PDF"),
        _item(
            "quarto",
            bool(shutil.which("quarto")),
            shutil.which("quarto") or "not installed; the built-in renderer is used",
            needed=False,
        ),
        *(_features(name) for name in datasets.names()),
    ]
    for name, folder in (
        ("cache", paths.cache()),
        ("rows", paths.rows()),
        ("report", paths.report()),
    ):
        existing = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(existing).free / 2**30
        found.append(_item(name, os.access(existing, os.W_OK), f"{folder} ({free:.0f} GiB free)"))
    return found
