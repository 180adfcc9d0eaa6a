"""Every incomplete subset with something observed is as likely as every other."""

from __future__ import annotations

from mglib.missing.laws.uniform_patterns import UniformPatterns
from mglib.missing.subsets import Subset, full
from mglib.registry import laws


@laws.register("patterns_but_full")
class PatternsButFull(UniformPatterns):
    """A row observes one of the 2^M - 2 proper non-empty subsets, each as likely; rate 1 alone.

    MMIN's training (ACL 2021; six patterns of three modalities). It tests every row once in each
    pattern, which is the caller's: masks of one subset are no law.
    """

    title = "uniform over incomplete patterns"

    def patterns(self, modalities: int) -> list[Subset]:
        whole = full(modalities)
        return [subset for subset in super().patterns(modalities) if subset != whole]
