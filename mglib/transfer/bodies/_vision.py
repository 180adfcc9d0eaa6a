"""Vision transformers (ViT, Swin) as bodies for pictures and two-dimensional fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mglib.errors import MglibError
from mglib.transfer.bodies._layers import Layers, renew
from mglib.transfer.bodies.efficientnet_lite0 import copied_kernel
from mglib.transfer.body import Body, TargetShape, Tokens, standing_still
from mglib.transfer.predictors import ClassesOfTokens, FieldOfMap
from mglib.transfer.recomputed import passed

Grid = tuple[int, int]
Statistics = tuple[list[float], list[float]]  # mean and deviation of the channels, of 0..1


def pair(size: int | list[int] | tuple[int, int]) -> Grid:
    """A size of transformers' settings as height and width."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def resized(images: Tensor, size: Grid) -> Tensor:
    """Images [B, channels, h, w] at another size, bilinearly; of their own size as they are."""
    if tuple(images.shape[2:]) == size:
        return images
    return functional.interpolate(
        images, size, mode="bilinear", align_corners=False, antialias=True
    )


class PatchEmbedder(nn.Module):
    """Images [B, channels, h, w] -> tokens [B, L, D]: patches, with what the source adds to them.

    Swin's have a LayerNorm; ViT's a first token [1, 1, D] of their own and places [1, L, D].
    """

    def __init__(
        self,
        convolution: nn.Conv2d,
        size: Grid,
        norm: nn.Module | None,
        first: Tensor | None,
        places: Tensor | None,
    ) -> None:
        super().__init__()
        self.convolution, self.size, self.norm = convolution, size, norm
        self.first = None if first is None else nn.Parameter(first.detach().clone())
        self.places = None if places is None else nn.Parameter(places.detach().clone())

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.convolution(resized(images, self.size)).flatten(2).transpose(1, 2)
        if self.norm is not None:
            tokens = self.norm(tokens)
        if self.first is not None:
            tokens = torch.cat([self.first.expand(len(tokens), -1, -1), tokens], 1)
        return tokens if self.places is None else tokens + self.places


class Stages(nn.Module):
    """Swin's stages on patches of a grid, then its LayerNorm: [B, L, D] -> [B, L', D']."""

    def __init__(self, stages: nn.ModuleList, norm: nn.Module, grid: Grid) -> None:
        super().__init__()
        self.stages, self.norm, self.grid = stages, norm, grid

    def forward(self, hidden: Tensor) -> Tensor:
        height, width = self.grid
        for stage in self.stages:
            hidden = passed(stage, hidden, (height, width))[0]
            if stage.downsample is not None:
                height, width = math.ceil(height / 2), math.ceil(width / 2)
        return self.norm(hidden)


class FieldOfGrid(nn.Module):
    """The tokens of a grid, behind those that are no part of it, to a field [B, *output]."""

    def __init__(self, field: FieldOfMap, grid: Grid) -> None:
        super().__init__()
        self.field, self.grid = field, grid

    def forward(self, encoded: Tensor) -> Tensor:
        places = encoded[:, -math.prod(self.grid) :]
        return self.field(places.transpose(1, 2).unflatten(2, self.grid))


