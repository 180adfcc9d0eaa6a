"""A pretrained body in its parts: source embedder, encoder, and what is put around it anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mglib.data.carriers import Carrier
from mglib.registry import Setting, Value

Tokens = tuple[Tensor, Tensor | None]  # embedded inputs [B, ...], and which are real [B, L]


@dataclass(frozen=True)
class TargetShape:
    """What a model is built for: inputs [channels, *size], and the answer that is wanted.

    `classes` C of a classification, or 0 and the shape `output` (channels first) of a field.
    """

    channels: int
    size: tuple[int, ...]
    classes: int = 0
    output: tuple[int, ...] = ()


class Body(nn.Module, ABC):
    """A pretrained model e, f of MoNA's section 2: embedder and encoder, for one source modality.

    `source` is the dataset, perceptor and modality that the surrogate source set comes from,
    `dimensions` those of the inputs that it takes (1: series, 2: pictures and fields), `smooth`
    whether its loss has derivatives everywhere (no ReLU: finite differences need that), `width`
    the D of its pooled features, `reach` what one token covers of a side of its (resized) input.
    Submodules: `source_embedder` (frozen) and `encoder`, both pretrained; normalisation is always
    by running statistics, and nothing is dropped at random, so that one input has one output.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    source: ClassVar[tuple[str, str, str]]
    dimensions: ClassVar[int]
    smooth: ClassVar[bool]
    attention: ClassVar[bool]
    width: int
    CARRIERS: ClassVar[tuple[Carrier, ...]] = ()
    settings: ClassVar[Mapping[str, Setting]] = {}
    chosen: ClassVar[Mapping[str, Value]] = {}

    source_embedder: nn.Module
    encoder: nn.Module

    @classmethod  # noqa: B027 - most settings go together
    def check_settings(cls) -> None:
        """Raise MglibError for settings that are allowed each, but not together."""

    @classmethod
    def identity(cls) -> dict[str, Any]:
        """What decides its weights, for keys: the declared version and the carriers' hashes."""
        return {
            "version": cls.version,
            "weights": {carrier.name: carrier.sha256 for carrier in cls.CARRIERS},
        }

    @abstractmethod
    def read_source(self, values: np.ndarray, lengths: np.ndarray | None) -> Any:
        """Raw instances of the source modality -> what `source_tokens` takes of a batch of them.

        A tensor or tuple of tensors that lead with instances.
        """

    @abstractmethod
    def source_tokens(self, batch: Any) -> Tokens:
        """A source batch through the pretrained source embedder, without gradients for it."""

    @abstractmethod
    def embedder(self, shape: TargetShape, copied: bool) -> nn.Module:
        """A target embedder e: inputs [B, channels, *size] -> embedded inputs for the encoder.

        With source weights copied where they fit, else new; new weights come from torch's generator
        of random numbers. Raises MglibError for inputs of other dimensions than the body's.
        """

    @abstractmethod
    def predictor(self, shape: TargetShape) -> nn.Module:
        """A new predictor h: encoded inputs -> logits [B, C] or fields [B, *output]."""

    @abstractmethod
    def encode(self, encoder: Callable[..., Any], tokens: Tokens) -> Tensor:
        """Embedded inputs through an encoder of this body's form."""

    @abstractmethod
    def pooled(self, encoded: Tensor, mask: Tensor | None) -> Tensor:
        """Encoded inputs as one vector each, [B, width]."""

    @abstractmethod
    def fresh(self) -> None:
        """Forget what was learned before: new weights for the encoder, by its authors' law."""

    def norm_names(self) -> list[str]:
        """Names of the encoder's normalisation parameters."""
        kinds = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
        return [
            f"{place}.{name}" if place else name
            for place, module in self.encoder.named_modules()
            if isinstance(module, kinds)
            for name, _ in module.named_parameters(recurse=False)
        ]


def standing_still(module: nn.Module) -> nn.Module:
    """The module with normalisation by running statistics and without dropout, now and always."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module.eval()


def as_tensor(values: np.ndarray) -> Tensor:
    """An array as a tensor that shares nothing with it."""
    return torch.from_numpy(np.array(values))
