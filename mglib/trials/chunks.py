"""How trials are cut into stacks that a device holds well, and shared among processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mglib.trials.stacked import STACKED
from mglib.trials.trainer import Asked, Trainer

# On a CPU: stacks of 8 to 16 are the fastest, as long as their weights fit into the cache.
CPU_LEAST, CPU_MOST = 4, 16
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")  # Linux's account of them
# On a GPU: copies of its weights that a trial takes (gradients, moments, room to compute), and
# bytes for its rows on their way; what this misses, halving corrects.
GPU_COPIES, GPU_ROWS, GPU_SHARE, GPU_MOST = 6, 16 * 2**20, 0.7, 1024


@dataclass(frozen=True)
class Chunk:
    """Trials of one stack that train together and become one part of the experiment's rows.

    `origin` are the keys of the stack whose saved state they may go on from, `code` the digests of
    the code that was loaded when the run began, `split_seeds` the splits that stacks beside it need
    as well, so that one reading of the features serves them all.
    """

    experiment: str
    task: str
    profile: str
    device: str
    trials: tuple[Asked, ...]
    weights: bool = False
    origin: tuple[str, ...] = ()
    code: tuple[tuple[str, str], ...] = ()
    split_seeds: tuple[int, ...] = ()
    trainer: Trainer = STACKED

    def halves(self) -> list[Chunk]:
        """The same trials in two chunks, which go on from the same saved state."""
        middle = len(self.trials) // 2
        return [replace(self, trials=part) for part in (self.trials[:middle], self.trials[middle:])]


def stack_size(weights: int, device: str) -> int:
    """How many trials of so many bytes of weights train best as one stack on a device."""
    if device == "cpu":
        share = _cache_bytes() // max(1, weights)
        return int(min(CPU_MOST, max(CPU_LEAST, share)))
    free, _ = torch.cuda.mem_get_info()
    return int(min(GPU_MOST, max(1, GPU_SHARE * free // (GPU_COPIES * weights + GPU_ROWS))))


def _cache_bytes() -> int:
    """One core's share of the last-level cache; 8 MiB where the system does not tell."""
    try:
        last = max(CACHES.glob("index*"), key=lambda cache: int((cache / "level").read_text()))
        size = int((last / "size").read_text().strip().removesuffix("K")) * 2**10
        cores = int((last / "shared_cpu_map").read_text().replace(",", ""), 16).bit_count()
    except (OSError, ValueError):
        return 8 * 2**20
    return size // max(1, cores)


def cut(
    trials: Sequence[Asked], device: str, workers: int, trainer: Trainer = STACKED
) -> list[tuple[Asked, ...]]:
    """Chunks of stackable trials of a size that suits the device, enough of them for every worker.

    What learns nothing is done at once and comes first; then the longest, so that the last ones to
    finish are short.
    """
    stacks: dict[tuple[Any, ...], list[Asked]] = defaultdict(list)
    for trial in trials:
        stacks[trial.stack].append(trial)
    chunks = []
    for stack in stacks.values():
        size = stack_size(trainer.weight_bytes(stack[0]), device)
        # Equal chunks, as many as the workers share evenly.
        number = -(-len(stack) // size)
        if workers > 1:
            number = min(len(stack), -(-number // workers) * workers)
        length = -(-len(stack) // number)
        chunks += [tuple(stack[i : i + length]) for i in range(0, len(stack), length)]
    return sorted(
        chunks,
        key=lambda chunk: (chunk[0].learns, -len(chunk) * chunk[0].steps),
    )
