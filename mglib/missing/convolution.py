"""Small convolutional encoders of pictures, stacked over trials, beside those of vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mglib.errors import MglibError
from mglib.trials.networks import StackedLinear, Streams

Shape = Sequence[int]
NETWORKS = ("dense", "convolution")
CHANNELS = (8, 16)  # of the layers, each of which halves height and width
KERNEL, STRIDE = 3, 2
LEAST = STRIDE ** len(CHANNELS)  # pixels a side, so that every layer has something to halve


class StackedConvolution(nn.Module):
    """T convolutions [T, out, in, 3, 3] of stride 2, each drawn as torch.nn.Conv2d draws.

    One after another: a convolution of T groups takes two thirds of the time on a CPU, but its
    last bits hang on T; products of unfolded pictures take twice as long.
    """

    def __init__(self, streams: Streams, channels_in: int, channels_out: int):
        super().__init__()
        reach = (channels_in * KERNEL**2) ** -0.5
        weight = torch.empty(len(streams), channels_out, channels_in, KERNEL, KERNEL)
        bias = torch.empty(len(streams), channels_out)
        for stream, *drawn in zip(streams, weight, bias, strict=True):
            for tensor in drawn:
                tensor.uniform_(-reach, reach, generator=stream)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, in, height, width] -> [T, B, out, height / 2, width / 2], rounded up."""
        return torch.stack(
            [
                functional.conv2d(own, weight, bias, STRIDE, KERNEL // 2)
                for own, weight, bias in zip(x, self.weight, self.bias, strict=True)
            ]
        )


class ConvolutionalEncoder(nn.Module):
    """Convolutions with ReLU, then a linear layer on all that is left of a picture.

    `shape` is [height, width] of one channel (a spectrogram, frames) or [channels, height, width].
    Ours: UME-MMA's encoders of pictures and spectrograms are deeper; these are for small pictures
    and few of them.
    """

    def __init__(self, streams: Streams, shape: Shape, hidden: int):
        super().__init__()
        channels, *sides = (1, *shape) if len(shape) == 2 else shape
        self.shape = (channels, *sides)
        self.layers = nn.ModuleList(
            StackedConvolution(streams, before, after)
            for before, after in zip((channels, *CHANNELS), CHANNELS, strict=False)
        )
        height, width = (-(-side // LEAST) for side in sides)
        self.last = StackedLinear(streams, CHANNELS[-1] * height * width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Flat pictures [T, B, D] -> [T, B, H]."""
        x = x.unflatten(-1, self.shape)
        for layer in self.layers:
            x = layer(x).relu()
        encoded: Tensor = self.last(x.flatten(2))
        return encoded


def encoder(streams: Streams, shape: Shape, hidden: int) -> nn.Module:
    """The encoder of one modality, flat [T, B, D] -> [T, B, H]: of a picture, or of a vector."""
    if len(shape) == 1:
        return StackedLinear(streams, shape[0], hidden)
    return ConvolutionalEncoder(streams, shape, hidden)


def check_pictures(shapes: Mapping[str, Shape]) -> None:
    """Raise MglibError for modalities, by name, that are neither picture nor vector, or no picture.

    A picture has LEAST pixels a side or more.
    """
    for name, shape in shapes.items():
        if len(shape) > 3 or (len(shape) > 1 and min(shape[-2:]) < LEAST):
            raise MglibError(
                f"{name} has shape {list(shape)}; convolutions take vectors, and pictures [height, "
                f"width] or [channels, height, width] of at least {LEAST} pixels a side: use "
                "another perceptor, such as 'pictures'"
            )
    if all(len(shape) == 1 for shape in shapes.values()):
        raise MglibError(
            f"network 'convolution' needs a picture, but {', '.join(shapes)} are vectors: use "
            "another perceptor, such as 'pictures', or network 'dense'"
        )
