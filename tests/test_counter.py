"""Counter-based random numbers: the published generator, independent trials, sound laws."""

from __future__ import annotations

import torch
from scipy import stats

from mglib.trials.counter import bits, normals, uniforms


def test_bits_are_the_outputs_of_splitmix64():
    # The first outputs of the reference implementation seeded with 1234567.
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    found = bits(torch.tensor([1234567]), [4])[0].tolist()
    assert [number % 2**64 for number in found] == known


def test_a_trial_draws_the_same_alone_and_in_company():
    together = uniforms(torch.tensor([3, 5, 7]), [4, 6])
    assert torch.equal(together[1:2], uniforms(torch.tensor([5]), [4, 6]))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together, uniforms(torch.tensor([3, 5, 7]), [4, 6], stream=1))


def test_laws():
    seeds = torch.arange(4)
    flat = uniforms(seeds, [20_000]).flatten().double().numpy()
    assert 0 <= flat.min() and flat.max() < 1
    assert stats.kstest(flat, "uniform").pvalue > 1e-3
    assert stats.kstest(normals(seeds, [20_000]).flatten().double().numpy(), "norm").pvalue > 1e-3
