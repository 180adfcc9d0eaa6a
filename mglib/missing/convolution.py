"""Small convolutional encoders of pictures and series, stacked over trials, beside vectors' own."""

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

    `rows` is 3, or 1 where they go along one axis, as torch.nn.Conv1d does. One after another: a
    convolution of T groups takes two thirds of the time on a CPU, but its last bits hang on T;
    products of unfolded pictures take twice as long.
    """

    def __init__(self, streams: Streams, channels_in: int, channels_out: int, rows: int = KERNEL):
        super().__init__()
        self.around = (rows // 2, KERNEL // 2)
        reach = (channels_in * rows * KERNEL) ** -0.5
        weight = torch.empty(len(streams), channels_out, channels_in, rows, KERNEL)
        bias = torch.empty(len(streams), channels_out)
        for stream, *drawn in zip(streams, weight, bias, strict=True):
            for tensor in drawn:
                tensor.uniform_(-reach, reach, generator=stream)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, in, height, width] -> [T, B, out, height / 2, width / 2], rounded up."""
        return torch.stack(
            [
                functional.conv2d(own, weight, bias, STRIDE, self.around)
                for own, weight, bias in zip(x, self.weight, self.bias, strict=True)
            ]
        )


class ConvolutionalEncoder(nn.Module):
    """Convolutions with ReLU, then a linear layer on all that is left of a picture.

    `shape` is [height, width] of one channel (a spectrogram, frames), [channels, height, width], or
    [channels, 1, steps] of a series, along which its convolutions go. Ours: UME-MMA's encoders of
    pictures and spectrograms are deeper; these are for small pictures and few of them.
    """

    def __init__(self, streams: Streams, shape: Shape, hidden: int):
        super().__init__()
        channels, *sides = (1, *shape) if len(shape) == 2 else shape
        self.shape = (channels, *sides)
        self.layers = nn.ModuleList(
            StackedConvolution(streams, before, after, KERNEL if sides[0] > 1 else 1)
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
    """Raise MglibError for modalities, by name, that convolutions cannot read, or vectors alone.

    A picture has LEAST pixels a side or more, a series [channels, 1, steps] as many steps.
    """
    for name, shape in shapes.items():
        series = len(shape) == 3 and shape[1] == 1
        if len(shape) > 3 or (len(shape) > 1 and min(shape[-1 if series else -2 :]) < LEAST):
            raise MglibError(
                f"{name} has shape {list(shape)}; convolutions take vectors, pictures [height, "
                f"width] or [channels, height, width] of at least {LEAST} pixels a side, and "
                f"series [channels, 1, steps] of as many steps: use another perceptor, such as "
                "'pictures'"
            )
    if all(len(shape) == 1 for shape in shapes.values()):
        raise MglibError(
            f"network 'convolution' needs a picture or a series, but {', '.join(shapes)} are "
            "vectors: use another perceptor, such as 'pictures', or network 'dense'"
        )
