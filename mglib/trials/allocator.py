"""How worker processes hold memory: in huge pages, and kept from step to step.

Each step takes the gradients of a stack anew and frees them, megabytes at a time. As it comes,
glibc hands such pieces back to the system and is given them again page by page, which costs a
large stack a third of its time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Pages of 2 MiB where the system offers them on request; what is freed at the end of the heap is
# kept up to 128 MiB, and only pieces above 32 MiB come from the system directly.
TUNABLES = {"hugetlb": 1, "trim_threshold": 128 * 2**20, "mmap_threshold": 32 * 2**20}
NAME = "GLIBC_TUNABLES"


@contextmanager
def lasting_memory() -> Iterator[None]:
    """The environment in which processes keep their memory; what the user has set there stands."""
    before = os.environ.get(NAME)
    own = [f"glibc.malloc.{name}={value}" for name, value in TUNABLES.items()]
    os.environ[NAME] = ":".join([*own, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ[NAME]
        else:
            os.environ[NAME] = before
