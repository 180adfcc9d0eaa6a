"""The memory of worker processes: what they are started with, and what a user has set."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

from mglib.trials.allocator import NAME, lasting_memory


def test_processes_started_within_are_told_and_no_others(monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        with lasting_memory():
            future = pool.submit(os.getenv, NAME)
        told = future.result()
    assert told is not None and "glibc.malloc.hugetlb=1" in told.split(":")
    assert NAME not in os.environ


def test_what_the_user_has_set_comes_last_and_is_put_back(monkeypatch):
    monkeypatch.setenv(NAME, "glibc.malloc.hugetlb=0")
    with lasting_memory():
        settings = os.environ[NAME].split(":")
        assert settings[-1] == "glibc.malloc.hugetlb=0" and "glibc.malloc.hugetlb=1" in settings
    assert os.environ[NAME] == "glibc.malloc.hugetlb=0"
