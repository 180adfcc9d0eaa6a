"""How one sort of trial is trained: what the run loop asks of stacks and of single large models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor


class Asked(Protocol):
    """A trial as the run loop sees it: a question with a key, its length, and what it stacks with.

    `source` names what it reads; trials of equal `stack` can train together; `learns` is whether
    its steps take time; `checkpoints` are the steps after which it is measured.
    """

    @property
    def key(self) -> str: ...
    @property
    def identity(self) -> dict[str, Any]: ...
    @property
    def steps(self) -> int: ...
    @property
    def checkpoints(self) -> tuple[int, ...]: ...
    @property
    def stack(self) -> tuple[Any, ...]: ...
    @property
    def source(self) -> object: ...
    @property
    def learns(self) -> bool: ...


class Shown(Protocol):
    """What a trial has shown so far: arrays by name, and which checkpoint is the best."""

    chosen: int
    score: float

    def arrays(self) -> dict[str, np.ndarray]: ...
    def restore(self, arrays: Mapping[str, np.ndarray]) -> None: ...
    def artifact_bytes(self) -> int: ...


class InTraining(Protocol):
    """Trials that train together, on their way; see `engine.Training`."""

    step: int
    alive: list[int]
    weights: dict[str, Tensor]

    @property
    def trials(self) -> Sequence[Any]: ...
    @property
    def found(self) -> Sequence[Shown]: ...
    def moving(self) -> dict[str, Tensor]: ...
    def resume(self, step: int, alive: Sequence[int], moving: Mapping[str, Tensor]) -> None: ...
    def run(self, tick: Callable[[int], None], pause: Callable[[], None]) -> None: ...
    def measure_now(self) -> None: ...
    def rows(self) -> list[dict[str, Any]]: ...


class Trainer(ABC):
    """What the run loop needs of one sort of trial; has no state of its own, and is pickled."""

    @abstractmethod
    def check(self, trials: Sequence[Any]) -> None:
        """Raise MglibError before anything trains if what these trials read is not there."""

    @abstractmethod
    def weight_bytes(self, trial: Any) -> int:
        """Bytes of one trial's weights, by which stacks are cut."""

    @abstractmethod
    def shared_splits(self, trials: Sequence[Any]) -> dict[object, tuple[int, ...]]:
        """By source of data, the splits that are best read at once."""

    @abstractmethod
    def begin(
        self, trials: Sequence[Any], device: str, split_seeds: Sequence[int], weights: bool
    ) -> InTraining:
        """Trials of one stack at their first step."""

    @abstractmethod
    def write(self, experiment: str, training: Any) -> None:
        """Write what stands beside the rows: predictions, and weights if they were kept."""
