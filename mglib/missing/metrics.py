"""How answers are judged: sentiment regression as MMSA does, classes, probabilities, a ceiling.

All functions take predictions with any leading axes and give one value for each of them: [..., N]
gives [...]. Labels are [N] or have the same leading axes. A prediction that is not finite makes its
own value NaN and no other. MMSA is the toolkit of Mao et al. (M-SENA, ACL 2022), whose rules these
are (its `utils/metricsTop.py`); the code is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mglib.errors import MglibError, unknown

CONVENTIONS = ("has0", "non0")
CLIP = 1e-12  # the least probability that a cross-entropy sees
BINS = 15


def _sides(predicted: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [..., N], predictions NaN where they are not finite.

    Raises MglibError if they do not fit or labels are not finite.
    """
    given, labels = np.asarray(predicted, np.float64), np.asarray(wanted, np.float64)
    if not given.ndim or not given.shape[-1] or labels.shape not in (given.shape, given.shape[-1:]):
        raise MglibError(f"predictions of shape {given.shape} for labels of shape {labels.shape}")
    if not np.isfinite(labels).all():
        raise MglibError("labels must be finite")
    # infinities would warn on their way to NaN
    return np.where(np.isfinite(given), given, np.nan), np.broadcast_to(labels, given.shape)


def _where_finite(value: np.ndarray, given: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(given).all(axis=-1), value, np.nan)


