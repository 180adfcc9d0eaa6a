"""PDEBench's HDF5 files, read and written: scalar sets, Darcy flow, one group for each sample.

Layouts are those of Takamoto et al., "PDEBench: A Diverse and Comprehensive Benchmark for
Scientific Machine Learning", DaRUS 2022, doi 10.18419/darus-2986.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mglib import paths
from mglib.data._fields.trajectories import MEDIUM, Trajectories, frames_at
from mglib.data._hdf5 import check_inside, opened
from mglib.errors import MglibError, unknown

LAYOUTS = {
    "scalar": "'tensor' [n, t, x] with 'x-coordinate' and 't-coordinate'",
    "darcy": "'tensor' [n, 1, x, y] with 'nu' [n, x, y]",
    "groups": "groups '0000', '0001', ... with 'data' [t, x, (y), c] and 'grid/t', 'grid/x', ...",
}
CONFIG = "config"
SPACE = ("x", "y", "z")


def _allowed() -> str:
    return "; ".join(f"{name}: {text}" for name, text in LAYOUTS.items())


def _wrong(path: Path, why: str) -> MglibError:
    return MglibError(f"'{path}' has none of PDEBench's layouts: {why}; allowed: {_allowed()}")


def layout_of(file: Any, path: Path) -> str:
    """Which of `LAYOUTS` an open HDF5 file has; raises MglibError if none."""
    import h5py

    names = sorted(file)
    if "tensor" in file:
        kind = "darcy" if MEDIUM in file else "scalar"
        rank = 4 if kind == "darcy" else 3
        own = file["tensor"]
        if not isinstance(own, h5py.Dataset) or own.ndim != rank:
            raise _wrong(path, f"its 'tensor' is {getattr(own, 'shape', 'a group')}")
        if kind == "scalar" and not {"x-coordinate", "t-coordinate"} <= set(names):
            raise _wrong(path, f"beside 'tensor' it holds {', '.join(names)}")
        return kind
    held = [file[name] for name in names if name.isdigit()]
    if names and len(held) == len(names) and all(isinstance(own, h5py.Group) for own in held):
        return "groups"
    shown = ", ".join(f"'{name}'" for name in names[:6]) or "nothing"
    raise _wrong(path, f"it holds {shown}{', ...' if len(names) > 6 else ''}")


def read(
    path: str | os.PathLike[str],
    times: Sequence[float] | None = None,
    samples: int | None = None,
    stride: int = 1,
) -> Trajectories:
    """What a file of any of the layouts holds; only the asked frames are loaded.

    `times` None means all frames, `samples` the first ones alone, `stride` every so manieth point
    of each axis of space. Raises MglibError for a file that is missing, of another layout or with
    links, and for times that it does not have.
    """
    place = Path(path)
    if stride < 1 or (samples is not None and samples < 1):
        raise MglibError(f"stride {stride} and samples {samples} must be at least 1")
    with opened(place, f"one of PDEBench's HDF5 files: {_allowed()}") as file:
        check_inside(file)
        kind = layout_of(file, place)
        reader = {"scalar": _read_scalar, "darcy": _read_darcy, "groups": _read_groups}[kind]
        try:
            return reader(file, times, samples, stride)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise _wrong(place, f"it seems to be '{kind}', but {error}") from error
        except MglibError as error:
            raise MglibError(f"'{place}': {error}") from error


def _attributes(holder: Any) -> dict[str, Any]:
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in sorted(holder.attrs.items())
    }


def _held(holder: Any, name: str) -> Any:
    """A data set of a file or group; raises ValueError, which names it, if it is not there."""
    if name not in holder:
        raise ValueError(f"'{name}' is missing in '{holder.name}'")
    return holder[name]


def _chosen(times: np.ndarray, wanted: Sequence[float] | None) -> list[int]:
    return list(range(len(times))) if wanted is None else frames_at(times, wanted)


def _some(data: Any, frames: list[int], rest: tuple[slice, ...]) -> np.ndarray:
    """Frames [..., T, space...] of a data set whose time axis is the second."""
    if len(frames) == data.shape[1]:
        return np.asarray(data[(rest[0], slice(None), *rest[1:])])
    parts = [data[(rest[0], frame, *rest[1:])] for frame in frames]
    return np.stack(parts, axis=1)


def _read_scalar(
    file: Any, times: Sequence[float] | None, samples: int | None, stride: int
) -> Trajectories:
    tensor = file["tensor"]
    known = file["t-coordinate"][: tensor.shape[1]]  # the file tells one time more than frames
    if len(known) < tensor.shape[1] or len(file["x-coordinate"]) != tensor.shape[2]:
        raise ValueError(f"its coordinates do not fit its 'tensor' {tensor.shape}")
    frames = _chosen(known, times)
    values = _some(tensor, frames, (slice(samples), slice(None, None, stride)))
    return Trajectories(
        values[..., None],
        {"t": known[frames], "x": file["x-coordinate"][::stride]},
        _attributes(file),
    )


def _read_darcy(
    file: Any, times: Sequence[float] | None, samples: int | None, stride: int
) -> Trajectories:
    tensor, medium = file["tensor"], file[MEDIUM]
    if medium.shape != (tensor.shape[0], *tensor.shape[2:]) or tensor.shape[1] != 1:
        raise ValueError(f"'{MEDIUM}' {medium.shape} does not fit its 'tensor' {tensor.shape}")
    frames = _chosen(np.zeros(1), times)
    every = slice(None, None, stride)
    values = _some(tensor, frames, (slice(samples), every, every))
    coordinates = {"t": np.zeros(1, dtype=np.float32)}
    for axis, size in zip(SPACE, tensor.shape[2:], strict=False):
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        known = file.get(f"{axis}-coordinate")  # older files have none
        coordinates[axis] = (centres if known is None else known[:])[::stride]
    parameters = {**_attributes(file), MEDIUM: medium[slice(samples), every, every]}
    return Trajectories(values[..., None], coordinates, parameters)


def _read_groups(
    file: Any, times: Sequence[float] | None, samples: int | None, stride: int
) -> Trajectories:
    names = sorted(file)[slice(samples)]
    first = file[names[0]]
    shape, known = _held(first, "data").shape, _held(first, "grid/t")[:]
    axes = SPACE[: len(shape) - 2]
    if len(known) != shape[0] or not axes:
        raise ValueError(f"the 'grid/t' {known.shape} of '{names[0]}' does not fit {shape}")
    frames = _chosen(known, times)
    every = (slice(None, None, stride),) * len(axes)
    parts, texts = [], []
    for name in names:
        data = _held(file[name], "data")
        if data.shape != shape:
            raise ValueError(f"'{name}' is {data.shape}, '{names[0]}' {shape}")
        parts.append(np.stack([data[(frame, *every)] for frame in frames]))
        texts.append(str(file[name].attrs.get(CONFIG, "")))
    coordinates = {axis: _held(first, f"grid/{axis}")[::stride] for axis in axes}
    return Trajectories(np.stack(parts), {"t": known[frames], **coordinates}, {CONFIG: texts})


def write(path: str | os.PathLike[str], content: Trajectories, layout: str) -> Path:
    """A file of one of `LAYOUTS`, whole or not at all; values as float32, as in the official ones.

    Raises MglibError for an unknown layout and for content that it cannot hold.
    """
    import h5py

    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    values = content.values
    axes = SPACE[: values.ndim - 3]
    if layout != "groups" and values.shape[-1] != 1:
        raise MglibError(f"layout '{layout}' holds one channel, not {values.shape[-1]}")
    if layout == "scalar" and len(axes) != 1:
        raise MglibError(f"layout 'scalar' holds one axis of space, not {len(axes)}")
    if layout == "darcy" and (MEDIUM not in content.parameters or len(axes) != 2):
        raise MglibError(f"layout 'darcy' needs two axes of space and the parameter '{MEDIUM}'")
    target = Path(path)
    fresh = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with paths.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with h5py.File(fresh, "w") as file:
                if layout == "groups":
                    _write_groups(file, content, axes)
                else:
                    _write_single(file, content, axes, layout)
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
    return target


def _write_single(file: Any, content: Trajectories, axes: Sequence[str], layout: str) -> None:
    file["tensor"] = content.values[..., 0].astype(np.float32)
    for axis in axes:
        file[f"{axis}-coordinate"] = content.coordinates[axis]
    if layout == "scalar":
        times = content.coordinates["t"]
        step = times[-1:] - times[-2:-1] if len(times) > 1 else np.ones_like(times)
        file["t-coordinate"] = np.concatenate([times, times[-1:] + step]).astype(times.dtype)
    for name, value in content.parameters.items():
        if name == MEDIUM:
            file[MEDIUM] = np.asarray(value, dtype=np.float32)
        else:
            file.attrs[name] = value


def _write_groups(file: Any, content: Trajectories, axes: Sequence[str]) -> None:
    texts = content.parameters.get(CONFIG, [""] * len(content.values))
    for number, (values, text) in enumerate(zip(content.values, texts, strict=True)):
        group = file.create_group(f"{number:04}")
        group["data"] = values.astype(np.float32)
        for axis in ("t", *axes):
            group[f"grid/{axis}"] = content.coordinates[axis]
        group.attrs[CONFIG] = text
