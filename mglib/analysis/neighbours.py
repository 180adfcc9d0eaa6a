"""How much the nearest neighbours tell of each modality's labels: probes that learn nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from mglib.analysis.probes import asked, rows_of_probes
from mglib.errors import MglibError

VERSION = 1
COUNTS = (1, 3, 10, 30)  # ours


def neighbour_probe(
    features: np.ndarray,
    labels: np.ndarray,
    parts: dict[str, np.ndarray],
    counts: Sequence[int] = COUNTS,
) -> tuple[float, float]:
    """Test accuracy of the vote of the k nearest of "train" by cosine, and k.

    Features [N, D] with labels [N]; the least class wins a tied vote (scikit-learn's classifier).
    The k with the best accuracy on "validation" is taken, the largest of equals; "test" takes no
    part in any choice. Raises MglibError for features that are not finite, and where the training
    part has fewer instances than a k.
    """
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import normalize

    if not np.isfinite(features).all():
        raise MglibError("a probe needs finite features")
    train, validation, test = (parts[name] for name in ("train", "validation", "test"))
    if max(counts) > len(train):
        raise MglibError(
            f"{max(counts)} neighbours are asked of {len(train)} instances to learn from; "
            f"at most {len(train)} are there"
        )
    unit = normalize(features.astype(np.float64))
    best, accuracy, chosen = -1.0, float("nan"), float("nan")
    for count in counts:
        fitted = KNeighborsClassifier(count, algorithm="brute").fit(unit[train], labels[train])
        score = fitted.score(unit[validation], labels[validation])
        if score >= best:
            best, chosen = score, count
            accuracy = fitted.score(unit[test], labels[test])
    return float(accuracy), float(chosen)


def neighbour_rows(
    experiment: str,
    dataset: str,
    split_seeds: Iterable[int],
    *,
    profile: str,
    perceptors: Sequence[str] = ("frozen", "bound"),
    targets: Sequence[str] = ("class", "subgroup"),
) -> pa.Table:
    """Rows `accuracy`, `majority` and `neighbours` of each modality, perceptor, target and split.

    The target stands in `hparams`; k has the split "validation", where it was chosen. Raises
    MglibError for a target that the dataset does not have.
    """
    return rows_of_probes(
        experiment,
        asked(dataset, split_seeds, perceptors, targets, "neighbours", {"counts": list(COUNTS)}),
        neighbour_probe,
        chosen="neighbours",
        version=VERSION,
        profile=profile,
        label="nearest neighbours",
    )
