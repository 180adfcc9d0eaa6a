"""Optimisers of a stack: every trial at its own rate, started anew or left alone on its own.

Parameters lead with the trial axis. On a CPU each trial is one call of PyTorch's fused kernels; on
a GPU, where hundreds of small calls would wait for each other, all trials are updated at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from mglib.errors import MglibError, unknown


class Optimiser(ABC):
    """A stack's optimiser; `step` changes parameters [T, ...] in place, each at its own rate.

    `settings` are numbers, alike for all trials, or tensors [T]. Raises MglibError for a setting
    that the optimiser does not have.
    """

    defaults: ClassVar[dict[str, float]]
    moments: ClassVar[int]

    def __init__(self, parameters: Sequence[Tensor], weight_decay: Tensor, **settings: Any):
        for name in settings:
            if name not in self.defaults:
                raise unknown(f"setting of {type(self).__name__}", name, self.defaults)
        self.parameters = [p.detach() for p in parameters]
        self.trials = len(weight_decay)
        if any(p.shape[0] != self.trials for p in self.parameters):
            raise MglibError("every parameter of a stack leads with the trial axis")
        device = weight_decay.device
        self.weight_decay = weight_decay
        self.settings = {
            name: torch.as_tensor(
                settings.get(name, default), dtype=torch.float64, device=device
            ).expand(self.trials)
            for name, default in self.defaults.items()
        }
        self.steps = torch.zeros(self.trials, device=device)
        self.state = [[torch.zeros_like(p) for p in self.parameters] for _ in range(self.moments)]
        self._rates = self._plain(weight_decay=weight_decay, **self.settings)
        self._views: list[list[Tensor]] = []
        self._moment_views: list[list[list[Tensor]]] = []

    @staticmethod
    def _plain(**tensors: Tensor) -> list[dict[str, float]]:
        columns = {name: tensor.tolist() for name, tensor in tensors.items()}
        trials = zip(*columns.values(), strict=True)
        return [dict(zip(columns, values, strict=True)) for values in trials]

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed run needs, by name, each leading with T."""
        found = {"steps": self.steps}
        for number, moment in enumerate(self.state):
            found |= {f"moment{number}.{i}": tensor for i, tensor in enumerate(moment)}
        return found

    def reset(self, chosen: Tensor) -> None:
        """Start anew for the chosen trials [T]: as if their optimiser had just been made."""
        if not chosen.any():
            return
        for tensor in self.tensors().values():
            tensor[chosen] = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], lr: Tensor, active: Tensor | None = None) -> None:
        """One update from gradients in the parameters' order, of `active` trials [T] (else all)."""
        if active is None:
            active = torch.ones(self.trials, dtype=torch.bool, device=self.steps.device)
        self.steps += active
        if self.steps.device.type == "cpu":
            self._step_each(gradients, lr.tolist(), active.tolist())
        else:
            self._step_all(gradients, lr, active)

    def _step_each(self, gradients: Sequence[Tensor], lr: list[float], active: list[bool]) -> None:
        if not self._views:
            self._views = [[p[t] for p in self.parameters] for t in range(self.trials)]
            self._moment_views = [
                [[m[t] for m in moment] for moment in self.state] for t in range(self.trials)
            ]
        # The kernels read memory in its order; a second derivative may come transposed.
        own = list(zip(*(g.contiguous().unbind(0) for g in gradients), strict=True))
        for t in range(self.trials):
            if active[t]:
                self._fused(
                    self._views[t],
                    list(own[t]),
                    self._moment_views[t],
                    self.steps[t],
                    lr[t],
                    self._rates[t],
                )

    def _step_all(self, gradients: Sequence[Tensor], lr: Tensor, active: Tensor) -> None:
        for number, (parameter, gradient) in enumerate(
            zip(self.parameters, gradients, strict=True)
        ):
            shape = (-1,) + (1,) * (parameter.ndim - 1)
            chosen = active.view(shape)
            gradient = gradient + self.weight_decay.view(shape) * parameter
            change = self._change(number, gradient, shape, chosen)
            parameter.sub_(torch.where(chosen, lr.view(shape) * change, 0))

    @abstractmethod
    def _fused(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        moments: list[list[Tensor]],
        steps: Tensor,
        lr: float,
        rates: dict[str, float],
    ) -> None:
        """Update one trial in place with PyTorch's kernel; `steps` counts this update."""

    @abstractmethod
    def _change(
        self, number: int, gradient: Tensor, shape: tuple[int, ...], chosen: Tensor
    ) -> Tensor:
        """Direction of parameter `number` for all trials; moments of the chosen are updated."""


class SGD(Optimiser):
    """Stochastic gradient descent with momentum and L2 weight decay, as torch.optim.SGD."""

    defaults: ClassVar[dict[str, float]] = {"momentum": 0.0}
    moments: ClassVar[int] = 1

    def _fused(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        moments: list[list[Tensor]],
        steps: Tensor,
        lr: float,
        rates: dict[str, float],
    ) -> None:
        # A buffer that starts at zero gives torch's first step, which copies the gradient.
        buffers: list[Tensor | None] = (
            [*moments[0]] if rates["momentum"] else [None] * len(gradients)
        )
        sgd(
            parameters,
            gradients,
            buffers,
            fused=True,
            weight_decay=rates["weight_decay"],
            momentum=rates["momentum"],
            lr=lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def _change(
        self, number: int, gradient: Tensor, shape: tuple[int, ...], chosen: Tensor
    ) -> Tensor:
        buffer = self.state[0][number]
        fresh = self.settings["momentum"].view(shape).to(buffer) * buffer + gradient
        return buffer.copy_(torch.where(chosen, fresh, buffer))


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, algorithm 1) with L2 weight decay, as torch.optim.Adam."""

    defaults: ClassVar[dict[str, float]] = {"beta1": 0.9, "beta2": 0.999}
    moments: ClassVar[int] = 2
    epsilon: ClassVar[float] = 1e-8

    def _fused(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        moments: list[list[Tensor]],
        steps: Tensor,
        lr: float,
        rates: dict[str, float],
    ) -> None:
        # The kernel behind torch.optim.Adam(fused=True), whose own preparations cost as much again.
        torch._fused_adam_(
            parameters,
            gradients,
            moments[0],
            moments[1],
            [],
            [steps] * len(parameters),
            amsgrad=False,
            lr=lr,
            beta1=rates["beta1"],
            beta2=rates["beta2"],
            weight_decay=rates["weight_decay"],
            eps=self.epsilon,
            maximize=False,
        )

    def _change(
        self, number: int, gradient: Tensor, shape: tuple[int, ...], chosen: Tensor
    ) -> Tensor:
        first, second = (moment[number] for moment in self.state)
        decayed = []
        for moment, name, fresh in ((first, "beta1", gradient), (second, "beta2", gradient**2)):
            beta = self.settings[name].view(shape)
            kept = beta.to(moment)
            moment.copy_(torch.where(chosen, kept * moment + (1 - kept) * fresh, moment))
            # In double precision: 1 - 0.999 loses a thousandth of a per cent in single.
            decayed.append((1 - beta ** self.steps.view(shape).clamp(min=1)).to(moment))
        return (first / decayed[0]) / ((second / decayed[1]).sqrt() + self.epsilon)


OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "sgd": SGD}


def optimiser_of(name: str) -> type[Optimiser]:
    """The optimiser of a name; raises MglibError with the nearest if there is none."""
    if name not in OPTIMISERS:
        raise unknown("optimiser", name, OPTIMISERS)
    return OPTIMISERS[name]
