"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) in a frozen trunk of convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

SCALE, DROPOUT = 4.0, 0.05  # ModalBed: alpha 32 at rank 8; the drop rate before every adapter


def adapt(trunk: nn.Module, rank: int, random: np.random.RandomState) -> nn.ModuleList:
    """Give every 1x1 convolution of a frozen trunk an adapter of a rank; these, to train and eval.

    W x becomes W x + SCALE B A dropout(x), B zero at first, so that the trunk begins as it was; A
    and B alone have gradients. `random` draws A, uniform in +-1 / sqrt(inputs), in the order of the
    trunk, and the seeds of dropout.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class Adapted(nn.Module):
        """A convolution and the low-rank one beside it."""

        def __init__(self, convolution: nn.Conv2d) -> None:
            super().__init__()
            inputs, outputs = convolution.in_channels, convolution.out_channels
            edge = inputs**-0.5
            start = random.uniform(-edge, edge, (rank, inputs, 1, 1)).astype(np.float32)
            self.convolution = convolution
            self.down = nn.Parameter(torch.from_numpy(start))
            self.up = nn.Parameter(torch.zeros(outputs, rank, 1, 1))
            self.dropped = torch.Generator().manual_seed(int(random.randint(2**31)))

        def forward(self, images: Tensor) -> Tensor:
            whole: Tensor = self.convolution(images)
            if self.training:
                kept = torch.empty_like(images).bernoulli_(1 - DROPOUT, generator=self.dropped)
                images = images * kept / (1 - DROPOUT)
            low = functional.conv2d(functional.conv2d(images, self.down), self.up)
            return whole + SCALE * low

    found = nn.ModuleList()
    places = [
        (parent, name, child)
        for parent in trunk.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Conv2d) and child.kernel_size == (1, 1)
    ]
    for parent, name, convolution in places:
        found.append(Adapted(convolution))
        setattr(parent, name, found[-1])
    return found
