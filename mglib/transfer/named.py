"""Bodies by name: registered ones, and those of a folder in transformers' format."""

from __future__ import annotations

from mglib.errors import MglibError, unknown
from mglib.registry import base_name, bodies
from mglib.transfer.body import Body


def body_named(name: str) -> type[Body]:
    """The class of a body: registered under `name`, or of the folder that it names.

    A name with a '/' or a '.' is a folder (or a model in the hub's local cache). Raises MglibError
    for anything else, with the nearest registered name.
    """
    known = bodies.names()
    if base_name(name) in known:
        return bodies.get(name)
    if "/" in name or "." in name:
        from mglib.transfer.bodies._transformers import load_folder

        return load_folder(name)
    raise MglibError(
        f"{unknown('body', name, known)}, or the path of a folder in transformers' format, "
        f"written './{name}'"
    )
