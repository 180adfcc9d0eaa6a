"""Text transformers of BERT's form (BERT, RoBERTa) as bodies for one-dimensional inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mglib.data._base import unpack_strings
from mglib.errors import MglibError
from mglib.perceptors import _folders
from mglib.transfer.bodies._layers import Layers, renew
from mglib.transfer.body import Body, TargetShape, Tokens, standing_still
from mglib.transfer.predictors import ClassesOfTokens, FieldOfTokens


def stride_of(length: int, most: int) -> int:
    """The smallest divisor s of a length with at most `most` tokens of s values each (ORCA)."""
    return next(s for s in range(1, length + 1) if length % s == 0 and length // s <= most)


class SeriesEmbedder(nn.Module):
    """Series [B, channels, L] -> tokens [B, L / s, D]: convolution, place embeddings, LayerNorm.

    ORCA's embedder in the order of BERT's own: what it adds to each token (its position and the
    first token type) is one table, normalised with the token.
    """

    def __init__(self, channels: int, stride: int, places: Tensor, norm: nn.LayerNorm) -> None:
        super().__init__()
        width = places.shape[1]
        self.convolution = nn.Conv1d(channels, width, stride, stride)
        nn.init.xavier_uniform_(self.convolution.weight, gain=math.sqrt(2))
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]
        self.places = nn.Parameter(places.clone())
        self.norm = nn.LayerNorm(width, norm.eps)
        self.norm.load_state_dict(norm.state_dict())

    def forward(self, series: Tensor) -> Tensor:
        return self.norm(self.convolution(series).transpose(1, 2) + self.places)


class TextBody(Body):
    """A text transformer without its pooler, between its own embeddings and ORCA's for series.

    Made from a model of transformers (BertModel or RobertaModel, eager attention: fused attention
    has no second derivative) and a tokenizer of the tokenizers library.
    """

    source = ("emoji_concepts", "raw", "text")
    dimensions = 1
    smooth = True
    attention = True
    TOKENS: ClassVar[int] = 32  # of a target input, at most

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.config, self.tokenizer = model.config, tokenizer
        self.width = model.config.hidden_size
        self.source_embedder = model.embeddings.requires_grad_(False)
        self.encoder = Layers(model.encoder.layer).requires_grad_(True)
        standing_still(self)
        places = self.config.max_position_embeddings - self.first_place
        _folders.cut_at(tokenizer, places)

    @property
    def first_place(self) -> int:
        """The position of a text's first token: RoBERTa counts from behind its padding's id."""
        return self.config.pad_token_id + 1 if self.config.model_type == "roberta" else 0

    def read_source(self, values: np.ndarray, lengths: np.ndarray | None) -> tuple[Tensor, Tensor]:
        """UTF-8 bytes uint8 [N, L] -> token ids int64 [N, T] and which are real, bool [N, T].

        T is the length of the longest text, all of them cut where the tokenizer's file or the
        model's positions end. Raises MglibError for anything else than bytes.
        """
        if values.dtype != np.uint8 or values.ndim != 2:
            raise MglibError(f"text is UTF-8 bytes uint8 [N, L], not {values.dtype} {values.shape}")
        return _folders.token_ids(self.tokenizer, unpack_strings(values), self.config.pad_token_id)

    def source_tokens(self, batch: tuple[Tensor, Tensor]) -> Tokens:
        """Token ids through the model's own embeddings of words, positions and types."""
        ids, mask = batch
        with torch.no_grad():
            return self.source_embedder(input_ids=ids), mask

    def embedder(self, shape: TargetShape, copied: bool) -> nn.Module:
        """A convolution of `channels` series, with the model's places and LayerNorm, or new ones.

        The convolution is always new: no word of the source is a piece of a series.
        """
        if len(shape.size) != self.dimensions:
            raise MglibError(
                f"body '{self.name}' takes series [channels, length], not inputs of size "
                f"{list(shape.size)}; use a body for pictures, such as 'efficientnet_lite0'"
            )
        stride = stride_of(shape.size[0], self.TOKENS)
        tokens, norm = shape.size[0] // stride, nn.LayerNorm(self.width, self.config.layer_norm_eps)
        if copied:
            own: Any = self.source_embedder
            places = own.position_embeddings.weight[self.first_place :][:tokens]
            places = (places + own.token_type_embeddings.weight[0]).detach()
            norm.load_state_dict(own.LayerNorm.state_dict())
        else:
            places = torch.randn(tokens, self.width) * self.config.initializer_range
        return SeriesEmbedder(shape.channels, stride, places, norm)

    def predictor(self, shape: TargetShape) -> nn.Module:
        """A linear layer on the mean of the tokens, or on each of them for a series."""
        if shape.classes:
            return ClassesOfTokens(self.width, shape.classes)
        if len(shape.output) != 2:
            raise MglibError(
                f"body '{self.name}' gives series [channels, length], not {list(shape.output)}"
            )
        tokens = shape.size[0] // stride_of(shape.size[0], self.TOKENS)
        return FieldOfTokens(self.width, tokens, shape.output)

    def encode(self, encoder: Callable[..., Any], tokens: Tokens) -> Tensor:
        """The last hidden states [B, L, D]; what is not real is attended by no token."""
        hidden, mask = tokens
        if mask is None:
            return encoder(hidden)
        bias = torch.zeros(mask.shape, dtype=hidden.dtype, device=hidden.device)
        bias = bias.masked_fill(~mask, torch.finfo(hidden.dtype).min)
        return encoder(hidden, bias[:, None, None, :])

    def pooled(self, encoded: Tensor, mask: Tensor | None) -> Tensor:
        """Their mean over the real tokens, [B, D]."""
        if mask is None:
            return encoded.mean(1)
        weight = mask[:, :, None].to(encoded.dtype)
        return (encoded * weight).sum(1) / weight.sum(1)

    def fresh(self) -> None:
        """New weights as BERT's: normal with the deviation of its settings (0.02), biases 0."""
        renew(self.encoder, self.config.initializer_range)
