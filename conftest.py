"""Notebooks under test run on one core for each process of pytest-xdist.

A kernel starts a worker process for every core that it may use: with two kernels at once those
would be twice as many as there are cores, and their start takes longer than a quick run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Keep a notebook's kernel, which starts here, to the core of this process's turn."""
    process = os.environ.get("PYTEST_XDIST_WORKER")
    if process is None or item.path.suffix != ".ipynb":
        return (yield)
    allowed = os.sched_getaffinity(0)
    own = sorted(allowed)[int(process.removeprefix("gw")) % len(allowed)]
    os.sched_setaffinity(0, {own})
    try:
        return (yield)
    finally:
        os.sched_setaffinity(0, allowed)
