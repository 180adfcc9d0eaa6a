"""EfficientNet-Lite0 with ImageNet weights as a body for pictures and two-dimensional fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mglib.errors import MglibError
from mglib.perceptors.efficientnet_lite import WEIGHTS, build, network, normalised
from mglib.registry import bodies
from mglib.transfer.body import Body, TargetShape, Tokens, standing_still
from mglib.transfer.predictors import ClassesOfMap, FieldOfMap
from mglib.transfer.recomputed import passed

REACH = 32  # pixels of a side that one place of the last map covers
LEAST, MOST = 64, 96  # pixels of a side: smaller inputs are enlarged, larger ones made smaller


def input_side(side: int) -> int:
    """The side at which an input of this side is seen: a whole multiple of 8 in LEAST..MOST."""
    return min(max(LEAST, 8 * math.ceil(side / 8)), MOST)


def copied_kernel(kernel: Tensor, channels: int) -> Tensor:
    """Source weights [out, 3, h, w] for another number of input channels, [out, channels, h, w].

    Tiled along the channels and cut, as ORCA does, then scaled by 3 / channels, so that an input
    whose channels are alike is embedded as a grey picture is (ours; one channel takes the sum).
    """
    inner = kernel.shape[1]
    if channels == 1:
        return kernel.sum(1, keepdim=True)
    tiled = kernel.repeat(1, channels // inner + 1, 1, 1)[:, :channels]
    return tiled * (inner / channels)


def quick(module: Any) -> nn.Module:
    """The module with its weights laid out with channels last: 1.8 times faster on a CPU."""
    found: nn.Module = module.to(memory_format=torch.channels_last)
    return found


def forget(norm: nn.BatchNorm2d) -> None:
    """Begin a normalisation anew, with running statistics that a short training fills."""
    norm.reset_running_stats()
    norm.reset_parameters()
    norm.momentum = 0.1


class Stem(nn.Module):
    """Input [B, channels, h, w] -> [B, 32, h / 2, w / 2]: resize, convolution, norm and ReLU6."""

    def __init__(self, convolution: nn.Module, norm: nn.Module, size: tuple[int, ...]) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm
        self.size = tuple(input_side(side) for side in size)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2:] != self.size:
            images = functional.interpolate(
                images, self.size, mode="bilinear", align_corners=False, antialias=True
            )
        images = images.contiguous(memory_format=torch.channels_last)
        return functional.relu6(self.norm(self.convolution(images)))


class Blocks(nn.Module):
    """All between the stem and the classifier: [B, 32, h, w] -> the last map [B, 1280, h, w]."""

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.blocks = whole._blocks
        self.head, self.norm = whole._conv_head, whole._bn1

    def forward(self, hidden: Tensor) -> Tensor:
        for block in self.blocks:
            hidden = passed(block, hidden)
        return functional.relu6(self.norm(self.head(hidden)))


@bodies.register("efficientnet_lite0")
class EfficientNetLite0(Body):
    """EfficientNet-Lite0 (ImageNet): stem, 16 inverted residual blocks, a map of 1,280 channels.

    It has batch normalisation, which keeps the statistics of ImageNet, and ReLU6, so its loss has
    kinks: the finite-difference form of the meta-gradient is wrong on it.
    """

    title = "EfficientNet-Lite0, ImageNet-1k"
    source = ("emoji_concepts", "raw", "art")
    dimensions = 2
    smooth = False
    attention = False
    width = 1280
    CARRIERS = (WEIGHTS,)

    def __init__(self) -> None:
        super().__init__()
        whole: Any = network()
        self.classifier = whole._fc
        self.source_embedder = Stem(whole._conv_stem, whole._bn0, (72, 72))
        self.encoder = Blocks(whole).requires_grad_(True)
        quick(standing_still(self))

    def read_source(self, values: np.ndarray, lengths: np.ndarray | None) -> Tensor:
        """uint8 [N, height, width(, 3)] -> float32 [N, 3, height, width]."""
        return normalised(values)

    def source_tokens(self, batch: Tensor) -> Tokens:
        """Pictures through ImageNet's stem."""
        with torch.no_grad():
            return self.source_embedder(batch), None

    def embedder(self, shape: TargetShape, copied: bool) -> nn.Module:
        """A stem for `channels` inputs, with ImageNet's weights tiled, or new."""
        if len(shape.size) != self.dimensions:
            raise MglibError(
                f"body '{self.name}' takes pictures and fields [channels, height, width], not "
                f"inputs of size {list(shape.size)}; use a body for series, such as 'minilm'"
            )
        whole: Any = network() if copied else build()
        if not copied:
            forget(whole._bn0)
        convolution = whole._conv_stem
        if shape.channels != 3:
            kernel = convolution.weight.detach()
            convolution.weight = nn.Parameter(copied_kernel(kernel, shape.channels))
            convolution.in_channels = shape.channels
        stem = Stem(convolution, whole._bn0, shape.size).requires_grad_(True)
        return quick(standing_still(stem))

    def predictor(self, shape: TargetShape) -> nn.Module:
        """A linear layer on the mean of the map, or on each of its places for a field."""
        if shape.classes:
            return ClassesOfMap(self.width, shape.classes)
        return FieldOfMap(self.width, REACH, shape.output)

    def encode(self, encoder: Callable[..., Any], tokens: Tokens) -> Tensor:
        """The last map [B, 1280, h, w]."""
        return encoder(tokens[0])

    def pooled(self, encoded: Tensor, mask: Tensor | None) -> Tensor:
        """Its mean over places, [B, 1280]."""
        return encoded.mean((2, 3))

    def source_probabilities(self, pooled: Tensor) -> Tensor:
        """ImageNet's own 1,000 classes of pooled features [B, 1280]: probabilities [B, 1000]."""
        return self.classifier(pooled).softmax(-1)

    def fresh(self) -> None:
        """New weights by He's law; normalisations start as identities and count what they see."""
        for part in self.encoder.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out")
            elif isinstance(part, nn.BatchNorm2d):
                forget(part)
