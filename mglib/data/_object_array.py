"""Arrays of Python objects in .npy files, read without running what a pickle may ask for."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from mglib.errors import MglibError


def _latin1(text: str, encoding: str) -> bytes:
    """What old pickles call `_codecs.encode` for: bytes written as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text encoded as {encoding!r}")
    return text.encode("latin1")


# numpy's own functions, taken from what it pickles: their module has moved between its versions
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_SCALAR: Any = np.float64(0).__reduce__()[0]
ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _RECONSTRUCT), ("scalar", _SCALAR))
    },
}


class _Restricted(pickle.Unpickler):
    """An unpickler that looks nothing up: a name is one of ADMITTED or an error."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in ADMITTED:
            raise MglibError(
                f"a pickle that asks for '{module_name}.{global_name}' (admitted: "
                f"{', '.join(sorted({'.'.join(names) for names in ADMITTED}))})"
            )
        return ADMITTED[module_name, global_name]


def read_object(content: bytes, name: str) -> Any:
    """The one object in the bytes of a .npy file: lists, dicts, strings, numbers and arrays.

    Nothing is imported or called but what rebuilds numpy's arrays. `name` is for messages; raises
    MglibError for a file that asks for more, is damaged or holds anything but one object.
    """
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"format {version[0]}.{version[1]} of .npy, not 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if shape != () or dtype != np.dtype(object):
            raise ValueError(f"{dtype} {shape}, not one object")
        return _Restricted(file).load().item()
    except MglibError as error:
        raise MglibError(f"refused '{name}': {error}") from None
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise MglibError(f"'{name}' cannot be read: {said}") from error
