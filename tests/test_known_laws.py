"""Laws whose ceilings are exact: printed tables, synergy, and what sums of logits can say."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog

from mglib.missing.ceilings import joint, known_laws
from mglib.missing.ceilings.random_patterns import (
    averaged,
)
from mglib.missing.subsets import subsets

EMPTY_3 = (False, False, False)
ALL_3 = (True, True, True)


# Sigma; then H(T), I(X;T), Gamma_X, metric and e_X as computed once, by hand and elsewhere.
PRINTED = [
    (0, 2.303, 2.303, 0, 0, 0),
    (0.3, 2.297, 2.087, 0.210, 0.183, 0.053),
    (0.5, 2.245, 1.768, 0.477, 0.425, 0.176),
    (1, 2.144, 1.262, 0.882, 0.823, 0.400),
    (math.sqrt(2), 2.117, 0.975, 1.143, 1.079, 0.489),
    (2, 2.082, 0.690, 1.392, 1.337, 0.563),
    (4, 2.002, 0.430, 1.573, 1.571, 0.687),
]


@pytest.mark.parametrize("row", PRINTED)
def test_two_digits_have_the_printed_values(row):
    law = known_laws.two_digits(row[0])
    whole, one, other = (True, True), (True, False), (False, True)
    found = (
        joint.conditional_entropy(law, (False, False)),
        joint.information(law, one),
        joint.additional_information(law, one, whole),
        joint.complementarity(law),
        joint.bayes_error(law, one),
    )
    assert found == pytest.approx(row[1:], abs=5.001e-4)
    assert joint.information(law, other) == pytest.approx(joint.information(law, one))
    assert joint.bayes_error(law, other) == pytest.approx(joint.bayes_error(law, one))
    together = joint.conditional_entropy(law, whole), joint.bayes_error(law, whole)
    assert together == pytest.approx((0, 0), abs=1e-12)


def test_two_digits_with_halves_up_and_the_accuracy_with_one_missing():
    up = known_laws.two_digits(2, "up")
    assert joint.bayes_error(up, (True, False)) == pytest.approx(0.636, abs=5e-4)
    assert joint.complementarity(up) == pytest.approx(1.346, abs=5e-4)
    errors = joint.bayes_errors(known_laws.two_digits(2))
    missing_one = averaged(errors, {(True, False): 0.5, (False, True): 0.5})
    assert 1 - missing_one == pytest.approx(0.437, abs=5e-4)


@pytest.mark.parametrize(("modalities", "classes"), [(2, 2), (3, 2), (2, 10), (3, 10)])
def test_an_exclusive_or_is_synergy_alone(modalities, classes):
    law = known_laws.xor(modalities, classes)
    whole = (True,) * modalities
    for subset in subsets(modalities, empty=True):
        known = joint.information(law, subset)
        assert known == pytest.approx(math.log(classes) if subset == whole else 0, abs=1e-12)
        e = joint.bayes_error(law, subset)
        assert e == pytest.approx(0 if subset == whole else 1 - 1 / classes, abs=1e-12)
    gamma = joint.additional_information(law, (False,) * modalities, whole)
    assert gamma == pytest.approx(math.log(classes))
    assert joint.complementarity(law) == pytest.approx(modalities)


def sums_of_logits(labels):
    """Whether some sum of one logit vector for each digit says labels [10, 10], by a margin."""
    rows = []
    for first, second in np.ndindex(labels.shape):
        for other in range(10):
            if other != (true := labels[first, second]):
                row = np.zeros((2, 10, 10))  # of either digit, a logit for each label
                row[0, first, [other, true]] = row[1, second, [other, true]] = [1, -1]
                rows.append(row.ravel())
    found = linprog(
        np.zeros(200), A_ub=np.array(rows), b_ub=-np.ones(len(rows)), bounds=(None, None)
    )
    return found.status == 0


def test_a_sum_of_logits_says_rounded_means_but_no_sum_modulo_ten():
    first, second = np.indices((10, 10))
    assert sums_of_logits(known_laws.half_sum(first, second))
    assert not sums_of_logits((first + second) % 10)


def test_three_digits_go_from_redundancy_to_synergy():
    redundant, synergy = known_laws.three_digits(0), known_laws.three_digits(1)
    for subset in subsets(3):
        assert joint.bayes_error(redundant, subset) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(synergy, known_laws.xor(3, 10), atol=1e-15)
    metrics = []
    for share in (0.1, 0.25, 0.5, 0.75):
        law = known_laws.three_digits(share)
        np.testing.assert_allclose(law.sum(axis=(1, 2, 3)), 0.1)
        errors = joint.bayes_errors(law)
        same, anew = 1 - share, share / 10
        # One digit x: the label is 3x if the copying errors of the three cancel, as offsets
        # -2a + b + c, of which 0 is the likeliest sum.
        law_of = np.full(10, anew) + same * (np.arange(10) == 0)
        alone = sum(
            law_of[a] * law_of[b] * law_of[c]
            for a, b, c in product(range(10), repeat=3)
            if (b + c - 2 * a) % 10 == 0
        )
        one = {errors[subset] for subset in subsets(3) if sum(subset) == 1}
        assert all(error == pytest.approx(1 - alone) for error in one)
        assert errors[ALL_3] == pytest.approx(0, abs=1e-12)
        assert errors[EMPTY_3] > 1 - alone > errors[True, True, False] > 0.1
        metrics.append(joint.complementarity(law))
    assert metrics == sorted(metrics) and 0 < metrics[0] and metrics[-1] < 3
