"""Features of LanguageBind, which others extracted."""

from __future__ import annotations

from mglib.perceptors._imported import Bound
from mglib.registry import perceptors


@perceptors.register("languagebind")
class LanguageBind(Bound):
    """LanguageBind's common space, as extracted elsewhere; imported features alone.

    Source: Zhu et al. 2024 (arXiv 2310.01852), 768 values, bound through language.
    """

    published = "languagebind"
