"""Laws of missing data: tables agree with exact shares, and with the published rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest

from mglib.errors import MglibError
from mglib.missing.draws import uniforms
from mglib.missing.frames import auilc, bernoulli_frames, burst_frames, edge_frames
from mglib.missing.laws.fixed_mixture import ONE, TWO
from mglib.missing.subsets import missing_of, realised, subsets
from mglib.registry import laws

ROWS = 50_000
LABELS = np.arange(ROWS) % 8
MAY_LOSE_ALL = {"independent"}
VARIANTS = [
    *laws.names(),
    "independent@empty=one",
    "fragile@place=1,others=0.4",
    "incomplete@type=1",
    "victim@place=1",
    "random_count@per=batch",
    "fixed_mixture@batch=4",
    "fixed_mixture@batch=16,published=yes",
    "by_label@strength=1",
    "by_label@strength=0",
]


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def table_of(
    name: str, modalities: int, rate: float, rows: int = ROWS, seed: int = 0
) -> np.ndarray:
    labels = LABELS[:rows] if rows <= ROWS else np.arange(rows) % 8
    return laws.get(name)().table(stream(seed), rows, modalities, rate, labels)


def cases() -> Iterator[tuple[str, int, float]]:
    """Every law and some settings, at sensible numbers of modalities and rates."""
    for name in VARIANTS:
        law = laws.get(name)()
        for modalities in sorted({max(law.least, 2), min(max(law.least, 3), law.most)}):
            low, high = law.rates(modalities)
            for rate in sorted({low, high, min(max(0.3, low), high)}):
                yield name, modalities, rate


CASES = list(cases())


@pytest.mark.parametrize(("name", "modalities", "rate"), CASES)
def test_shares_are_a_law(name: str, modalities: int, rate: float) -> None:
    shares = laws.get(name)().shares(modalities, rate)
    assert set(shares) <= set(subsets(modalities, empty=True))
    assert math.isclose(math.fsum(shares.values()), 1, abs_tol=1e-12)
    assert min(shares.values()) > 0
    empty = (False,) * modalities
    assert name in MAY_LOSE_ALL or empty not in shares


@pytest.mark.parametrize(("name", "modalities", "rate"), CASES)
def test_a_table_agrees_with_the_shares(name: str, modalities: int, rate: float) -> None:
    law = laws.get(name)()
    rows = ROWS - ROWS % (10 * law.together())  # tens of batches, as fixed mixtures count them
    table = table_of(name, modalities, rate, rows)
    assert table.dtype == np.bool_ and table.shape == (rows, modalities)
    shares, found = law.shares(modalities, rate), realised(table)
    assert set(found.counts) <= set(shares)
    assert sum(found.counts.values()) == rows
    draws = rows / law.together()
    for subset, share in shares.items():
        # 5 standard errors; 2 draws more for what is counted in whole rows or batches
        bound = 5 * math.sqrt(share * (1 - share) / draws) + 2 / draws
        assert abs(found.counts.get(subset, 0) / rows - share) <= bound, subset
    for place, expected in enumerate(missing_of(shares)):
        assert found.by_modality[place] == pytest.approx(expected, abs=2.5 / math.sqrt(draws))
    assert found.missing == pytest.approx(np.mean(found.by_modality))


@pytest.mark.parametrize(("name", "modalities", "rate"), CASES)
def test_a_table_hangs_on_its_stream_alone(name: str, modalities: int, rate: float) -> None:
    first, again = (table_of(name, modalities, rate, 400) for _ in range(2))
    assert np.array_equal(first, again)
    other = table_of(name, modalities, rate, 400, seed=1)
    certain = len(laws.get(name)().shares(modalities, rate)) == 1
    assert np.array_equal(first, other) == certain


@pytest.mark.parametrize("name", laws.names())
def test_every_law_tells_what_it_is(name: str) -> None:
    law = laws.get(name)
    assert law.title and law.version >= 1 and law.__doc__.strip().endswith(".")


def test_draws_are_the_frozen_bits_and_todays_random() -> None:
    assert np.array_equal(uniforms(stream(3), 5, 2), stream(3).random((5, 2)))
    first = uniforms(stream(0), 3)  # the stream of numpy's own published example of PCG64(0)
    assert first == pytest.approx([0.6369616873214543, 0.2697867137638703, 0.04097352393619469])
    assert uniforms(stream(0), 0, 3).shape == (0, 3)
    with pytest.raises(MglibError, match="64-bit generators.*not MT19937"):
        uniforms(np.random.Generator(np.random.MT19937(0)), 3)


def test_realised_counts_what_is_there() -> None:
    table = np.array([[1, 1], [1, 0], [1, 0], [0, 1]], dtype=bool)
    found = realised(table)
    assert (found.missing, found.by_modality, found.incomplete) == (3 / 8, (0.25, 0.5), 0.75)
    assert found.counts == {(True, True): 1, (True, False): 2, (False, True): 1}
    for wrong in (table.astype(int), table[0], table[:0]):
        with pytest.raises(MglibError, match="a mask table is bool"):
            realised(wrong)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.6])
@pytest.mark.parametrize("name", ["independent", "entries", "fixed_mixture"])
def test_the_nominal_rate_is_the_share_of_missing_entries(name: str, rate: float) -> None:
    shares = laws.get(name)().shares(3, rate)
    assert missing_of(shares) == pytest.approx([rate] * 3)
    assert realised(table_of(name, 3, rate)).missing == pytest.approx(rate, abs=0.03)


def test_other_nominal_rates() -> None:
    assert missing_of(laws.get("one_of")().shares(4, 0.8)) == pytest.approx([0.2] * 4)
    one = laws.get("independent@empty=one")().shares(3, 0.6)
    assert missing_of(one) == pytest.approx([0.6 - 0.6**3 / 3] * 3)
    fragile = laws.get("fragile@place=2")().shares(3, 0.9)
    given_back = 0.9 * 0.1 * 0.1 / 3
    assert missing_of(fragile) == pytest.approx([0.1 - given_back] * 2 + [0.9 - given_back])
    assert missing_of(laws.get("fixed_mixture")().shares(3, 0.7)) == pytest.approx([2 / 3] * 3)


@pytest.mark.parametrize(
    ("rate", "published"), [(0.1, (2, 26, 72)), (0.3, (20, 50, 30)), (0.5, (56, 38, 6))]
)
def test_gcnets_shares_of_one_two_and_three_present(
    rate: float, published: tuple[int, ...]
) -> None:
    shares = laws.get("entries")().shares(3, rate)
    for present, percent in enumerate(published, start=1):
        found = sum(share for subset, share in shares.items() if sum(subset) == present)
        assert found * 100 == pytest.approx(percent, abs=0.5 + 1e-9)


def test_gcnets_shares_at_the_sixth_rate() -> None:
    shares = laws.get("entries")().shares(3, 0.6)
    found = [sum(s for own, s in shares.items() if sum(own) == k) for k in (1, 2, 3)]
    assert found == pytest.approx([0.81, 0.18, 0.01])


IMDER_MOSI = (0.093, 0.187, 0.280, 0.373, 0.466, 0.560, 0.622)
IMDER_MOSEI = (0.110, 0.220, 0.330, 0.440, 0.549, 0.659, 0.667)


def as_published(rows: int, batch: int, rate: float) -> float:
    """The share of missing entries by the published loop over a loader, written out."""
    sizes = [min(batch, rows - start) for start in range(0, rows, batch)]
    whole = np.round(len(sizes) / 10) * 10
    at = int(rate * 10 - 1)
    two = one = lost = 0
    for size in sizes:
        if two / whole < TWO[at]:
            two, lost = two + 1, lost + 2 * size
        elif one / whole < ONE[at]:
            one, lost = one + 1, lost + size
    return lost / (3 * rows)


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize(
    ("rows", "batch", "listed"),
    [
        (686, 32, IMDER_MOSI),
        (4659, 128, IMDER_MOSEI),
        (686, 4, (0.099, *[None] * 5, 0.661)),
        (4659, 16, (None,) * 7),
    ],
)
def test_fixed_mixtures_realise_what_the_published_code_does(
    rows: int, batch: int, listed: tuple[float | None, ...], place: int
) -> None:
    rate = (place + 1) / 10
    name = "fixed_mixture" if batch == 32 else f"fixed_mixture@batch={batch}"
    found = realised(table_of(name, 3, rate, rows)).missing
    assert found == pytest.approx(as_published(rows, batch, rate), abs=1e-12)
    if listed[place] is not None:
        assert round(found, 3) == listed[place]


def test_a_fixed_mixture_at_rate_zero_and_with_too_few_batches() -> None:
    assert table_of("fixed_mixture", 3, 0.0, 686).all()
    bug = realised(table_of("fixed_mixture@published=yes", 3, 0.0, 686))
    assert round(bug.missing, 3) == IMDER_MOSI[-1]
    with pytest.raises(MglibError, match="rounds its 5 batches to tens.*smaller batch"):
        table_of("fixed_mixture", 3, 0.5, 160)
    assert table_of("fixed_mixture@published=yes", 3, 0.5, 160).all()
    assert not table_of("fixed_mixture", 3, 0.5, 161).all()


@pytest.mark.parametrize(("rows", "rate", "lost"), [(101, 0.7, 70), (50, 0.58, 28), (7, 1.0, 7)])
def test_the_share_of_incomplete_rows_is_exact(rows: int, rate: float, lost: int) -> None:
    both = realised(table_of("incomplete", 2, rate, rows)).counts
    # the published table: `lost` samples without text, of which int(lost / 2) then without image
    assert both.get((True, False), 0) == lost - int(lost * 0.5)
    assert both.get((False, True), 0) == int(lost * 0.5)
    assert realised(table_of("incomplete@type=0", 2, rate, rows)).counts[False, True] == lost
    three = realised(table_of("incomplete", 3, rate, rows)).counts
    kept = [three.get(tuple(k == p for k in range(3)), 0) for p in range(3)]
    assert sum(kept) == lost and max(kept) - min(kept) <= 1


@pytest.mark.parametrize(("rows", "p"), [(100, 0.1), (1283, 0.1), (1283, 0.5), (10, 0.7)])
def test_the_complete_rows_of_a_victim_are_the_floor(rows: int, p: float) -> None:
    found = realised(table_of("victim@place=1", 2, 1 - p, rows)).counts
    assert found == {(True, True): math.floor(rows * p), (True, False): rows - int(rows * p)}


def test_patterns_are_uniform() -> None:
    assert set(laws.get("patterns_but_full")().shares(3, 1).values()) == {1 / 6}
    assert set(laws.get("uniform_patterns")().shares(3, 1).values()) == {1 / 7}
    by_count = laws.get("random_count")().shares(4, 1)
    assert {round(share, 12) for share in by_count.values()} == {1 / 16, round(1 / 24, 12), 1 / 4}


def test_a_batch_shares_its_draw() -> None:
    table = table_of("random_count@per=batch", 4, 1, 200)
    assert all((part == part[0]).all() for part in np.array_split(table, [64, 128, 192]))
    assert len(realised(table).counts) > 1


@pytest.mark.parametrize(
    "name", ["independent", "entries", "one_of", "victim", "incomplete@type=1"]
)
def test_what_is_lost_is_lost_at_higher_rates_too(name: str) -> None:
    low, high = (table_of(name, 2, rate, 2000) for rate in (0.2, 0.45))
    assert not (high & ~low).any() and high.sum() < low.sum()


def test_what_is_missing_tells_the_class() -> None:
    table = table_of("by_label", 2, 0.4)
    even, odd = (1 - table[LABELS % 2 == parity].mean(axis=0) for parity in (0, 1))
    given_back = 0.6 * 0.2 / 2
    assert even == pytest.approx([0.6 - given_back, 0.2 - given_back], abs=0.02)
    assert odd == pytest.approx([0.2 - given_back, 0.6 - given_back], abs=0.02)
    law = laws.get("by_label")()
    assert law.table(stream(), 0, 2, 0.4, LABELS[:0]).shape == (0, 2)
    for labels, words in [
        (None, "give the labels"),
        (LABELS[:5], "must be 6 whole numbers from 0"),
        (np.linspace(0, 1, 6), "not float64"),
        (np.array([0, 1, 2, 3, 4, -1]), "must be 6 whole"),
    ]:
        with pytest.raises(MglibError, match=words):
            law.table(stream(), 6, 2, 0.4, labels)


@pytest.mark.parametrize(
    ("name", "modalities", "rate", "words"),
    [
        ("none", 2, 0.1, "law 'none' of 2 modalities has no rate but 0, not 0.1"),
        ("independent", 2, 1.1, "has a rate from 0 to 1, not 1.1"),
        ("independent", 2, -0.1, "not -0.1"),
        ("independent", 2, float("nan"), "not nan"),
        ("independent", 2, True, "not True"),
        ("independent", 2, "half", "not 'half'"),
        ("independent", 0, 0.5, "is for 1 to 12 modalities, not 0"),
        ("independent", 2.0, 0.5, "not 2.0"),
        ("one_of", 1, 0.5, "is for 2 to 12 modalities, not 1"),
        ("entries", 3, 0.7, "has a rate from 0 to 0.6667, not 0.7"),
        ("uniform_patterns", 3, 0.5, "has no rate but 1, not 0.5"),
        ("patterns_but_full", 3, 0, "has no rate but 1"),
        ("random_count", 3, 0.5, "has no rate but 1"),
        ("fixed_mixture", 2, 0.1, "is for 3 modalities, not 2"),
        ("fixed_mixture", 3, 0.15, "has the rates 0, 0.1, ... 0.7, not 0.15"),
        ("fixed_mixture", 3, 0.8, "from 0 to 0.7, not 0.8"),
        ("fragile@place=2", 2, 0.5, "place of law 'fragile@place=2' must be .* 0 to 1 .*, not 2"),
        ("victim@place=5", 3, 0.5, "must be a whole number from 0 to 2 for 3 modalities, not 5"),
        ("incomplete@type=2", 2, 0.5, "must be 'both' or a whole number from 0 to 1"),
    ],
)
def test_a_bad_rate_is_one_clear_error(name: str, modalities: int, rate: float, words: str) -> None:
    law = laws.get(name)()
    for ask in (law.check, law.shares, lambda m, r: law.table(stream(), 10, m, r)):
        with pytest.raises(MglibError, match=words):
            ask(modalities, rate)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("independant", "did you mean 'independent'"),
        ("independent@empty=some", "no empty of law of missing data 'independent' 'some'"),
        ("fragile@other=0.2", "did you mean 'others'"),
        ("fragile@others=1.2", "must be a number from 0 to 1, not '1.2'"),
        ("incomplete@type=text", "must be a whole number from 0 or 'both', not 'text'"),
        ("incomplete@type=both", "is written 'incomplete'"),
        ("fixed_mixture@batch=0", "must be a whole number from 1, not '0'"),
        ("none@place=1", "has no settings"),
    ],
)
def test_a_misspelt_setting_is_one_clear_error(name: str, words: str) -> None:
    with pytest.raises(MglibError, match=words):
        laws.get(name)


@pytest.mark.parametrize("rows", [-1, 2.5, True])
def test_rows_are_a_whole_number(rows: int) -> None:
    with pytest.raises(MglibError, match="rows of a mask table must be"):
        laws.get("independent")().table(stream(), rows, 2, 0.5)


LENGTHS = np.random.RandomState(0).randint(0, 51, 4000)
INSIDE = np.arange(50) < LENGTHS[:, None]
FRAMES: dict[str, Callable[..., np.ndarray]] = {
    "bernoulli": bernoulli_frames,
    "burst": burst_frames,
    "first": partial(edge_frames, edge="first"),
    "last": edge_frames,
}


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("rate", [0, 0.2, 0.65, 1])
def test_frames_are_lost_at_their_rate(kind: str, rate: float) -> None:
    table = FRAMES[kind](stream(), LENGTHS, 50, rate)
    assert table.dtype == np.bool_ and not (table & ~INSIDE).any()
    lost = LENGTHS - table.sum(axis=1)
    assert lost.sum() / LENGTHS.sum() == pytest.approx(rate, abs=0.01)
    if kind != "bernoulli":
        assert (np.abs(lost - rate * LENGTHS) < 1 + 1e-9).all()
        assert (lost[LENGTHS % 20 == 0] == np.rint(rate * LENGTHS[LENGTHS % 20 == 0])).all()
    assert np.array_equal(table, FRAMES[kind](stream(), LENGTHS, 50, rate))


def test_bursts_are_runs_and_edges_are_ends() -> None:
    lengths = np.full(3000, 50)
    lost = ~burst_frames(stream(), lengths, 50, 0.2, 5)
    runs = (np.diff(lost.astype(int), axis=1, prepend=0) == 1).sum(axis=1)
    assert lost.sum(axis=1).tolist() == [10] * 3000 and 1 <= runs.mean() <= 3
    assert lost.mean(axis=0) == pytest.approx(np.full(50, 0.2), abs=0.05), "ends like the middle"
    single = ~burst_frames(stream(), lengths, 50, 0.2, 1)
    assert (np.diff(single.astype(int), axis=1, prepend=0) == 1).sum(axis=1).mean() > 7
    first = edge_frames(stream(), np.array([10, 4]), 12, 0.5, "first")
    assert first.astype(int).sum(axis=0).tolist() == [0, 0, 1, 1, 0, *[1] * 5, 0, 0]
    last = edge_frames(stream(), np.array([10, 4]), 12, 0.5, "last")
    assert last.astype(int).sum(axis=0).tolist() == [2, 2, 1, 1, 1, *[0] * 7]


def test_bad_frames_are_one_clear_error() -> None:
    good = np.array([1, 2])
    for given, words in [
        ((np.array([0.5]), 5, 0.5), "lengths must be whole numbers"),
        ((np.array([6]), 5, 0.5), "lengths must be from 0 to 5 frames, not 6 to 6"),
        ((good, 0, 0.5), "frames must be a whole number from 1"),
        ((good, 5, 1.5), "the rate of lost frames must be"),
    ]:
        for frames in FRAMES.values():
            with pytest.raises(MglibError, match=words):
                frames(stream(), *given)
    with pytest.raises(MglibError, match="no edge of lost frames 'lost'.*'last'"):
        edge_frames(stream(), good, 5, 0.5, "lost")
    with pytest.raises(MglibError, match="burst must be"):
        burst_frames(stream(), good, 5, 0.5, 0)


def test_the_area_under_a_straight_curve_is_that_of_its_trapezium() -> None:
    assert auilc([0, 0.5, 1], [0.8, 0.7, 0.6]) == pytest.approx(0.7)
    assert auilc([0.1, 0.2, 0.6], [1, 1, 1]) == pytest.approx(0.5)
    wrong: list[tuple[list[float], list[float]]] = [
        ([0.1], [1]),
        ([0, 0], [1, 1]),
        ([0.5, 0.1], [1, 1]),
        ([0, 1], [1]),
    ]
    for rates, values in wrong:
        with pytest.raises(MglibError, match="two or more rising rates"):
            auilc(rates, values)
