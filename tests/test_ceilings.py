"""Ceilings with missing modalities: printed tables, brute force, attained bounds and refusals."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import entropy as scipy_entropy

from mglib.errors import MglibError
from mglib.missing.ceilings import bounds, joint, known_laws
from mglib.missing.ceilings.deficits import Deficits, averaged_deficits, deficits
from mglib.missing.ceilings.random_patterns import (
    averaged,
    averaged_error_bounds,
    pattern_information,
    rate_polynomial,
)
from mglib.missing.subsets import subset_label, subsets

EMPTY_3 = (False, False, False)
ALL_3 = (True, True, True)


def random_laws(count, classes, random, sizes=(2, 3, 2)):
    """Laws [count, 2, 3, 2, K], from nearly uniform to nearly certain."""
    sharpness = random.choice([0.05, 0.3, 1.0, 5.0], size=(count, 1, 1, 1, 1))
    cells = random.gamma(np.broadcast_to(sharpness, (count, *sizes, classes))) + 1e-30
    return cells / cells.sum(axis=(1, 2, 3, 4), keepdims=True)


def slow(law, subset, values):
    """h_S, e_S and m_S of one law, cell by cell, by posteriors."""
    seen = {}
    for place in np.ndindex(law.shape):
        key = tuple(x for x, here in zip(place[:-1], subset, strict=True) if here)
        seen.setdefault(key, [0.0] * law.shape[-1])[place[-1]] += float(law[place])
    h = e = m = 0.0
    for weights in seen.values():
        mass = sum(weights)
        if mass == 0:
            continue
        chances = [weight / mass for weight in weights]
        h -= mass * sum(chance * math.log(chance) for chance in chances if chance > 0)
        e += mass * (1 - max(chances))
        mean = sum(chance * value for chance, value in zip(chances, values, strict=True))
        m += mass * sum(c * (v - mean) ** 2 for c, v in zip(chances, values, strict=True))
    return h, e, m


def at_once(laws, subset, values):
    """h_S, e_S and m_S of laws [B, 2, 3, 2, K], each [B], from sums by einsum."""
    letters = "".join(letter for letter, here in zip("ijk", subset, strict=True) if here)
    table = np.einsum(f"bijky->b{letters}y", laws).reshape(len(laws), -1, laws.shape[-1])
    inputs = table.sum(axis=2)
    h = np.einsum("bx,bx->b", inputs, scipy_entropy(table, axis=2))
    first = np.einsum("bxy,y->bx", table, values)
    second = np.einsum("bxy,y->b", table, values**2)
    return h, 1 - table.max(axis=2).sum(axis=1), second - (first**2 / inputs).sum(axis=1)


@pytest.fixture(scope="module")
def measured():
    """For K of 2 to 5: laws, values and h, e, m [8, 5000] by subset: 20,000 laws in all."""
    random = np.random.RandomState(0)
    found = {}
    for classes in range(2, 6):
        laws = random_laws(5000, classes, random)
        values = np.linspace(-1, 1, classes)
        parts = [at_once(laws, subset, values) for subset in subsets(3, empty=True)]
        found[classes] = (laws, values, *np.array(parts).transpose(1, 0, 2))
    return found


def nested():
    """Places in subsets(3, empty=True) of the pairs S within T, S not T."""
    every = list(enumerate(subsets(3, empty=True)))
    return [
        (i, j)
        for (i, small), (j, wide) in product(every, every)
        if i != j and all(there or not here for here, there in zip(small, wide, strict=True))
    ]


def test_subsets_by_size_then_place():
    assert subsets(2) == [(True, False), (False, True), (True, True)]
    assert subsets(3, empty=True)[0] == EMPTY_3
    assert [sum(subset) for subset in subsets(3)] == [1, 1, 1, 2, 2, 2, 3]
    assert subsets(3)[3:5] == [(True, True, False), (True, False, True)]
    assert len(set(subsets(5, empty=True))) == 32
    assert subset_label((True, False, True), ("art", "word", "speech")) == "art+speech"
    assert subset_label((False, False), ("art", "word")) == "nothing"
    for wrong in (lambda: subsets(0), lambda: subset_label((True,), ("art", "word"))):
        with pytest.raises(MglibError, match="modalities"):
            wrong()


def test_joint_functions_agree_with_loops(measured):
    for classes, (laws, values, h, e, m) in measured.items():
        for place in range(75):
            law = laws[place]
            for of, subset in enumerate(subsets(3, empty=True)):
                expected = slow(law, subset, values)
                assert (
                    joint.conditional_entropy(law, subset),
                    joint.bayes_error(law, subset),
                    joint.bayes_squared_error(law, subset, values),
                ) == pytest.approx(expected, abs=1e-12), classes
                assert (h[of, place], e[of, place], m[of, place]) == pytest.approx(
                    expected, abs=1e-12
                )


@pytest.mark.parametrize("classes", range(2, 6))
def test_every_law_lies_within_its_bounds(measured, classes):
    _, _, h, e, _ = measured[classes]
    h = h.clip(0, math.log(classes))
    low, high = bounds.error_bounds(h, classes)
    assert (low <= e + 1e-9).all() and (e <= high + 1e-12).all()
    assert (high <= bounds.exponential_ceiling(h) + 1e-12).all()
    assert (high <= bounds.half_bits_ceiling(h) + 1e-12).all()
    assert (h <= bounds.fano(e.clip(0, 1 - 1 / classes), classes) + 1e-12).all()
    ancestors = (h - math.log(2)) / math.log(classes)
    assert (ancestors <= low + 1e-9).all()


def test_what_a_missing_modality_costs_at_most(measured):
    violated, ratios = 0, []
    for _, values, h, e, m in measured.values():
        for small, wide in nested():
            gamma = h[small] - h[wide]
            assert gamma.min() > -1e-12
            gamma = gamma.clip(0)
            lost, cost = e[small] - e[wide], m[small] - m[wide]
            assert lost.min() > -1e-12 and cost.min() > -1e-12
            assert (lost <= bounds.error_cost(gamma) + 1e-12).all()
            assert (cost <= bounds.squared_error_cost(gamma, values[0], values[-1]) + 1e-12).all()
            violated += (cost > bounds.squared_error_cost_as_published(gamma) + 1e-9).sum()
            ratios.append((cost[gamma > 1e-6] / gamma[gamma > 1e-6]).max())
    assert violated > 20_000
    assert 1.8 < max(ratios) <= 2


def test_the_published_constant_has_a_counterexample():
    law = np.zeros((1, 2, 2))
    law[0, 0, 0] = law[0, 1, 1] = 0.5
    values = np.array([-1.0, 1.0])
    gap = joint.bayes_squared_error(law, (True, False), values) - joint.bayes_squared_error(
        law, (True, True), values
    )
    gamma = joint.additional_information(law, (True, False), (True, True))
    published = float(bounds.squared_error_cost_as_published(gamma))
    assert (gap, gamma) == pytest.approx((1, math.log(2)))
    assert published == pytest.approx(0.347, abs=5e-4) and gap > published
    assert gap <= bounds.squared_error_cost(gamma, -1, 1)
    assert bounds.squared_error_cost(gamma, 0, 1) == pytest.approx(published)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("error", [0.0, 0.003, 0.2, 0.45])
def test_fanos_end_is_attained(classes, error):
    """Each input has its likely class, and all others alike."""
    posteriors = np.full((classes, classes), error / (classes - 1))
    np.fill_diagonal(posteriors, 1 - error)
    law = posteriors / classes
    h, e = joint.conditional_entropy(law, (True,)), joint.bayes_error(law, (True,))
    assert e == pytest.approx(error, abs=1e-12)
    assert float(bounds.fano_inverse(h, classes)) == pytest.approx(e, abs=1e-9)
    assert float(bounds.fano(e, classes)) == pytest.approx(h, abs=1e-9)


@pytest.mark.parametrize("tied", [1, 2, 3])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_upper_end_is_attained(tied, weight):
    """Some inputs leave `tied` classes alike, the others one more."""
    law = np.zeros((2, 4))
    law[0, :tied] = (1 - weight) / tied
    law[1, : tied + 1] = weight / (tied + 1)
    h, e = joint.conditional_entropy(law, (True,)), joint.bayes_error(law, (True,))
    assert float(bounds.piecewise_ceiling(h, 4)) == pytest.approx(e, abs=1e-12)
    strictly = 0 < weight < 1
    assert (bounds.exponential_ceiling(h) > e + 1e-3) == strictly
    if tied == 1:
        assert float(bounds.half_bits_ceiling(h)) == pytest.approx(e, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 7, 100])
def test_the_inverse_is_fanos(classes):
    top = 1 - 1 / classes
    assert float(bounds.fano_inverse(0.0, classes)) == 0
    assert float(bounds.fano_inverse(math.log(classes), classes)) == pytest.approx(top, abs=1e-7)
    h = np.linspace(1e-6, math.log(classes) - 1e-6, 12).reshape(3, 4)
    found = bounds.fano_inverse(h, classes)
    assert found.shape == (3, 4)

    def excess(error, goal):
        return scipy_entropy([1 - error, *[error / (classes - 1)] * (classes - 1)]) - goal

    for goal, error in zip(h.flat, found.flat, strict=True):
        assert error == pytest.approx(brentq(excess, 0, top, (goal,), 1e-14), abs=1e-9)
    assert float(bounds.binary_entropy(0.25)) == pytest.approx(scipy_entropy([0.25, 0.75]))
    assert bounds.binary_entropy([0.0, 1.0]).tolist() == [0, 0]


def test_the_chain_sums_in_every_order(measured):
    law = measured[4][0][0]
    total = joint.information(law, ALL_3)
    terms = {order: joint.chain_terms(law, order) for order in permutations(range(3))}
    assert all(sum(each) == pytest.approx(total) for each in terms.values())
    mean = np.zeros(3)
    for order, each in terms.items():
        mean[list(order)] += np.array(each) / 6
    np.testing.assert_allclose(joint.shapley_shares(law), mean, atol=1e-12)
    rest = joint.chain_terms(law, (2, 0), observed=(False, True, False))
    gamma = joint.additional_information(law, (False, True, False), ALL_3)
    assert sum(rest) == pytest.approx(gamma) and len(rest) == 2


def test_shapley_shares_sum_to_the_information(measured):
    for laws, *_ in measured.values():
        for law in laws[:20]:
            assert joint.shapley_shares(law).sum() == pytest.approx(joint.information(law, ALL_3))
    np.testing.assert_allclose(joint.shapley_shares(known_laws.same_digit(2)), math.log(10) / 2)


def test_products_of_posteriors_decide_as_bayes_if_modalities_are_independent_given_the_label():
    random = np.random.RandomState(1)
    for _ in range(500):
        prior = random.dirichlet(np.ones(4))
        given = [random.dirichlet(np.ones(3), size=4) for _ in range(3)]  # each [Y, X]
        law = np.einsum("y,yi,yj,yk->ijky", prior, *given)
        for subset in subsets(3):
            logs = (1 - sum(subset)) * np.log(prior)
            for place in np.flatnonzero(subset):
                only = tuple(other == place for other in range(3))
                logs = logs + np.log(joint.posterior(law, only))
            exact = joint.posterior(law, subset)
            assert (logs.argmax(axis=-1) == exact.argmax(axis=-1)).all()
            again = np.exp(logs) / np.exp(logs).sum(axis=-1, keepdims=True)
            np.testing.assert_allclose(again, exact, atol=1e-12)


def shares_of(rates):
    """Independently missing modalities, by the definition."""
    return {
        subset: math.prod(1 - r if here else r for r, here in zip(rates, subset, strict=True))
        for subset in subsets(len(rates), empty=True)
    }


@pytest.mark.parametrize("law", [known_laws.three_digits(0.4), known_laws.xor(3), None])
def test_the_curve_over_rates(measured, law):
    law = measured[3][0][1] if law is None else law
    errors = joint.bayes_errors(law)
    curve = rate_polynomial(errors)
    rates = np.linspace(0, 1, 101)
    assert curve.degree() <= 3 and (np.diff(curve(rates)) > -1e-12).all()
    assert curve(0) == pytest.approx(errors[ALL_3], abs=1e-12)
    prior = law.reshape(-1, law.shape[-1]).sum(axis=0)
    assert curve(1) == pytest.approx(1 - prior.max())
    for rate in (0.0, 0.3, 0.9):
        assert curve(rate) == pytest.approx(averaged(errors, shares_of([rate] * 3)))


def test_averaged_bounds_hold_and_are_never_looser(measured):
    random = np.random.RandomState(2)
    for classes, (_, _, h, e, _) in measured.items():
        for place in range(50):
            entropies = dict(zip(subsets(3, empty=True), h[:, place].clip(0), strict=True))
            errors = dict(zip(subsets(3, empty=True), e[:, place], strict=True))
            shares = shares_of(random.uniform(size=3))
            low, high = averaged_error_bounds(entropies, shares, classes)
            assert low - 1e-9 <= averaged(errors, shares) <= high + 1e-12
            looser = bounds.error_bounds(averaged(entropies, shares), classes)
            assert looser[0] <= low + 1e-9 and high <= looser[1] + 1e-12


def mutual(table):
    """I of rows and columns of a joint table, cell by cell."""
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    return sum(
        table[i, j] * math.log(table[i, j] / (rows[i] * columns[j]))
        for i, j in np.ndindex(table.shape)
        if table[i, j] > 0
    )


@pytest.mark.parametrize("on", ["label", "inputs too"])
def test_patterns_that_hang_on_the_label(on):
    random = np.random.RandomState(3)
    law = random_laws(1, 3, random)[0]
    shape = (3,) if on == "label" else law.shape
    drawn = random.dirichlet(np.ones(8), size=shape)
    chances = {subset: drawn[..., i] for i, subset in enumerate(subsets(3, empty=True))}
    seen, patterns = {}, np.zeros((8, 3))
    for place in np.ndindex(law.shape):
        for i, (subset, chance) in enumerate(chances.items()):
            p = law[place] * chance[place[-1] if on == "label" else place]
            key = (i, *(x for x, here in zip(place[:-1], subset, strict=True) if here))
            seen.setdefault(key, np.zeros(3))[place[-1]] += p
            patterns[i, place[-1]] += p
    found = pattern_information(law, chances)
    assert found.total == pytest.approx(mutual(np.array(list(seen.values()))))
    assert found.pattern == pytest.approx(mutual(patterns)) and found.pattern > 0.01


def test_patterns_at_random_tell_nothing(measured):
    law = measured[2][0][2]
    shares = shares_of([0.2, 0.5, 0.7])
    found = pattern_information(law, {s: np.array(share) for s, share in shares.items()})
    known = {subset: joint.information(law, subset) for subset in shares}
    assert found.pattern == pytest.approx(0, abs=1e-12)
    assert found.inputs == pytest.approx(averaged(known, shares))
    told = {(False,): np.array([1.0, 0.0]), (True,): np.array([0.0, 1.0])}
    alone = pattern_information(np.full((2, 2), 0.25), told)
    assert (alone.pattern, alone.inputs) == pytest.approx((math.log(2), 0))


def test_a_loss_is_its_ceiling_and_two_deficits():
    """Encoders that merge inputs and a model whose answer is off, in closed form."""
    law = np.array([[0.4, 0.1], [0.05, 0.2], [0.15, 0.1]])
    merged = np.stack([law[0], law[1] + law[2]])
    answer = np.array([[0.7, 0.3], [0.5, 0.5]])
    seen, nothing = (True,), (False,)
    heads = {seen: joint.conditional_entropy(merged, seen), nothing: 0.68}
    model = {seen: float(-(merged * np.log(answer)).sum()), nothing: 0.70}
    ceilings = joint.conditional_entropies(law)
    found = deficits(model, heads, ceilings)
    inputs = merged.sum(axis=1)
    off = (inputs * scipy_entropy(merged / inputs[:, None], answer, axis=1)).sum()
    assert found[seen].fusion == pytest.approx(off)
    assert found[seen].encoders == pytest.approx(
        joint.information(law, seen) - joint.information(merged, seen)
    )
    for subset, parts in found.items():
        assert parts.loss == pytest.approx(model[subset]) and parts.ceiling == ceilings[subset]
    mean = averaged_deficits(found, {seen: 0.75, nothing: 0.25})
    assert mean.loss == pytest.approx(averaged(model, {seen: 0.75, nothing: 0.25}))
    assert mean.fusion == pytest.approx(0.75 * off + 0.25 * 0.02)
    assert isinstance(mean, Deficits)
    diverged = deficits({seen: math.nan}, heads, ceilings)[seen]
    assert math.isnan(diverged.fusion) and math.isnan(diverged.loss)
    assert diverged.encoders == found[seen].encoders
    with pytest.raises(MglibError, match="no head for observed subset"):
        deficits(model, {seen: 0.5}, ceilings)
    with pytest.raises(MglibError, match="has no value: nothing observed"):
        averaged_deficits({seen: mean}, {seen: 0.5, nothing: 0.5})


LAW = np.full((2, 2, 2), 0.125)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: bounds.fano_inverse(1.2, 3), "from 0 to 1.09861, not 1.2"),
        (lambda: bounds.error_bounds([0.1, -0.5], 3), "not -0.5"),
        (lambda: bounds.piecewise_ceiling(math.nan, 3), "not nan"),
        (lambda: bounds.error_bounds(0.0, 1), "2 or more classes, not for 1"),
        (lambda: bounds.fano(0.8, 3), "from 0 to 0.666667, not 0.8"),
        (lambda: bounds.binary_entropy(1.5), "a probability must be from 0 to 1, not 1.5"),
        (lambda: bounds.error_cost(-1), "from 0, not -1"),
        (lambda: bounds.squared_error_cost(1, 1, 1), "not from 1 to 1"),
        (lambda: joint.check_law(np.ones(3) / 3), r"\[n_1, ..., n_M, K\], not \[3\]"),
        (lambda: joint.check_law(2 * LAW), "not to 2"),
        (lambda: joint.check_law(LAW - 1), "not below 0"),
        (lambda: joint.bayes_error(LAW, (True,)), "not 1"),
        (lambda: joint.bayes_squared_error(LAW, (True, True), np.ones(3)), "one per label"),
        (
            lambda: joint.additional_information(LAW, (True, False), (False, True)),
            "does not lie within",
        ),
        (lambda: joint.chain_terms(LAW, (0, 0)), r"modality 0 of order \[0, 0\]"),
        (lambda: joint.chain_terms(LAW, (2,)), "0 to 1"),
        (lambda: averaged({(True,): 1.0}, {(True,): 0.5}), "sum to 1"),
        (lambda: rate_polynomial({(True,): 1.0}), "all 2 subsets"),
        (lambda: pattern_information(LAW, {(True, True): np.ones(3)}), "must fit a law"),
        (lambda: pattern_information(LAW, {(True, True): np.array(0.5)}), "sum to 1"),
        (lambda: known_laws.two_digits(-1), "from 0 to 100, not -1"),
        (lambda: known_laws.two_digits(1, "evne"), "did you mean 'even'"),
        (lambda: known_laws.xor(2, 3), "2 or 10, not 3"),
        (lambda: known_laws.xor(1), "2 or more modalities, not of 1"),
        (lambda: known_laws.same_digit(6), "1 to 5 modalities, not 6"),
        (lambda: known_laws.three_digits(1.5), "from 0 to 1, not 1.5"),
    ],
)
def test_refusals(ask, words):
    with pytest.raises(MglibError, match=words) as told:
        ask()
    assert "\n" not in str(told.value)
