"""A training that stops half-way and goes on from what a saved state holds of it."""

from __future__ import annotations

import pytest

PAUSED = 17  # a step between two checkpoints


class Stop(Exception):
    """What a pause raises."""


def resumed(make):
    """A training of `make` stopped after step PAUSED, and another that went on from its state."""
    first, second = make(), make()

    def pause():
        if first.step == PAUSED:
            raise Stop

    with pytest.raises(Stop):
        first.run(pause=pause)
    places = [value.data_ptr() for value in first.moving().values() if value.numel()]
    assert len(set(places)) == len(places), "tensors that share memory cannot be saved"
    moving = {name: value.clone() for name, value in first.moving().items()}
    for shown, own in zip(second.found, first.found, strict=True):
        shown.restore(own.arrays())
        shown.chosen, shown.score = own.chosen, own.score
    second.resume(PAUSED, first.alive, moving)
    second.run()
    return second
