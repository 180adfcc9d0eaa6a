"""Ceilings when it is chance which modalities are missing, with or without a word on the label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial

from mglib.errors import MglibError
from mglib.missing.ceilings.bounds import error_bounds
from mglib.missing.ceilings.joint import check_law, conditional_entropy, entropy, information
from mglib.missing.subsets import Subset, check_subset, subset_label


def check_shares(shares: Mapping[Subset, float], known: Mapping[Subset, object]) -> None:
    """Raise MglibError unless shares are not below 0, sum to 1 and are of known patterns."""
    if not all(share >= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-9:
        raise MglibError(
            f"shares of patterns are not below 0 and sum to 1, unlike {list(shares.values())}"
        )
    for subset, share in shares.items():
        if share > 0 and subset not in known:
            names = [str(place) for place in range(len(subset))]
            raise MglibError(
                f"a pattern with the share {share:g} has no value: {subset_label(subset, names)} "
                "observed"
            )


def averaged(values: Mapping[Subset, float], shares: Mapping[Subset, float]) -> float:
    """The mean of values of patterns under shares pi(S), as of e_S for the best achievable error.

    True of patterns drawn without a look at the data (missing completely at random). Raises
    MglibError for shares that do not sum to 1 or are of a pattern without a value.
    """
    check_shares(shares, values)
    return float(sum(share * values[subset] for subset, share in shares.items() if share > 0))


def averaged_error_bounds(
    entropies: Mapping[Subset, float], shares: Mapping[Subset, float], classes: int
) -> tuple[float, float]:
    """Least and largest mean Bayes error under shares pi(S) that the h_S in nats allow.

    Never looser than the bounds at the mean entropy. Raises MglibError as `averaged` and
    `error_bounds` do. Ours.
    """
    check_shares(shares, entropies)
    used = [subset for subset, share in shares.items() if share > 0]
    low, high = error_bounds([entropies[subset] for subset in used], classes)
    weights = np.array([shares[subset] for subset in used])
    return float(weights @ low), float(weights @ high)


def rate_polynomial(values: Mapping[Subset, float]) -> Polynomial:
    """The mean of values, as a polynomial of the one rate r at which each modality is missing.

    Its degree is M at most; of the e_S it does not fall, from e of all at 0 to e of nothing at 1.
    `values` are of all 2^M subsets; raises MglibError if one lacks. Ours.
    """
    modalities = len(next(iter(values), ()))
    if len(values) != 2**modalities:
        raise MglibError(
            f"a curve over rates needs values of all {2**modalities} subsets of {modalities} "
            f"modalities, not of {len(values)}"
        )
    here, missing = Polynomial([1.0, -1.0]), Polynomial([0.0, 1.0])
    curve = Polynomial([0.0])
    for subset, value in values.items():
        curve += value * here ** sum(subset) * missing ** (modalities - sum(subset))
    return curve


@dataclass(frozen=True)
class PatternInformation:
    """Where what is known of the label comes from, in nats: I((X_S, S); Y) and its two terms.

    `pattern` is I(S; Y), which a model that is blind to what is missing forfeits, `inputs` the sum
    of pi(s) I(X_s; Y | S = s), and `total` both.
    """

    pattern: float
    inputs: float

    @property
    def total(self) -> float:
        """I((X_S, S); Y)."""
        return self.pattern + self.inputs


def pattern_information(
    law: np.ndarray, chances: Mapping[Subset, np.ndarray]
) -> PatternInformation:
    """What inputs and the pattern itself tell of the label, where patterns depend on the data.

    `law` [n_1, ..., n_M, K]; `chances` are p(S = s | x, y) of each pattern s, of a shape that
    broadcasts to the law's: [K] for patterns that hang on the label alone, a number for those that
    hang on nothing. Raises MglibError for chances that do not broadcast or do not sum to 1
    wherever the law is above 0. Ours.
    """
    whole = check_law(law)
    try:
        spread = {
            check_subset(subset, whole.ndim - 1): np.broadcast_to(chance, whole.shape)
            for subset, chance in chances.items()
        }
    except ValueError as error:
        raise MglibError(f"chances of a pattern must fit a law {list(whole.shape)}") from error
    sums = np.sum(list(spread.values()), axis=0)
    if (
        any((chance < 0).any() for chance in spread.values())
        or (np.abs(sums - 1)[whole > 0] > 1e-9).any()
    ):
        raise MglibError("the chances of the patterns must not be below 0, and sum to 1")
    parts = {subset: whole * chance for subset, chance in spread.items()}
    labels = np.array([part.reshape(-1, whole.shape[-1]).sum(axis=0) for part in parts.values()])
    nothing = (False,) * (whole.ndim - 1)
    told = conditional_entropy(whole, nothing) + entropy(labels.sum(axis=1)) - entropy(labels)
    inputs = sum(
        part.sum() * information(part / part.sum(), subset)
        for subset, part in parts.items()
        if part.sum() > 0
    )
    return PatternInformation(max(0.0, float(told)), float(inputs))
