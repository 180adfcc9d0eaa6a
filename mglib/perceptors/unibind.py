"""Features of UniBind, which others extracted."""

from __future__ import annotations

from mglib.perceptors._imported import Bound
from mglib.registry import perceptors


@perceptors.register("unibind")
class UniBind(Bound):
    """UniBind's common space, as extracted elsewhere; imported features alone.

    Source: Lyu et al. 2024 (CVPR), 1,024 values, bound through texts of language models.
    """

    published = "unibind"
