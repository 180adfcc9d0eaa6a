"""What is put after an encoder: classes or fields from its last features."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional


class ClassesOfMap(nn.Module):
    """Mean over the places of a map [B, D, h, w], then a linear layer: logits [B, C]."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def forward(self, encoded: Tensor) -> Tensor:
        return self.linear(encoded.mean((2, 3)))


class FieldOfMap(nn.Module):
    """A map [B, D, h, w] to a field [B, channels, H, W]: one linear layer per place, then pixels.

    As ORCA's masked-image decoder (1x1 convolution and pixel shuffle) does, but with as many
    channels as are wanted, and bilinear interpolation to the size asked where that differs (ours).
    """

    def __init__(self, width: int, reach: int, output: tuple[int, ...]) -> None:
        super().__init__()
        self.reach, self.output = reach, output
        self.linear = nn.Conv2d(width, output[0] * reach * reach, 1)

    def forward(self, encoded: Tensor) -> Tensor:
        field = functional.pixel_shuffle(self.linear(encoded), self.reach)
        if field.shape[2:] != self.output[1:]:
            field = functional.interpolate(
                field, self.output[1:], mode="bilinear", align_corners=False
            )
        return field


class ClassesOfTokens(nn.Module):
    """Mean over tokens [B, L, D], then a linear layer: logits [B, C]."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def forward(self, encoded: Tensor) -> Tensor:
        return self.linear(encoded.mean(1))


class FieldOfTokens(nn.Module):
    """Tokens [B, L, D] to a series [B, channels, X]: one linear layer per token.

    Ours, in place of ORCA's adaptive average pooling of the features, which has no weights.
    """

    def __init__(self, width: int, tokens: int, output: tuple[int, ...]) -> None:
        super().__init__()
        self.output = output
        self.share = math.ceil(output[1] / tokens)
        self.linear = nn.Linear(width, output[0] * self.share)

    def forward(self, encoded: Tensor) -> Tensor:
        batch, tokens, _ = encoded.shape
        parts = self.linear(encoded).view(batch, tokens, self.output[0], self.share)
        series = parts.permute(0, 2, 1, 3).reshape(batch, self.output[0], tokens * self.share)
        if series.shape[2] != self.output[1]:
            series = functional.interpolate(series, self.output[1], mode="linear")
        return series
