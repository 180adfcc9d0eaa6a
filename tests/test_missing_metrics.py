"""Metrics by hand and against scikit-learn and scipy; the ceiling of noisy labels by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from mglib.data.emoji_sentiment import sampling_variance, sentiment
from mglib.errors import MglibError
from mglib.missing.metrics import (
    class_scores,
    correlation,
    label_ceiling,
    mean_absolute_error,
    probability_scores,
    rounded_agreement,
    sentiment_scores,
    two_classes,
)

# labels in [-3, 3]; the third is 0, the last two are beyond what is told apart
WANTED = np.array([-2.0, -0.4, 0.0, 1.0, 2.6, 3.0])
SAID = np.array([-1.6, 0.2, -0.3, 1.4, 2.4, 4.2])


def test_regression_by_hand():
    scores = sentiment_scores(SAID, WANTED)
    assert scores["mae"] == pytest.approx((0.4 + 0.6 + 0.3 + 0.4 + 0.2 + 1.2) / 6)
    # rounded: -2 0 0 1 2 3 (clipped from 4) for -2 0 0 1 3 3
    assert scores["acc7"] == pytest.approx(5 / 6)
    # clipped to 2: -2 0 0 1 2 2 for -2 0 0 1 2 2
    assert scores["acc5"] == pytest.approx(1)


def test_has0_and_non0_differ():
    scores = sentiment_scores(SAID, WANTED)
    # has0: said - + - + + + for - - + + + +, four of six; "-" has F1 1/2, "+" 6/8
    assert scores["acc2_has0"] == pytest.approx(4 / 6)
    assert scores["f1_has0"] == pytest.approx((2 * 0.5 + 4 * 0.75) / 6)
    # non0: without the third, - + + + + for - - + + +; "-" has F1 2/3, "+" 6/7
    assert scores["acc2_non0"] == pytest.approx(4 / 5)
    assert scores["f1_non0"] == pytest.approx((2 * (2 / 3) + 3 * (6 / 7)) / 5)
    # a prediction of exactly 0 is not negative, but not positive either
    assert two_classes(np.zeros(2), np.array([1.0, -1.0]), "has0")[0] == 0.5
    assert two_classes(np.zeros(1), np.array([1.0]), "has0")[0] == 1
    assert two_classes(np.zeros(1), np.array([1.0]), "non0")[0] == 0


def test_the_scale_moves_the_rounded_ones_alone():
    plain, scaled = (sentiment_scores(SAID / 3, WANTED / 3, scale) for scale in (1.0, 3.0))
    original = sentiment_scores(SAID, WANTED)
    for name, value in original.items():
        if name == "mae":
            assert scaled[name] == plain[name] == pytest.approx(value / 3)
        else:
            assert scaled[name] == pytest.approx(value)
    # within a third of the range only -1, 0 and 1 are left: -1 0 0 0 1 1 for -1 0 0 0 1 1
    assert plain["acc7"] == 1 and scaled["acc7"] == pytest.approx(5 / 6)


@pytest.fixture
def many():
    random = np.random.RandomState(0)
    wanted = np.clip(np.round(random.randn(4, 200) * 2.4 * 5) / 5, -3, 3)
    wanted[:, ::9] = 0
    return wanted * 0.6 + random.randn(4, 200), wanted


def test_regression_against_scikit_learn_and_scipy(many):
    from scipy.stats import pearsonr
    from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

    scores = sentiment_scores(*many)
    for place, (said, wanted) in enumerate(zip(*many, strict=True)):
        keep = wanted != 0
        expected = {
            "mae": mean_absolute_error(wanted, said),
            "correlation": pearsonr(said, wanted).statistic,
            "acc7": accuracy_score(
                np.round(wanted.clip(-3, 3)).astype(int), np.round(said.clip(-3, 3)).astype(int)
            ),
            "acc5": accuracy_score(
                np.round(wanted.clip(-2, 2)).astype(int), np.round(said.clip(-2, 2)).astype(int)
            ),
            "acc2_has0": accuracy_score(wanted >= 0, said >= 0),
            "f1_has0": f1_score(wanted >= 0, said >= 0, average="weighted"),
            "acc2_non0": accuracy_score(wanted[keep] > 0, said[keep] > 0),
            "f1_non0": f1_score(wanted[keep] > 0, said[keep] > 0, average="weighted"),
        }
        assert {name: value[place] for name, value in scores.items()} == pytest.approx(expected)
        assert {name: float(v) for name, v in sentiment_scores(said, wanted).items()} == (
            pytest.approx(expected)
        )
        assert expected["acc2_has0"] != expected["acc2_non0"]


def test_labels_without_leading_axes_serve_all(many):
    said, wanted = many[0].reshape(2, 2, 200), many[1][0]
    shared = sentiment_scores(said, wanted)
    each = sentiment_scores(said, np.broadcast_to(wanted, said.shape))
    for name, value in shared.items():
        assert value.shape == (2, 2) and np.array_equal(value, each[name])


def test_what_diverged_is_nan_alone(many):
    said, wanted = many[0].copy(), many[1]
    clean = sentiment_scores(said, wanted)
    said[1, 3], said[2, 5] = np.nan, np.inf
    for name, value in sentiment_scores(said, wanted).items():
        assert np.isnan(value).tolist() == [False, True, True, False]
        assert value[[0, 3]].tolist() == clean[name][[0, 3]].tolist()


def test_what_has_no_value_is_nan():
    assert np.isnan(correlation(np.ones(3), np.arange(3.0)))
    assert np.isnan(correlation(np.arange(3.0), np.ones(3)))
    accuracy, f1 = two_classes(np.ones(2), np.zeros(2), "non0")
    assert np.isnan(accuracy) and np.isnan(f1)
    assert correlation(np.arange(5.0), 3 - 2 * np.arange(5.0)) == -1


def test_classes_by_hand_and_against_scikit_learn():
    from sklearn.metrics import accuracy_score, f1_score

    # class 0 is never true, class 1 has F1 2/3, class 2 has 4/5 (two of two said, one of three not)
    scores = class_scores(np.array([0, 1, 2, 2]), np.array([1, 1, 2, 2]), 3)
    assert scores["accuracy"] == 0.75 and scores["weighted_f1"] == pytest.approx((4 / 3 + 2) / 4)
    random = np.random.RandomState(1)
    wanted = random.choice(7, 300, p=[0.47, 0.12, 0.02, 0.08, 0.18, 0.02, 0.11])
    said = np.where(random.rand(3, 300) < 0.5, wanted, random.randint(0, 6, (3, 300)))
    scores = class_scores(said, wanted, 7)
    for place, own in enumerate(said):
        assert scores["accuracy"][place] == accuracy_score(wanted, own)
        f1 = f1_score(wanted, own, average="weighted")
        assert scores["weighted_f1"][place] == pytest.approx(f1)


def test_probabilities_by_hand():
    given = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [1.0, 0.0]])
    wanted = np.array([0, 1, 1, 1])
    scores = probability_scores(given, wanted, bins=5)
    assert scores["accuracy"] == 0.5
    # the last is certain and wrong: its probability counts as 1e-12
    logs = np.log([0.9, 0.4, 0.8, 1e-12])
    assert scores["cross_entropy"] == pytest.approx(-logs.mean())
    assert scores["brier"] == pytest.approx((0.02 + 0.72 + 0.08 + 2) / 4)
    # bins (.4, .6]: one wrong at .6; (.6, .8]: one right at .8; (.8, 1]: one of two right at .95
    assert scores["calibration_error"] == pytest.approx((0.6 + 0.2 + 2 * 0.45) / 4)
    sure = probability_scores(np.eye(3), np.arange(3))
    assert [float(value) for value in sure.values()] == [1, 0, 0, 0]


def test_probabilities_against_scikit_learn_and_loops():
    from sklearn.metrics import accuracy_score, log_loss

    random = np.random.RandomState(2)
    logits = random.randn(3, 400, 5) * 2
    given = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    wanted = np.array([random.choice(5, p=p) for p in given[0]])
    scores = probability_scores(given, wanted)
    for place, own in enumerate(given):
        best, sure = own.argmax(axis=1), own.max(axis=1)
        error = 0.0
        for low in np.arange(15) / 15:
            inside = (sure > low) & (sure <= low + 1 / 15)
            if inside.any():
                gap = (best[inside] == wanted[inside]).mean() - sure[inside].mean()
                error += inside.mean() * abs(gap)
        assert {name: value[place] for name, value in scores.items()} == pytest.approx(
            {
                "accuracy": accuracy_score(wanted, best),
                "cross_entropy": log_loss(wanted, own, labels=range(5)),
                "brier": np.square(own - np.eye(5)[wanted]).sum(axis=1).mean(),
                "calibration_error": error,
            }
        )
    # labels were drawn from the first: it alone is calibrated
    assert scores["calibration_error"][0] < 0.08 < scores["calibration_error"][1:].min()


def test_probabilities_that_diverged_are_nan_alone():
    given = np.full((2, 4, 2), 0.5)
    given[1, 2] = np.nan
    for value in probability_scores(given, np.array([0, 1, 0, 1])).values():
        assert np.isnan(value).tolist() == [False, True]
    single = probability_scores(given[0].astype(np.float32), np.array([0, 1, 0, 1]))
    assert single["cross_entropy"] == pytest.approx(np.log(2)) and single["brier"] == 0.5


def test_ceiling_by_hand():
    labels, variance = np.array([-1.0, 0.0, 1.0]), np.array([0.1, 0.25, 0.4])
    ceiling = label_ceiling(labels, variance)
    assert ceiling.mse == pytest.approx(0.25) and ceiling.reliability == pytest.approx(0.75)
    assert ceiling.correlation == pytest.approx(0.75**0.5)
    roots = np.sqrt([0.1, 0.25, 0.4])
    assert ceiling.mae == pytest.approx(roots.mean() * (2 / np.pi) ** 0.5)
    clean = label_ceiling(labels, np.zeros(3))
    assert (clean.correlation, clean.mse, clean.mae) == (1, 0, 0)
    assert label_ceiling(labels, np.full(3, 9.0)).correlation == 0


@pytest.fixture(scope="module")
def simulated():
    """True sentiments [N] and counts [R, N, 3] of them, as few and as skewed as in the table."""
    random = np.random.RandomState(3)
    shares = random.dirichlet([1.6, 2.4, 4.0], 600)
    totals = np.rint(5 * np.exp(random.exponential(2.0, 600))).clip(5, 15000).astype(int)
    draws = [random.multinomial(n, p, 400) for n, p in zip(totals, shares, strict=True)]
    return shares[:, 2] - shares[:, 0], np.stack(draws, axis=1)


def test_variance_from_counts_has_no_bias(simulated):
    truth, counts = simulated
    estimated = np.array([sampling_variance(own) for own in counts])
    labels = np.array([sentiment(own) for own in counts])
    actual = np.square(labels - truth).mean()
    assert estimated.mean() == pytest.approx(actual, rel=0.02)


def test_ceiling_is_what_the_truth_itself_reaches(simulated):
    truth, counts = simulated
    labels = np.array([sentiment(own) for own in counts])
    ceilings = [
        label_ceiling(own, sampling_variance(n)) for own, n in zip(labels, counts, strict=True)
    ]
    reached = correlation(np.broadcast_to(truth, labels.shape), labels)
    found = np.array([ceiling.correlation for ceiling in ceilings])
    assert found.mean() == pytest.approx(reached.mean(), abs=0.003) and found.std() < 0.015
    assert np.mean([c.mse for c in ceilings]) == pytest.approx(
        np.square(labels - truth).mean(), rel=0.02
    )
    best = mean_absolute_error(np.broadcast_to(truth, labels.shape), labels).mean()
    mae = np.mean([c.mae for c in ceilings])
    assert 0.94 * best < mae < best
    assert reached.mean() < 0.95, "the labels of the simulation are noisy"


def test_no_other_predictor_beats_the_ceiling(simulated):
    truth, counts = simulated
    labels = np.array([sentiment(own) for own in counts])
    ceiling = label_ceiling(labels[0], sampling_variance(counts[0])).correlation
    others = np.stack([truth**3, np.tanh(2 * truth), np.sqrt(truth + 1), np.sign(truth)])
    for other in others:
        assert correlation(np.broadcast_to(other, labels.shape), labels).mean() < ceiling


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mean_absolute_error(np.ones(3), np.ones(4)), r"\(3,\) for labels of shape \(4,\)"),
        (lambda: mean_absolute_error(np.ones((2, 3)), np.ones((3, 3))), "labels of shape"),
        (lambda: correlation(np.ones(0), np.ones(0)), r"\(0,\)"),
        (lambda: correlation(np.ones(2), np.array([1, np.nan])), "labels must be finite"),
        (lambda: rounded_agreement(np.ones(2), np.ones(2), 0), "bound must be at least 1, not 0"),
        (lambda: two_classes(np.ones(2), np.ones(2), "hsa0"), "did you mean 'has0'"),
        (lambda: sentiment_scores(np.ones(2), np.ones(2), 0), "scale must be above 0, not 0"),
        (lambda: class_scores(np.array([0, 3]), np.array([0, 1]), 3), "from 0 to 2"),
        (lambda: class_scores(np.array([0, 1]), np.array([0.5, 1]), 3), "from 0 to 2"),
        (lambda: probability_scores(np.ones((2, 2)), np.array([0, 1])), "sum to 1"),
        (lambda: probability_scores(np.array([[-0.5, 1.5]]), np.array([0])), "0 or more"),
        (lambda: probability_scores(np.eye(2), np.array([0, 2])), "from 0 to 1"),
        (lambda: probability_scores(np.eye(2), np.array([0, 1]), 0), "in 0 bins"),
        (lambda: label_ceiling(np.ones(3), np.ones(3)), "labels .* that differ"),
        (lambda: label_ceiling(np.arange(3.0), -np.ones(3)), "variances must be"),
        (lambda: label_ceiling(np.arange(3.0), np.ones(2)), "labels of shape"),
    ],
)
def test_bad_input_is_one_clear_line(call, said):
    with pytest.raises(MglibError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
