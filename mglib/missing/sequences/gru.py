"""A gated recurrent unit for every trial of a stack, frame after frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mglib.trials.networks import StackedLinear, Streams


class StackedGRU(nn.Module):
    """T gated recurrent units [T, D, 3 H] and [T, H, 3 H] with the equations of torch.nn.GRU.

    Its gates stand in torch's order (reset, update, new). Cho et al. 2014, arXiv 1406.1078, in the
    form of cuDNN.
    """

    def __init__(self, streams: Streams, width: int, hidden: int):
        super().__init__()
        self.reads = StackedLinear(streams, width, 3 * hidden)
        self.keeps = StackedLinear(streams, hidden, 3 * hidden)

    def forward(self, x: Tensor, moved: Tensor) -> Tensor:
        """States [T, B, F, H] after each frame of x [T, B, F, D]; elsewhere than `moved` kept.

        `moved` [T, B, F] are the frames at which the state moves. It begins at zero.
        """
        read = self.reads(x)
        state = read.new_zeros(*x.shape[:2], read.shape[-1] // 3)
        states = []
        for own, moves in zip(read.unbind(2), moved.unbind(2), strict=True):
            reset, update, new = own.chunk(3, -1)
            kept = self.keeps(state).chunk(3, -1)
            reset, update = torch.sigmoid(reset + kept[0]), torch.sigmoid(update + kept[1])
            new = torch.tanh(new + reset * kept[2])
            state = torch.where(moves[..., None], new + update * (state - new), state)
            states.append(state)
        return torch.stack(states, 2)


class StackedPerceptron(nn.Module):
    """T layers with ReLU, frame by frame, for frames that need no recurrence."""

    def __init__(self, streams: Streams, width: int, hidden: int):
        super().__init__()
        self.layer = StackedLinear(streams, width, hidden)

    def forward(self, x: Tensor, moved: Tensor) -> Tensor:
        """[T, B, F, D] -> [T, B, F, H]."""
        values: Tensor = self.layer(x)
        return values.relu()
