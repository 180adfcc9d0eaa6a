"""Algorithms written for one trial and lifted to a stack by torch.func.vmap.

Shorter to write than stacked layers, slower to run (about two thirds of the speed): any torch
modules will do, and the loss never sees the trial axis.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from mglib.trials.algorithm import Algorithm, Batch, Task
from mglib.trials.networks import Streams

Network = Callable[[Tensor], Tensor]


class Lifted(Algorithm):
    """An algorithm whose subclass gives one trial's `network` and `loss_of_one`.

    The network maps features [..., D] to logits [..., C]; it may hold no dropout or batch
    statistics, which have no stream of their own in a stack.
    """

    def __init__(self, task: Task, hparams: Mapping[str, Tensor], streams: Streams, variant: str):
        super().__init__(task, hparams, streams, variant)
        networks = []
        for number, stream in enumerate(streams):
            own = {name: float(value[number]) for name, value in hparams.items()}
            # torch's layers draw from the global stream: lend it the trial's, then give it back.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(stream.initial_seed())
                networks.append(self.network(task, own))
        weights, buffers = stack_module_state(networks)
        self._names = {"weights": list(weights), "buffers": list(buffers)}
        self.weights = nn.ParameterList(nn.Parameter(value) for value in weights.values())
        for number, value in enumerate(buffers.values()):
            self.register_buffer(f"buffer{number}", value)
        # Kept out of the modules: it holds no weights, only the way to compute.
        self._skeleton = [copy.deepcopy(networks[0]).to("meta")]

    @abstractmethod
    def network(self, task: Task, hparams: Mapping[str, float]) -> nn.Module:
        """One trial's network, drawn from torch's global stream."""

    @abstractmethod
    def loss_of_one(self, network: Network, batch: Batch, hparams: Mapping[str, Tensor]) -> Tensor:
        """One trial's loss [] of its minibatch: x [M, B, D], y [M, B], used [1, B]."""

    def _state(self) -> dict[str, Tensor]:
        buffers = [getattr(self, f"buffer{n}") for n in range(len(self._names["buffers"]))]
        return dict(zip(self._names["weights"], self.weights, strict=True)) | dict(
            zip(self._names["buffers"], buffers, strict=True)
        )

    def _call(self, state: Mapping[str, Tensor]) -> Network:
        return lambda x: functional_call(self._skeleton[0], dict(state), (x,))

    def loss(self, batch: Batch) -> Tensor:
        """The loss of each trial, [T]."""

        def one(state: Any, x: Tensor, y: Tensor, used: Tensor, noise: Any, hparams: Any) -> Tensor:
            own = Batch(x, y, used, batch.step, noise)
            return self.loss_of_one(self._call(state), own, hparams)

        return vmap(one)(
            self._state(), batch.x, batch.y, batch.used, dict(batch.noise), dict(self.hparams)
        )

    def predict(self, x: Tensor) -> Tensor:
        """Logits [T, N, C] of features [T, N, D]."""
        return vmap(lambda state, rows: self._call(state)(rows))(self._state(), x)
