"""Trials of the published sizes on made-up features, and how fast the two sides train them.

ModalBed's setting: 1,024 features, 20 classes, 10,000 instances (MSR-VTT), two training modalities
with 32 rows each, 5,001 steps. Rates are of the steps after `START`, when every learner does what
it does for most of its run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import normalize

from benchmarks import _plain, _plain_adversaries, _plain_multimodal
from benchmarks._memory import peak
from benchmarks._world import DATASET, MODALITIES, PERCEPTOR
from mglib.registry import algorithms
from mglib.trials import Trial, make_trials
from mglib.trials.algorithm import Algorithm
from mglib.trials.bank import EVALUATED, FeatureBank
from mglib.trials.chunks import stack_size
from mglib.trials.engine import Training, build
from mglib.trials.measuring import Measurements, measure
from mglib.trials.stack import Stack

LEARNERS = {
    **_plain.LEARNERS,
    **_plain_adversaries.LEARNERS,
    **_plain_multimodal.LEARNERS,
}
TRAIN, EVALUATE = MODALITIES[:2], MODALITIES[:3]
STEPS, EVERY, START = 5001, 300, 3000


@dataclass(frozen=True)
class Sizes:
    """How large the features are, steps of a stack and of the loop that are timed, most trials."""

    width: int = 1024
    classes: int = 20
    instances: int = 10_000
    steps: int = 20
    loop_steps: int = 100
    most: int = 256  # of a GPU's larger stacks take long to begin and gain nothing


def bank_of(sizes: Sizes, device: str) -> FeatureBank:
    """Unit-norm Gaussian features around class centres, in memory; parts of 80, 10 and 10 %."""
    random = np.random.RandomState(0)
    labels = np.arange(sizes.instances) % sizes.classes
    centres = random.randn(sizes.classes, sizes.width)
    values = centres[labels] + 2 * random.randn(len(EVALUATE), sizes.instances, sizes.width)
    order = random.permutation(sizes.instances)
    ends = [sizes.instances * share // 10 for share in (8, 9)]
    parts = zip(EVALUATED["disjoint"].names, np.split(order, ends), strict=True)
    return FeatureBank(
        values=normalize(torch.from_numpy(values.astype(np.float32)), dim=-1).to(device),
        labels=torch.from_numpy(labels.astype(np.int64)).to(device),
        groups=np.arange(sizes.instances),
        classes=sizes.classes,
        block={(m, 0): number for number, m in enumerate(EVALUATE)},
        splits={0: {name: np.sort(own) for name, own in parts}},
    )


def trials_of(name: str, number: int) -> list[Trial]:
    """So many trials of a learner at its defaults, in its corrected form."""
    return make_trials(
        dataset=DATASET,
        perceptor=PERCEPTOR,
        algorithm=name,
        variant=algorithms.get(name).variants[0],
        train=[TRAIN],
        evaluate=EVALUATE,
        seeds=range(number),
        split_seeds=[0],
        steps=STEPS,
        every=EVERY,
    )


def bytes_of(model: Algorithm) -> int:
    """Bytes of a model's weights."""
    return sum(p.numel() * p.element_size() for p in model.state_dict().values())


def number_of(name: str, bank: FeatureBank, sizes: Sizes) -> int:
    """How many trials the engine would stack."""
    weights = bytes_of(build(trials_of(name, 1), bank))
    return min(stack_size(weights, bank.values.device.type), sizes.most)


def clock(device: torch.device) -> float:
    """Seconds: of this process's CPU, or on a GPU of the wall once all work is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


class _Enough(Exception):
    """Ends a training run between two steps."""


def go(training: Stack, start: int, steps: int) -> None:
    """So many steps of a stack from step `start` on; the draws of a whole block are made."""
    training.step = start

    def pause() -> None:
        if training.step >= start + steps:
            raise _Enough

    try:
        training.run(pause=pause)
    except _Enough:
        return


def engine_rate(training: Training, steps: int) -> Callable[[], float]:
    """Measures trial-steps per second of a stack."""
    device = training.bank.values.device
    go(training, START, 2)

    def rate() -> float:
        before = clock(device)
        go(training, START, steps)
        return steps * len(training.trials) / (clock(device) - before)

    return rate


def loop_rate(
    name: str, bank: FeatureBank, steps: int, kind: type[_plain.Plain] | None = None
) -> Callable[[], float]:
    """Measures steps per second of the plain loop; `kind` replaces the learner of that name."""
    (trial,) = trials_of(name, 1)
    model = build([trial], bank)
    learner = (kind or LEARNERS[name])(model, trial.values, START)
    device = bank.values.device
    pool = torch.from_numpy(bank.pools(trial, model.aligned)).to(device)
    features = [bank.values[bank.block[m, 0]] for m in TRAIN]

    def run(number: int) -> None:
        learner.count = START
        for _ in range(number):
            drawn = torch.randint(pool.shape[1], (len(pool), trial.rows), device=device)
            chosen = pool.gather(1, drawn).expand(len(TRAIN), -1)
            learner.update(
                [(x[own], bank.labels[own]) for x, own in zip(features, chosen, strict=True)]
            )

    run(2)

    def rate() -> float:
        before = clock(device)
        run(steps)
        return steps / (clock(device) - before)

    return rate


@lru_cache(maxsize=1)
def kept_bank(sizes: Sizes, device: str) -> FeatureBank:
    """The features of some sizes, made once in a process."""
    return bank_of(sizes, device)


def loop_beside(name: str, sizes: Sizes, device: str, fused: bool) -> Callable[[], float]:
    """The rate of a plain loop, for another process; `fused`: with torch's fused Adam."""
    kind = _plain.FusedERM if fused else None
    return loop_rate(name, kept_bank(sizes, device), sizes.loop_steps, kind)


