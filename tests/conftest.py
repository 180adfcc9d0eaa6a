"""Shared fixtures: the prepared data set, and a tiny made-up one in a cache of its own."""

from __future__ import annotations

import _bodies
import _tiny
import pytest
import torch

from mglib import registry
from mglib.perceptors.prepare import prepare
from mglib.transfer.named import body_named


@pytest.fixture(scope="session")
def emoji_concepts() -> str:
    """The name of the data set, prepared once in the cache that everybody uses."""
    prepare("emoji_concepts")
    return "emoji_concepts"


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> str:
    """The name of a small data set, registered for one test, with an empty cache."""
    monkeypatch.setenv("MGLIB_CACHE", str(tmp_path / "cache"))
    registry.datasets.names(), registry.perceptors.names()
    monkeypatch.setitem(registry.datasets._found, "tiny", _tiny.Tiny)
    monkeypatch.setitem(registry.perceptors._found, "shifted", _tiny.Shifted)
    return "tiny"


@pytest.fixture
def one_thread():
    """Torch on one thread: sums whose digits are compared must not hang on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Small random models of transformers, each in a folder of its kind."""
    root = tmp_path_factory.mktemp("bodies")
    _bodies.write_models(root)
    return root


@pytest.fixture(scope="session")
def made(folders):
    """A body by kind, made once: tests that change one make their own."""
    kept = {}

    def body(kind):
        if kind not in kept:
            kept[kind] = body_named(str(folders / kind) if kind in _bodies.CONFIGS else kind)()
        return kept[kind]

    return body