class VisionBody(Body):
    """A vision transformer without its pooler, between its own patches and tiled ones.

    Made from a model of transformers (ViTModel or SwinModel, eager attention: fused attention has
    no second derivative). The softmax of these two is in float32 whatever the precision. Raises
    MglibError for a model whose pictures are not a whole number of square patches.
    """

    source = ("emoji_concepts", "raw", "art")
    dimensions = 2
    smooth = True
    attention = True

    def __init__(self, model: Any, statistics: Statistics) -> None:
        super().__init__()
        config: Any = model.config
        self.config, self.statistics, self.width = config, statistics, config.hidden_size
        self.size, patch = pair(config.image_size), pair(config.patch_size)
        if patch[0] != patch[1] or self.size[0] % patch[0] or self.size[1] % patch[1]:
            raise MglibError(
                f"body '{self.name}': pictures of {list(self.size)} pixels are not a whole number "
                f"of square patches, which are {list(patch)}"
            )
        self.source_embedder = model.embeddings.requires_grad_(False)
        halvings = 0
        grid = (self.size[0] // patch[0], self.size[1] // patch[1])
        if config.model_type == "swin":
            self.encoder = Stages(model.encoder.layers, model.layernorm, grid)
            halvings = len(config.depths) - 1
        else:
            self.encoder = Layers(model.layers, model.layernorm)
        for _ in range(halvings):
            grid = (math.ceil(grid[0] / 2), math.ceil(grid[1] / 2))
        self.grid, self.reach = grid, patch[0] * 2**halvings
        self.encoder.requires_grad_(True)
        standing_still(self)

    def read_source(self, values: np.ndarray, lengths: np.ndarray | None) -> Tensor:
        """uint8 [N, height, width(, 3)] -> float32 [N, 3, height, width], normalised.

        Raises MglibError for other arrays.
        """
        if values.dtype != np.uint8 or values.ndim not in (3, 4):
            raise MglibError(
                f"images are uint8 [N, height, width(, 3)], not {values.dtype} {values.shape}"
            )
        colour = values if values.ndim == 4 else np.repeat(values[..., None], 3, axis=-1)
        images = torch.from_numpy(np.array(colour)).permute(0, 3, 1, 2).float() / 255.0
        mean, deviation = (torch.tensor(each)[:, None, None] for each in self.statistics)
        return ((images - mean) / deviation).contiguous()

    def source_tokens(self, batch: Tensor) -> Tokens:
        """Pictures at the size of pretraining through the model's own patches."""
        with torch.no_grad():
            found = self.source_embedder(resized(batch, self.size))
        return (found[0] if isinstance(found, tuple) else found), None

    def embedder(self, shape: TargetShape, copied: bool) -> nn.Module:
        """Patches of `channels` inputs at the size of pretraining, source weights tiled, or new."""
        if len(shape.size) != self.dimensions:
            raise MglibError(
                f"body '{self.name}' takes pictures and fields [channels, height, width], not "
                f"inputs of size {list(shape.size)}; use a body for series, such as 'minilm'"
            )
        own: Any = self.source_embedder
        patches = own.patch_embeddings.projection
        convolution = nn.Conv2d(
            shape.channels, patches.out_channels, patches.kernel_size, patches.stride
        )
        old = getattr(own, "norm", None)
        norm = nn.LayerNorm(patches.out_channels, old.eps) if old is not None else None
        added = [getattr(own, "cls_token", None), own.position_embeddings]
        if copied:
            kernel = copied_kernel(patches.weight.detach(), shape.channels)
            convolution.load_state_dict({"weight": kernel, "bias": patches.bias.detach()})
            if norm is not None and old is not None:
                norm.load_state_dict(old.state_dict())
        else:
            added = [None if each is None else torch.empty_like(each) for each in added]
            for new in [convolution.weight, *added]:
                if new is not None:
                    nn.init.trunc_normal_(new, std=self.config.initializer_range)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        return PatchEmbedder(convolution, self.size, norm, *added)

    def predictor(self, shape: TargetShape) -> nn.Module:
        """A linear layer on the mean of the tokens, or on each of the grid's for a field."""
        if shape.classes:
            return ClassesOfTokens(self.width, shape.classes)
        if len(shape.output) != 3:
            raise MglibError(
                f"body '{self.name}' gives fields [channels, height, width], not "
                f"{list(shape.output)}"
            )
        return FieldOfGrid(FieldOfMap(self.width, self.reach, shape.output), self.grid)

    def encode(self, encoder: Callable[..., Any], tokens: Tokens) -> Tensor:
        """The last hidden states [B, L, D] after the last LayerNorm."""
        return encoder(tokens[0])

    def pooled(self, encoded: Tensor, mask: Tensor | None) -> Tensor:
        """Their mean over tokens, [B, D]."""
        return encoded.mean(1)

    def fresh(self) -> None:
        """New weights: normal with the deviation of the model's settings (0.02), biases 0."""
        renew(self.encoder, self.config.initializer_range)
