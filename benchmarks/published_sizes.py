"""Every learner at the published sizes: stacked by the engine against its plain PyTorch loop.

On a CPU one thread on both sides, counted in its own seconds; on a GPU, where there is one, the
same with CUDA, in single precision without TF32. Beside the rates stands what the machine could
give, and what the published grid would cost on it.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from benchmarks import _published
from benchmarks._beside import Beside
from benchmarks._memory import elsewhere
from benchmarks._published import LEARNERS, STEPS, Sizes
from benchmarks._world import threads
from mglib import paths
from mglib.registry import algorithms
from mglib.report.bench import Entry, Run, compare, entry
from mglib.trials.allocator import NAME, lasting_memory
from mglib.trials.bank import FeatureBank
from mglib.trials.engine import Training, build

WIDTHS = {"cpu": (1024,), "cuda": (1024, 256)}
QUICK = Sizes(width=64, classes=8, instances=400, steps=2, loop_steps=4, most=2)
LIMITS = {"median": 1.6, "products": 0.55}  # on a CPU
REPEATS = 3
# Reading weights forward and backward, writing their gradient, Adam's four reads and three writes.
PASSES = 10
# ModalBed's tables: 3 datasets x 3 perceptors of each of these, of 6 sets of modalities, 3 draws
# and 3 trials each, scored 18 times.
PUBLISHED = (
    *("erm", "irm", "mixup", "cdann", "sagnet", "ib_erm", "condcad", "eqrm"),
    *("concat", "ogm", "dlmg"),
)
RUNS = 3 * 3 * 6 * 3 * 3
SCORED = 18
LOOP = "PyTorch loop"


def scaled(measure: Callable[[], float], factor: float) -> Callable[[], float]:
    """A measurement in another unit."""
    return lambda: factor * measure()


def rates(
    bank: FeatureBank, sizes: Sizes, repeats: int, unit: str, beside: Beside
) -> dict[str, Entry]:
    """Trial-steps per second of every learner, in a stack and in the loop, by its name."""
    found = {}
    for name in LEARNERS:
        number = _published.number_of(name, bank, sizes)
        training = Training(_published.trials_of(name, number), bank)
        found[name] = compare(
            f"{algorithms.get(name).title} d={sizes.width}, {number} trials",
            f"trial-steps per {unit}, training alone",
            LOOP,
            _published.engine_rate(training, sizes.steps),
            beside.measure(_published.loop_beside, name, sizes, bank.values.device.type, False),
            repeats,
        )
    return found


def median_of(found: Mapping[str, Entry], sizes: Sizes, limit: float | None) -> Entry:
    """The median over learners of rates and of ratios, measurement by measurement."""
    runs: list[Run] = []
    for together in zip(*(one["runs"] for one in found.values()), strict=True):
        ours, baseline, ratio = (
            statistics.median(run[side] for run in together)
            for side in ("ours", "baseline", "ratio")
        )
        runs.append({"ours": ours, "baseline": baseline, "ratio": ratio})
    unit = next(iter(found.values()))["unit"]
    return entry(f"median of {len(found)} learners d={sizes.width}", unit, LOOP, runs, limit)


def grid(
    found: Mapping[str, Entry], scoring: Entry, sizes: Sizes, workers: int, unit: str
) -> Entry:
    """Hours of the published grid in one setting, from the rates and the time of one scoring."""
    runs: list[Run] = []
    for repeat, scored in enumerate(scoring["runs"]):
        ours, baseline = (
            sum(
                RUNS * (STEPS / found[name]["runs"][repeat][side] + SCORED * scored[side] / 1000)
                for name in PUBLISHED
            )
            / workers
            / 3600
            for side in ("ours", "baseline")
        )
        runs.append({"ours": ours, "baseline": baseline, "ratio": ours / baseline})
    count = f"{RUNS * len(PUBLISHED):,} runs of {STEPS:,} steps"
    return entry(f"published grid d={sizes.width}, {count}", f"hours on {unit}", LOOP, runs)


def what_is_reached(
    bank: FeatureBank, sizes: Sizes, repeats: int, limit: float | None
) -> list[Entry]:
    """ERM's share of the rate of its matrix products alone, and of the memory's bandwidth."""
    device = bank.values.device.type
    number = _published.number_of("erm", bank, sizes)
    trials = _published.trials_of("erm", number)
    training = Training(trials, bank)
    single = build(trials[:1], bank)
    weights = _published.bytes_of(single)
    shapes = _published.products(single, len(trials[0].train) * trials[0].rows)
    rate = _published.engine_rate(training, sizes.steps)

    done = _published.operations(shapes)
    return [
        compare(
            f"ERM d={sizes.width}, matrix products",
            "GFLOP/s",
            "the products of a step alone",
            scaled(rate, done / 1e9),
            scaled(_published.product_rate(shapes, number, sizes.steps, device), 1e-9),
            repeats,
            limit,
        ),
        compare(
            f"ERM d={sizes.width}, {PASSES * weights / 1e6:.0f} MB a trial-step",
            "GB/s",
            "copying memory",
            scaled(rate, PASSES * weights / 1e9),
            scaled(_published.copy_rate(number * 4 * weights, sizes.steps, device), 1e-9),
            repeats,
        ),
    ]


def memory(sizes: Sizes, number: int) -> Entry:
    """Peak memory of ERM, each side in a process of its own."""
    return compare(
        f"ERM d={sizes.width}, peak memory",
        "MiB per trial beyond features and libraries",
        LOOP,
        elsewhere(_published.memory, True, sizes, number),
        elsewhere(_published.memory, False, sizes, number),
        1,
    )


def of(
    sizes: Sizes, device: str, repeats: int, limits: Mapping[str, float], beside: Beside
) -> list[Entry]:
    """All entries but memory at one width on one device; the loops run in a process `beside`."""
    bank = _published.bank_of(sizes, device)
    unit = "CPU second" if device == "cpu" else "second"
    found = rates(bank, sizes, repeats, unit, beside)
    number = _published.number_of("erm", bank, sizes)
    erm = Training(_published.trials_of("erm", number), bank)
    fused = compare(
        f"ERM d={sizes.width}, {number} trials, fused",
        f"trial-steps per {unit}, training alone",
        f"{LOOP} with fused Adam",
        _published.engine_rate(erm, sizes.steps),
        beside.measure(_published.loop_beside, "erm", sizes, device, True),
        repeats,
    )
    scoring = compare(
        f"ERM d={sizes.width}, scoring {len(bank.values) * sizes.instances:,} rows",
        "milliseconds per trial",
        LOOP,
        scaled(_published.evaluation_seconds(erm), 1000),
        beside.measure(_published.loop_evaluation_beside, sizes, device),
        repeats,
    )
    workers = paths.cores() if device == "cpu" else 1
    where = f"{workers} cores, if they do not slow each other" if device == "cpu" else "one GPU"
    return [
        *found.values(),
        median_of(found, sizes, limits.get("median")),
        fused,
        *what_is_reached(bank, sizes, repeats, limits.get("products")),
        scoring,
        grid(found, scoring, sizes, workers, where),
    ]


def here(quick: bool, tunables: str | None) -> list[Entry]:
    """All entries, the stacks in this process; `tunables` are the user's own, of the loops'."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = False
    entries: list[Entry] = []
    with threads(1), Beside(tunables) as beside:
        if quick:
            return of(QUICK, device, 1, {}, beside)
        for sizes in map(Sizes, WIDTHS[device]):
            entries += of(sizes, device, REPEATS, LIMITS if device == "cpu" else {}, beside)
            few = _published.bank_of(replace(sizes, instances=sizes.classes), device)
            entries.append(memory(sizes, _published.number_of("erm", few, sizes)))
    return entries


def run(quick: bool) -> list[Entry]:
    """On the CPU, or on the GPU where there is one; `quick` only shows that all of it works.

    Stacks are measured in a process that holds its memory as the engine's workers do, loops in one
    as a user starts it.
    """
    tunables = os.environ.get(NAME)
    if quick:
        return here(quick, tunables)
    with lasting_memory():
        return elsewhere(here, quick, tunables)()
