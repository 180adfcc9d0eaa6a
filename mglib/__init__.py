"""mglib: modality generalization, cross-modality transfer and missing modalities on one engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mglib.trials.artifacts import Learner

__version__ = "0.1.0"


def load(key: str) -> Learner:
    """The trained learner of a key, or of an unambiguous beginning of one: `.predict`, `.trial`.

    Of trials that were run with `weights`. Raises MglibError if no weights are kept under the key.
    """
    from mglib.trials.artifacts import load_learner

    return load_learner(key)