def mean_absolute_error(predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Mean of |predicted - wanted| [...], in the unit of the labels; MglibError for bad shapes."""
    given, labels = _sides(predicted, wanted)
    return _where_finite(np.abs(given - labels).mean(axis=-1), given)


def correlation(predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Pearson's correlation [...] in [-1, 1]; NaN where either side is constant.

    Raises MglibError for bad shapes.
    """
    given, labels = _sides(predicted, wanted)
    x, y = (side - side.mean(axis=-1, keepdims=True) for side in (given, labels))
    varies = (np.ptp(given, axis=-1) > 0) & (np.ptp(labels, axis=-1) > 0)
    scale = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    value = (x * y).sum(axis=-1) / np.where(varies, scale, np.nan)
    return np.clip(value, -1, 1)


def rounded_agreement(predicted: np.ndarray, wanted: np.ndarray, bound: int) -> np.ndarray:
    """Share [...] of equal whole numbers after both sides are clipped to -bound..bound.

    Labels in [-3, 3] as MMSA has them: bound 3 is its Acc-7, 2 its Acc-5. Halves round to even, as
    there. Raises MglibError for bad shapes and a bound below 1.
    """
    if bound < 1:
        raise MglibError(f"bound must be at least 1, not {bound}")
    given, labels = _sides(predicted, wanted)
    whole = [np.round(np.clip(side, -bound, bound)) for side in (given, labels)]
    return _where_finite((whole[0] == whole[1]).mean(axis=-1), given)


def two_classes(
    predicted: np.ndarray, wanted: np.ndarray, convention: str
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy [...] and weighted F1 [...] of the sign, by one of MMSA's two conventions.

    "has0": negative against not negative (>= 0), all instances. "non0": positive (> 0) against the
    rest, only where the label is not 0; NaN if there is none. Raises MglibError for bad shapes and
    an unknown convention.
    """
    if convention not in CONVENTIONS:
        raise unknown("convention", convention, CONVENTIONS)
    given, labels = _sides(predicted, wanted)
    if convention == "has0":
        said, true, among = given >= 0, labels >= 0, np.ones(given.shape, dtype=bool)
    else:
        said, true, among = given > 0, labels > 0, labels != 0
    scores = (_hits(said, true, among), _weighted_f1(said, true, among, 2))
    return _where_finite(scores[0], given), _where_finite(scores[1], given)


def _hits(said: np.ndarray, true: np.ndarray, among: np.ndarray) -> np.ndarray:
    total = among.sum(axis=-1)
    return ((said == true) & among).sum(axis=-1) / np.where(total, total, np.nan)


def _weighted_f1(said: np.ndarray, true: np.ndarray, among: np.ndarray, classes: int) -> np.ndarray:
    """The mean of the classes' F1, weighted by how often each is true."""
    weighted = np.zeros(said.shape[:-1])
    for own in range(classes):
        mine, real = (said == own) & among, (true == own) & among
        both, support = (mine & real).sum(axis=-1), real.sum(axis=-1)
        either = mine.sum(axis=-1) + support
        weighted += support * 2 * both / np.where(either, either, 1)
    total = among.sum(axis=-1)
    return weighted / np.where(total, total, np.nan)


def sentiment_scores(
    predicted: np.ndarray, wanted: np.ndarray, scale: float = 1.0
) -> dict[str, np.ndarray]:
    """The scores of sentiment regression by name, each [...]: as in MMSA, on labels in [-3, 3].

    `mae`, `correlation`, `acc7`, `acc5`, `acc2_has0`, `f1_has0`, `acc2_non0` (meant where a paper
    names no convention, say its authors), `f1_non0`. `scale` brings labels to [-3, 3] for `acc7`
    and `acc5`: 3, ours, for labels in [-1, 1]. Nothing else depends on it; `mae` stays in the unit
    of the labels. Raises MglibError for bad shapes and a scale that is not above 0.
    """
    if not 0 < scale < np.inf:
        raise MglibError(f"scale must be above 0, not {scale}")
    given, labels = _sides(predicted, wanted)
    scores = {
        "mae": mean_absolute_error(given, labels),
        "correlation": correlation(given, labels),
        "acc7": rounded_agreement(scale * given, scale * labels, 3),
        "acc5": rounded_agreement(scale * given, scale * labels, 2),
    }
    for name in CONVENTIONS:
        scores[f"acc2_{name}"], scores[f"f1_{name}"] = two_classes(given, labels, name)
    return scores


def class_scores(predicted: np.ndarray, wanted: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """`accuracy` and `weighted_f1` [...] of predicted classes [..., N], as MELD is judged by.

    Raises MglibError for bad shapes and for what is no class from 0 to classes - 1.
    """
    said, true = _sides(predicted, wanted)
    for side in (said, true):
        if not np.isin(side, np.arange(classes)).all():
            raise MglibError(f"classes must be whole numbers from 0 to {classes - 1}")
    among = np.ones(said.shape, dtype=bool)
    return {
        "accuracy": _hits(said, true, among),
        "weighted_f1": _weighted_f1(said, true, among, classes),
    }


def probability_scores(
    probabilities: np.ndarray, wanted: np.ndarray, bins: int = BINS
) -> dict[str, np.ndarray]:
    """Scores [...] of probabilities [..., N, C], such as one for each subset of the modalities.

    `accuracy` of the likeliest class; `cross_entropy` in nats, of probabilities that are 1e-12 at
    least; `brier`, the squared distance of all C from the true class, 0 to 2 (Brier 1950);
    `calibration_error`, |accuracy - confidence| over `bins` equal bins of the confidence, weighted
    by their instances (Guo et al. 2017, arXiv 1706.04599). Labels are classes [N] or [..., N].
    Raises MglibError for bad shapes, labels or probabilities, and for less than 1 bin.
    """
    given = np.asarray(probabilities, np.float64)
    if bins < 1 or given.ndim < 2:
        raise MglibError(
            f"probabilities of shape {given.shape} in {bins} bins: need [..., N, C], 1"
        )
    finite = np.asarray(np.isfinite(given).all(axis=-1))
    likely = np.where(finite[..., None], given, 1 / given.shape[-1])
    if likely.min(initial=0) < 0 or not np.allclose(likely.sum(axis=-1), 1, atol=1e-4):
        raise MglibError("probabilities must be 0 or more and sum to 1 over the last axis")
    best = likely.argmax(axis=-1)
    hits = class_scores(best, wanted, given.shape[-1])["accuracy"]
    true = np.broadcast_to(np.asarray(wanted).astype(np.int64), best.shape)[..., None]
    chosen = np.take_along_axis(likely, true, axis=-1)[..., 0]
    brier = (likely**2).sum(axis=-1) - 2 * chosen + 1
    gap = np.where(best == true[..., 0], 1.0, 0.0) - likely.max(axis=-1)
    # a confidence on an edge counts below it
    place = np.clip(np.ceil(likely.max(axis=-1) * bins).astype(np.int64) - 1, 0, bins - 1)
    errors = [np.abs(np.where(place == own, gap, 0).mean(axis=-1)) for own in range(bins)]
    scores = {
        "accuracy": hits,
        "cross_entropy": -np.log(np.maximum(chosen, CLIP)).mean(axis=-1),
        "brier": brier.mean(axis=-1),
        "calibration_error": np.sum(errors, axis=0),
    }
    return {name: np.where(finite.all(axis=-1), value, np.nan) for name, value in scores.items()}


@dataclass(frozen=True)
class Ceiling:
    """The best that a predictor can do on noisy labels, though it knew what each was drawn from.

    `reliability` is the share of the labels' variance that is not noise, `correlation` its root,
    `mse` and `mae` the errors that remain, `mae` for noise that is normal.
    """

    reliability: float
    correlation: float
    mse: float
    mae: float


def label_ceiling(labels: np.ndarray, variance: np.ndarray) -> Ceiling:
    """The ceiling of labels [N] whose errors have mean 0 and a known `variance` [N].

    With unbiased variances the variance of the truth is that of the labels (over N - 1) less the
    mean error variance; a share below 0 counts as 0. The root of an estimated variance is too small
    on average, and so is `mae`: by about 3 % at the counts of `emoji_sentiment`, by simulation.
    Raises MglibError for bad shapes, labels that are all equal, and bad variances.
    """
    error, noisy = _sides(variance, labels)
    if noisy.ndim != 1 or not np.ptp(noisy):
        raise MglibError(f"a ceiling needs labels [N] that differ, not {noisy.shape} equal ones")
    if not (error >= 0).all():
        raise MglibError("variances must be finite and 0 or more")
    share = max(0.0, 1 - float(error.mean() / noisy.var(ddof=1)))
    return Ceiling(
        reliability=share,
        correlation=share**0.5,
        mse=float(error.mean()),
        mae=float(np.sqrt(2 / np.pi * error).mean()),
    )
