"""The notebooks are tested on empty folders: they train, and overwrite nobody's report."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Of this run of pytest, all its workers: tests that need what the quick profile trains find its
# rows here.
FOLDER = Path(
    os.environ.setdefault(
        "NOTEBOOKS_TESTED_IN", f"{tempfile.gettempdir()}/mglib-notebooks-{os.getpid()}"
    )
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    """A notebook's kernel starts in the setup of its first cell and inherits these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MGLIB_ROWS", str(FOLDER / "rows"))
        patch.setenv("MGLIB_REPORT", str(FOLDER / "report"))
        return (yield)


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):  # the workers of pytest-xdist leave it to who began
        shutil.rmtree(FOLDER, ignore_errors=True)
