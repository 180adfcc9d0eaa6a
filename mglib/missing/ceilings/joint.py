"""Exact ceilings of a known joint law of modalities and label, for every observed subset.

A law is an array [n_1, ..., n_M, K] of the probabilities p(x_1, ..., x_M, y); entropies and
informations are in nats. Ours, from the definitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mglib.errors import MglibError
from mglib.missing.ceilings.shapley import shapley
from mglib.missing.subsets import Subset, check_subset, subsets


def check_law(law: np.ndarray) -> np.ndarray:
    """The law [n_1, ..., n_M, K] in float64; raises MglibError if it is no joint law.

    It needs one modality or more, probabilities that are finite and not below 0, and the sum 1.
    """
    found = np.asarray(law, np.float64)
    if found.ndim < 2 or not found.size:
        raise MglibError(f"a joint law is an array [n_1, ..., n_M, K], not {list(found.shape)}")
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise MglibError("the probabilities of a joint law must be finite and not below 0")
    if abs(found.sum() - 1) > 1e-9:
        raise MglibError(f"the probabilities of a joint law sum to 1, not to {found.sum():.9g}")
    return found


def marginal(law: np.ndarray, subset: Sequence[bool]) -> np.ndarray:
    """p(x_S, y), as an array of the law's rank with length 1 where a modality is missing.

    Raises MglibError for a subset of another length than M, or no law.
    """
    whole = check_law(law)
    observed = check_subset(subset, whole.ndim - 1)
    missing = tuple(place for place, here in enumerate(observed) if not here)
    return whole.sum(axis=missing, keepdims=True)


def posterior(law: np.ndarray, subset: Sequence[bool]) -> np.ndarray:
    """p(y | x_S), shaped as `marginal`; uniform where x_S does not occur."""
    table = marginal(law, subset)
    inputs = table.sum(axis=-1, keepdims=True)
    return np.divide(table, inputs, out=np.full_like(table, 1 / table.shape[-1]), where=inputs > 0)


def entropy(probabilities: np.ndarray) -> float:
    """The entropy in nats of probabilities of any shape."""
    return float(-(probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0))).sum())


def conditional_entropy(law: np.ndarray, subset: Sequence[bool]) -> float:
    """h_S = H(Y | X_S) in nats, from 0 to ln K; of the empty subset H(Y)."""
    table = marginal(law, subset)
    return max(0.0, entropy(table) - entropy(table.sum(axis=-1)))


def information(law: np.ndarray, subset: Sequence[bool]) -> float:
    """I(X_S; Y) in nats."""
    nothing = (False,) * len(subset)
    return max(0.0, conditional_entropy(law, nothing) - conditional_entropy(law, subset))


def bayes_error(law: np.ndarray, subset: Sequence[bool]) -> float:
    """e_S, the least share of wrong labels from X_S: 1 minus the mean largest posterior."""
    return max(0.0, 1 - float(marginal(law, subset).max(axis=-1).sum()))


def bayes_squared_error(law: np.ndarray, subset: Sequence[bool], values: np.ndarray) -> float:
    """m_S, the least mean squared error from X_S of an answer that is values[y], `values` [K].

    Raises MglibError for values of another shape than [K].
    """
    table, answers = marginal(law, subset), np.asarray(values, np.float64)
    if answers.shape != table.shape[-1:]:
        raise MglibError(f"values are [{table.shape[-1]}], one per label, not {answers.shape}")
    guess = posterior(law, subset) @ answers
    return float((table * (answers - guess[..., None]) ** 2).sum())


def conditional_entropies(law: np.ndarray) -> dict[Subset, float]:
    """h_S in nats of every subset, the empty one first."""
    return {each: conditional_entropy(law, each) for each in _all_subsets(law)}


def bayes_errors(law: np.ndarray) -> dict[Subset, float]:
    """e_S of every subset, the empty one first."""
    return {each: bayes_error(law, each) for each in _all_subsets(law)}


def _all_subsets(law: np.ndarray) -> list[Subset]:
    return subsets(check_law(law).ndim - 1, empty=True)


def additional_information(
    law: np.ndarray, observed: Sequence[bool], wider: Sequence[bool]
) -> float:
    """Gamma_{T|S} = I(Y; X_{T without S} | X_S) = h_S - h_T in nats, for S within T.

    Raises MglibError if `observed` S has a modality that `wider` T has not.
    """
    kept = check_subset(observed, len(wider))
    if any(here and not there for here, there in zip(kept, wider, strict=True)):
        raise MglibError(f"subset {kept} does not lie within {tuple(wider)}")
    return max(0.0, conditional_entropy(law, observed) - conditional_entropy(law, wider))


def chain_terms(
    law: np.ndarray, order: Sequence[int], observed: Sequence[bool] | None = None
) -> list[float]:
    """What each modality of `order` adds to those `observed` (None: none) and before it, in nats.

    The terms I(X_j; Y | X_S, those before j), which sum to Gamma; each depends on the order. Raises
    MglibError for places that are no modality, come twice or are observed already.
    """
    modalities = check_law(law).ndim - 1
    known = list(check_subset(observed or (False,) * modalities, modalities))
    steps = [tuple(known)]
    for place in order:
        if place not in range(modalities) or known[place]:
            raise MglibError(
                f"modality {place} of order {list(order)} is not one of 0 to {modalities - 1} that "
                "is new there"
            )
        known[place] = True
        steps.append(tuple(known))
    return [additional_information(law, before, after) for before, after in pairwise(steps)]


def shapley_shares(law: np.ndarray) -> np.ndarray:
    """Each modality's share [M] of I(X_1, ..., X_M; Y) in nats: its chain term, mean over orders.

    The shares sum to the information.
    """
    return shapley({subset: -left for subset, left in conditional_entropies(law).items()})


def complementarity(law: np.ndarray) -> float:
    """What each modality alone adds to all others, summed, over what all know together.

    The ancestor's metric (Gamma_X + Gamma_Z) / I(X, Z; Y), for any M (ours): 0 where any modality
    can be spared, above 1 with synergy, NaN where nothing is known.
    """
    modalities = check_law(law).ndim - 1
    whole = (True,) * modalities
    without = [tuple(place != gone for place in range(modalities)) for gone in range(modalities)]
    known = information(law, whole)
    alone = sum(additional_information(law, each, whole) for each in without)
    return alone / known if known > 0 else float("nan")
