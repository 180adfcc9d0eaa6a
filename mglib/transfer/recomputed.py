"""Layers whose hidden values are computed again on the way back instead of being kept.

`torch.utils.checkpoint` alone is silently wrong here: weights that are given for one call are taken
back before the layer is called again, which then reads its own. They are its arguments here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from mglib.errors import unknown

_RECOMPUTED: ContextVar[bool] = ContextVar("recomputed", default=False)


def asked() -> bool:
    """Whether layers are to be computed again, here and now."""
    return _RECOMPUTED.get()


def asked_by_environment() -> bool:
    """Whether MGLIB_RECOMPUTE is "on"; raises MglibError if it is neither that, "off" nor empty."""
    told = os.environ.get("MGLIB_RECOMPUTE") or "off"
    if told not in ("on", "off"):
        raise unknown("value of MGLIB_RECOMPUTE", told, ("on", "off"))
    return told == "on"


@contextmanager
def recomputing(wanted: bool = True) -> Iterator[None]:
    """Whether encoders that are called inside keep no hidden values between their layers' ends."""
    before = _RECOMPUTED.set(wanted)
    try:
        yield
    finally:
        _RECOMPUTED.reset(before)


def _live(layer: nn.Module) -> bool:
    kind = nn.modules.batchnorm._BatchNorm
    return any(isinstance(part, kind) and part.training for part in layer.modules())


def passed(layer: nn.Module, *inputs: Any) -> Any:
    """layer(*inputs), computed a second time on the way back where `recomputing` asks for it.

    All derivatives are those of the weights that the layer has when it is called, also of weights
    that `torch.func.functional_call` has put into it for the time of the call. A layer whose
    normalisation is live would count what it sees twice, and is called once.
    """
    if not asked() or _live(layer):
        return layer(*inputs)
    names, weights = [*dict(layer.named_parameters())], [*layer.parameters()]

    def called(*given: Any) -> Any:
        own, rest = given[: len(names)], given[len(names) :]
        return functional_call(layer, dict(zip(names, own, strict=True)), rest)

    # Nothing is drawn at random in a body.
    return checkpoint(called, *weights, *inputs, use_reentrant=False, preserve_rng_state=False)
