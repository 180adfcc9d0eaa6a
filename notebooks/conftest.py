"""The notebooks are tested on empty folders: they train, and overwrite nobody's report."""

from __future__ import annotations

import tempfile

import pytest

FOLDER = tempfile.TemporaryDirectory(prefix="mglib-notebooks-")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    """A notebook's kernel starts in the setup of its first cell and inherits these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MGLIB_ROWS", f"{FOLDER.name}/rows")
        patch.setenv("MGLIB_REPORT", f"{FOLDER.name}/report")
        return (yield)


def pytest_unconfigure():
    FOLDER.cleanup()
