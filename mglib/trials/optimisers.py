"""Adam and SGD with learning rates and weight decays [T]: one optimiser for a whole stack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class Optimiser(ABC):
    """A stack's optimiser; `step` changes parameters [T, ...] in place, each at its own rate."""

    def __init__(self, parameters: Sequence[Tensor], lr: Tensor, weight_decay: Tensor):
        self.parameters = list(parameters)
        self.lr = lr
        self.weight_decay = weight_decay
        self.steps = 0
        self._decays = bool(weight_decay.any())

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One update from the gradients, given in the order of the parameters."""
        self.steps += 1
        for number, (parameter, gradient) in enumerate(
            zip(self.parameters, gradients, strict=True)
        ):
            shape = (-1,) + (1,) * (parameter.ndim - 1)
            if self._decays:
                gradient = gradient + self.weight_decay.view(shape) * parameter
            self._update(number, parameter, gradient, self.lr.view(shape))

    @abstractmethod
    def _update(self, number: int, parameter: Tensor, gradient: Tensor, lr: Tensor) -> None:
        """Change parameter `number` in place."""


class SGD(Optimiser):
    """Stochastic gradient descent with L2 weight decay, as torch.optim.SGD without momentum."""

    def _update(self, number: int, parameter: Tensor, gradient: Tensor, lr: Tensor) -> None:
        parameter.sub_(lr * gradient)


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, algorithm 1) with L2 weight decay, as torch.optim.Adam."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, parameters: Sequence[Tensor], lr: Tensor, weight_decay: Tensor):
        super().__init__(parameters, lr, weight_decay)
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]

    def _update(self, number: int, parameter: Tensor, gradient: Tensor, lr: Tensor) -> None:
        first = self.first[number].lerp_(gradient, 1 - self.beta1)
        second = self.second[number].mul_(self.beta2)
        second.addcmul_(gradient, gradient, value=1 - self.beta2)
        scale = (1 - self.beta2**self.steps) ** 0.5
        size = second.sqrt().div_(scale).add_(self.epsilon)
        parameter.sub_(first.div(size).mul_(lr / (1 - self.beta1**self.steps)))


OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "sgd": SGD}
