"""Which methods a list of names asks for."""

from __future__ import annotations

import pytest

from mglib.errors import MglibError
from mglib.registry import algorithms
from mglib.trials import corrected_learners, learners


def test_a_published_form_asked_for_brings_no_other_with_it():
    asked = ["erm", "mixup", "concat/as_published"]
    assert ("mixup", "as_published") in learners(asked)  # bare names there are every variant
    assert corrected_learners(asked) == [
        ("erm", "corrected"),
        ("mixup", "corrected"),
        ("concat", "as_published"),
    ]


def test_without_names_every_algorithm_that_learns_is_asked_for_once():
    names = [name for name in algorithms.names() if algorithms.get(name).learns]
    assert corrected_learners() == [(name, "corrected") for name in names]
    assert {name for name, _ in learners()} == set(names)


def test_what_is_no_list_of_learners_is_one_clear_error():
    for asked, words in (
        ([], "one or more different learners"),
        (["erm", "erm"], "one or more different learners"),
        (["erm", "erm/corrected"], "one or more different learners"),
        (["majority"], "learns nothing"),
        (["mixup/as_publish"], "did you mean 'as_published'"),
        (["emr"], "did you mean 'erm'"),
    ):
        with pytest.raises(MglibError, match=words):
            corrected_learners(asked)
