"""Recall at k against a slow loop, and its edges."""

from __future__ import annotations

import numpy as np
import pytest

from mglib.analysis.retrieval import recall_at_k
from mglib.errors import MglibError


def slow_recall(queries: np.ndarray, gallery: np.ndarray, k: int) -> float:
    hits = 0
    for own, query in enumerate(queries):
        scores = [
            float(query @ row / np.linalg.norm(query) / np.linalg.norm(row)) for row in gallery
        ]
        hits += sorted(scores, reverse=True).index(scores[own]) < k
    return hits / len(queries)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_equals_a_loop(k):
    random = np.random.RandomState(0)
    gallery = random.randn(40, 6)
    queries = gallery + 0.8 * random.randn(40, 6)
    assert recall_at_k(queries, gallery, k) == pytest.approx(slow_recall(queries, gallery, k))


def test_length_of_vectors_is_irrelevant_and_pairs_are_found():
    rows = np.random.RandomState(1).randn(30, 8)
    assert recall_at_k(rows, 7.0 * rows, 1) == 1.0


def test_ties_count_against_the_query():
    constant = np.ones((10, 4))
    assert recall_at_k(constant, constant, 9) == 0.0
    assert recall_at_k(constant, constant, 10) == 1.0
    twins = np.repeat(np.random.RandomState(2).randn(5, 33), 2, axis=0)
    assert recall_at_k(twins, twins, 1) == 0.0 and recall_at_k(twins, twins, 2) == 1.0
    zero = np.zeros((10, 4))
    assert recall_at_k(zero, constant, 3) == 0.0


def test_refuses_what_has_no_answer():
    rows = np.ones((4, 2))
    for queries, gallery, k in (
        (rows, rows[:3], 1),
        (rows, rows, 0),
        (rows, rows, 5),
        (rows * np.nan, rows, 1),
    ):
        with pytest.raises(MglibError):
            recall_at_k(queries, gallery, k)
