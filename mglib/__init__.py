"""mglib: modality generalization, cross-modality transfer and missing modalities on one engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mglib.missing.kept import Fusion
    from mglib.transfer.kept import Transferred
    from mglib.trials.artifacts import Learner

__version__ = "0.1.0"


def load(key: str) -> Learner | Transferred | Fusion:
    """What was learned under a key, or an unambiguous beginning of one: `.predict`, `.trial`.

    A learner of the benchmark, a body after transfer or a model that bears missing modalities, of
    trials that were run with `weights`.
    Raises MglibError if no weights are kept under the key.
    """
    from mglib.trials.kept import find_kept

    kept = find_kept(key)
    if kept.sort == "transfer":
        from mglib.transfer.kept import load_body

        return load_body(kept)
    if kept.sort == "missing":
        from mglib.missing.kept import load_fusion

        return load_fusion(kept)
    from mglib.trials.artifacts import load_learner

    return load_learner(kept)