def loop_evaluation_beside(sizes: Sizes, device: str) -> Callable[[], float]:
    """The milliseconds of its scoring, for another process."""
    seconds = loop_evaluation_seconds(kept_bank(sizes, device))
    return lambda: 1000 * seconds()


def evaluation_seconds(training: Training) -> Callable[[], float]:
    """Measures the seconds that the engine takes to score one trial once."""
    device = training.bank.values.device

    def seconds() -> float:
        found = [Measurements.empty(trial, training.bank) for trial in training.trials]
        before = clock(device)
        measure(training.model, training.bank, training.trials, found, 0)
        return (clock(device) - before) / len(training.trials)

    return seconds


def loop_evaluation_seconds(bank: FeatureBank) -> Callable[[], float]:
    """Measures the seconds that the plain loop takes to score ERM once, in batches of 256."""
    trials = trials_of("erm", 1)
    learner = _plain.ERM(build(trials, bank), trials[0].values)
    parts = list(bank.splits[0].values())
    device = bank.values.device

    @torch.no_grad()
    def seconds() -> float:
        before = clock(device)
        for x in bank.values:
            right = (
                torch.cat([learner.network(some).argmax(1) for some in x.split(256)]) == bank.labels
            )
            for part in parts:
                float(right[torch.from_numpy(part).to(device)].float().mean())
        return clock(device) - before

    return seconds


def memory(engine: bool, sizes: Sizes, number: int) -> float:
    """MiB that training ERM takes at its peak, beyond features and libraries, per trial."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    number = number if engine else 1

    def work(width: int) -> None:
        bank = bank_of(replace(sizes, width=width, instances=20 * sizes.classes), device)
        if engine:
            go(Training(trials_of("erm", number), bank), START, 3)
        else:
            loop_rate("erm", bank, 1)()

    work(16)
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        work(sizes.width)
        return float(torch.cuda.max_memory_allocated() - before) / 2**20 / number
    before = peak()
    work(sizes.width)
    return (peak() - before) / 1024 / number


def products(model: Algorithm, rows: int) -> list[tuple[int, int, int]]:
    """The matrix products (m, k, n) of one step of ERM on so many rows, backward pass included."""
    layers = [*model.featurizer.layers, model.classifier]
    shapes: list[tuple[int, int, int]] = []
    for number, layer in enumerate(layers):
        into, out = layer.weight.shape[1:]
        shapes += [(rows, into, out), (into, rows, out)]
        # Nothing asks for the gradient of the features.
        shapes += [(rows, out, into)] if number else []
    return shapes


def operations(shapes: Sequence[tuple[int, int, int]]) -> int:
    """Floating-point operations of some products: two for each multiply-add."""
    return sum(2 * m * k * n for m, k, n in shapes)


def product_rate(
    shapes: Sequence[tuple[int, int, int]], copies: int, repeats: int, device: str
) -> Callable[[], float]:
    """Measures operations per second of torch.mm at these shapes, on `copies` matrices in turn.

    On a GPU all copies are multiplied at once (torch.bmm), since single ones would not fill it.
    """
    made = [
        (torch.randn(copies, m, k, device=device), torch.randn(copies, k, n, device=device))
        for m, k, n in shapes
    ]
    pairs = [(a[t], b[t]) for t in range(copies) for a, b in made]

    def once() -> None:
        if device == "cpu":
            for a, b in pairs:
                torch.mm(a, b)
        else:
            for a, b in made:
                torch.bmm(a, b)

    once()

    def rate() -> float:
        before = clock(torch.device(device))
        for _ in range(repeats):
            once()
        seconds = clock(torch.device(device)) - before
        return repeats * copies * operations(shapes) / seconds

    return rate


def copy_rate(size: int, repeats: int, device: str) -> Callable[[], float]:
    """Measures bytes per second, read and written, of copying a buffer of so many bytes."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)

    def rate() -> float:
        before = clock(torch.device(device))
        for _ in range(repeats):
            target.copy_(source)
        return 2 * repeats * size / (clock(torch.device(device)) - before)

    return rate
