"""A target model: embedder, encoder and predictor around a body, as functions of their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mglib.transfer.body import Body, TargetShape, Tokens

PARTS = ("embedder", "encoder", "predictor")


class TransferModel(nn.Module):
    """A body with a new embedder and predictor for one target; parts are called by name.

    `answer` and `source_features` take weights by name ('encoder.blocks.0...'), so that a virtually
    updated model is thrown away by forgetting them; those not given are the model's own. Buffers
    are always the model's own, and no pass changes them.
    """

    def __init__(self, body: Body, shape: TargetShape, copied: bool = True) -> None:
        super().__init__()
        self.body = body
        self.embedder = body.embedder(shape, copied)
        self.predictor = body.predictor(shape)

    @property
    def encoder(self) -> nn.Module:
        """The body's encoder."""
        return self.body.encoder

    def named(self, *parts: str) -> dict[str, nn.Parameter]:
        """The parameters of some parts by 'part.name'."""
        return {
            f"{part}.{name}": parameter
            for part in parts
            for name, parameter in getattr(self, part).named_parameters()
        }

    def _call(self, part: str, weights: Mapping[str, Tensor], *inputs: Any) -> Any:
        own = {
            name.partition(".")[2]: value
            for name, value in weights.items()
            if name.partition(".")[0] == part
        }
        return functional_call(getattr(self, part), own, inputs)

    def _encoded(self, weights: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
        def through(hidden: Any, *more: Any) -> Any:
            return self._call("encoder", weights, hidden, *more)

        return self.body.encode(through, tokens)

    def encoded(self, inputs: Tensor, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Target inputs [B, channels, *size] through embedder and encoder."""
        weights = weights or {}
        return self._encoded(weights, (self._call("embedder", weights, inputs), None))

    def answer(self, inputs: Tensor, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits [B, C] or fields [B, *output] of target inputs."""
        return self._call("predictor", weights or {}, self.encoded(inputs, weights))

    def target_features(self, inputs: Tensor) -> Tensor:
        """Pooled features [B, D] of target inputs."""
        return self.body.pooled(self.encoded(inputs), None)

    def source_features(self, batch: Any, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Pooled features [B, D] of a source batch, through the pretrained source embedder."""
        tokens = self.body.source_tokens(batch)
        return self.body.pooled(self._encoded(weights or {}, tokens), tokens[1])


def taken(batch: Any, rows: Tensor | Sequence[int]) -> Any:
    """The given rows of a tensor, or of each of a tuple of tensors."""
    place = torch.as_tensor(rows)
    return tuple(part[place] for part in batch) if isinstance(batch, tuple) else batch[place]
