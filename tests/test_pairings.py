"""Pairings: no item leaves its part, items take turns, and samples follow the exact law."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, norm

from mglib.data.splits import split_indices
from mglib.errors import MglibError
from mglib.missing.ceilings import joint
from mglib.registry import pairings

NAMED = {
    "instance": 3,
    "same_class": 3,
    "two_digits": 2,
    "two_digits@sigma=0": 2,
    "two_digits@sigma=2": 2,
    "xor": 3,
    "xor@classes=10": 2,
    "three_digits": 3,
    "three_digits@synergy=1": 3,
}
GROUPS = np.repeat(np.arange(38), 50)
DIGITS = np.tile(np.repeat(np.arange(10), 5), 38)
PARTS = split_indices(GROUPS, 0)


def paired(name, seed=0, digits=DIGITS, parts=PARTS, modalities=None):
    return pairings.get(name)().pair(digits, parts, modalities or NAMED[name], seed)


def many(name, seed=0, each=10_000):
    """A sample with `each` items of every digit."""
    digits = np.tile(np.arange(10), each)
    return paired(name, seed, digits, {"all": np.arange(len(digits))})


def frequencies(sample, shape):
    table = np.zeros(shape)
    np.add.at(table, (*sample.digits, sample.labels), 1 / len(sample.labels))
    return table


def test_all_are_covered_here():
    assert {name.partition("@")[0] for name in NAMED} == set(pairings.names())


@pytest.mark.parametrize("name", NAMED)
def test_items_stay_in_their_part(name):
    sample = paired(name)
    assert sample.index.shape == (NAMED[name], len(DIGITS)) and sample.index.dtype == np.int64
    part_of = np.empty(len(DIGITS), dtype=np.int64)
    for number, part in enumerate(PARTS.values()):
        part_of[part] = number
    assert (part_of[sample.index] == part_of).all()
    np.testing.assert_array_equal(sample.index[0], np.arange(len(DIGITS)))
    np.testing.assert_array_equal(sample.digits, DIGITS[sample.index])
    assert sample.labels.min() >= 0 and sample.labels.max() < sample.classes


@pytest.mark.parametrize("name", NAMED)
def test_items_of_a_digit_take_turns(name):
    sample = paired(name)
    for part in PARTS.values():
        for row in sample.index:
            uses = np.bincount(row[part], minlength=len(DIGITS))
            for digit in range(10):
                own = uses[part[DIGITS[part] == digit]]
                assert own.max() - own.min() <= 1
            assert uses.max() <= 2
    if name.startswith(("instance", "same_class")):
        assert all(len(np.unique(row)) == len(DIGITS) for row in sample.index)


@pytest.mark.parametrize("name", NAMED)
def test_seeds(name):
    one, again, other = paired(name), paired(name), paired(name, seed=1)
    np.testing.assert_array_equal(one.index, again.index)
    np.testing.assert_array_equal(one.labels, again.labels)
    assert (one.index != other.index).any() == (name != "instance")
    turned = paired(name, parts=dict(reversed(PARTS.items())))
    np.testing.assert_array_equal(one.index, turned.index)
    rows = one.index[1:]
    assert (rows == np.arange(len(DIGITS))).all() == (name == "instance")


@pytest.mark.parametrize("name", NAMED)
def test_samples_follow_the_law(name):
    law = pairings.get(name)().joint(NAMED[name])
    assert law.shape == (10,) * NAMED[name] + (many(name, each=10).classes,)
    table = frequencies(many(name), law.shape)
    assert table[law == 0].sum() == 0
    # The mean total variation of n independent draws is sqrt(p (1 - p) / (2 pi n)) by cell.
    allowed = np.sqrt(law * (1 - law) / (2 * np.pi * 100_000)).sum()
    assert np.abs(table - law).sum() / 2 <= 1.1 * allowed + 1e-12
    expected = 100_000 * law[law > 0]
    often = expected > 5
    statistic = ((100_000 * table[law > 0] - expected)[often] ** 2 / expected[often]).sum()
    assert statistic < chi2.ppf(1 - 1e-4, often.sum())


@pytest.mark.parametrize("name", ["two_digits", "xor", "three_digits@synergy=0.2"])
def test_small_samples_follow_the_law_on_average(name):
    """Draws are stratified, which must not bend their law: few items, many seeds."""
    modalities = NAMED[name.partition("@")[0]]
    law = pairings.get(name)().joint(modalities)
    digits = np.tile(np.arange(10), 7)
    parts = {"all": np.arange(70)}
    table = sum(
        frequencies(paired(name, seed, digits, parts, modalities), law.shape) for seed in range(300)
    )
    one = table.sum(axis=tuple(range(1, modalities))) / 300
    exact = law.sum(axis=tuple(range(1, modalities)))
    assert np.abs(one - exact).max() < 5 * np.sqrt(exact.max() / 21_000)
    assert (table[law == 0] == 0).all()


def test_the_definition_of_two_digits():
    """With delta itself from a normal law, not from our table of it."""
    sample = many("two_digits@sigma=2")
    shift = (sample.digits[1] - sample.digits[0]) % 10
    edges = np.arange(-40, 41)
    mass = norm.cdf(edges + 0.5, scale=2) - norm.cdf(edges - 0.5, scale=2)
    expected = np.array([mass[edges % 10 == k].sum() for k in range(10)])
    np.testing.assert_allclose(np.bincount(shift) / len(shift), expected, atol=1e-4)
    exact = [round((int(x) + int(y)) / 2) for x, y in sample.digits[:, :500].T]
    assert sample.labels[:500].tolist() == exact and sample.classes == 10


def test_the_definitions_of_the_sums():
    parity, tens = paired("xor"), paired("xor@classes=10")
    assert parity.classes == 2 and tens.classes == 10
    np.testing.assert_array_equal(parity.labels, parity.digits.sum(axis=0) % 2)
    np.testing.assert_array_equal(tens.labels, tens.digits.sum(axis=0) % 10)
    four = paired("xor", modalities=4)
    np.testing.assert_array_equal(four.labels, four.digits.sum(axis=0) % 2)
    three = many("three_digits")
    np.testing.assert_array_equal(three.labels, three.digits.sum(axis=0) % 10)
    # Two copies agree if neither is new, or by chance: 0.5^2 + (1 - 0.5^2) / 10.
    for one, other in ((0, 1), (0, 2), (1, 2)):
        agree = (three.digits[one] == three.digits[other]).mean()
        assert agree == pytest.approx(0.325, abs=0.005)


def test_a_sample_reaches_the_exact_ceiling():
    """The Bayes answer from one digit errs on a sample as often as its law says."""
    pairing = pairings.get("two_digits@sigma=2")()
    law = pairing.joint(2)
    answer = joint.posterior(law, (False, True))[0].argmax(axis=1)
    sample = many("two_digits@sigma=2")
    wrong = (answer[sample.digits[1]] != sample.labels).mean()
    assert wrong == pytest.approx(joint.bayes_error(law, (False, True)), abs=0.005)


def test_instances_and_classes_of_any_dataset():
    labels = np.arange(60) % 28
    parts = {"train": np.arange(40), "test": np.arange(40, 60)}
    anew = paired("same_class", digits=labels, parts=parts, modalities=2)
    assert anew.classes == 28
    np.testing.assert_array_equal(anew.labels, labels)
    np.testing.assert_array_equal(labels[anew.index[1]], labels)
    real = paired("instance", digits=labels / 7, parts=parts)
    assert real.classes == 0
    np.testing.assert_array_equal(real.labels, labels / 7)


def test_what_is_in_no_part_stays_out_of_all():
    parts = {name: part for name, part in PARTS.items() if name != "binding"}
    sample = paired("three_digits", parts=parts)
    inside = np.isin(np.arange(len(DIGITS)), PARTS["binding"])
    assert (inside[sample.index] == inside).all()
    np.testing.assert_array_equal(sample.labels, sample.digits.sum(axis=0) % 10)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: pairings.get("two_digit"), "did you mean 'two_digits'"),
        (lambda: pairings.get("two_digits@sigma=9"), "a number from 0 to 8, not '9'"),
        (lambda: pairings.get("two_digits@sigma=1"), "is written 'two_digits'"),
        (lambda: pairings.get("xor@classes=3"), "2 or 10, not 3"),
        (lambda: pairings.get("xor@classes=20"), "has 2 or 10 classes"),
        (lambda: pairings.get("three_digits@synergy=2"), "from 0 to 1, not '2'"),
        (lambda: paired("two_digits", modalities=3), "'two_digits' joins 2 modalities, not 3"),
        (lambda: pairings.get("two_digits")().joint(3), "joins 2 modalities, not 3"),
        (lambda: paired("xor", modalities=1), "joins 2 or more modalities, not 1"),
        (lambda: paired("three_digits", modalities=2), "joins 3 modalities, not 2"),
        (lambda: paired("xor", digits=DIGITS + 1), "labels, the digits 0 to 9"),
        (lambda: paired("same_class", digits=DIGITS / 2), "labels, classes"),
        (lambda: paired("xor", parts={"a": [0, 1], "b": [1, 2]}), "at most once"),
        (lambda: paired("xor", parts={"a": [5000]}), "parts a must hold each of the 1900 items"),
        (
            lambda: paired("xor", digits=np.zeros(40, int), parts={"all": np.arange(40)}),
            "part 'all' has no item of the class 1",
        ),
    ],
)
def test_refusals(ask, words):
    with pytest.raises(MglibError, match=words) as told:
        ask()
    assert "\n" not in str(told.value)
