"""What a virtual modality costs at use, and what early, mid and late fusion cost in training.

One thread, CPU seconds. Of three modalities one is seen; TRML generates the others and answers,
against the same fusion network with zeros in their place, or one that has the seen modality only.
Nothing is trained: it takes as long.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import _virtual
from benchmarks._memory import elsewhere, taken
from benchmarks._published import clock, go
from benchmarks._virtual import FUSIONS, Answer, Sizes
from benchmarks._world import threads
from mglib.missing.generators import WORDS
from mglib.missing.training import MissingTraining
from mglib.report.bench import Entry, compare
from mglib.trials.sampling import BLOCK

QUICK = Sizes(widths=(24, 16, 16), calls=3, rows=8)
FPS, MOST_STREAMS = 25, 2**15
REPEATS = 3
ZEROS, ALONE = "zeros in its place", "the seen modality alone"


def at_use(sizes: Sizes, repeats: int) -> list[Entry]:
    """Latency, throughput and streams of frames, features already there, for every generator."""
    one, many = (_virtual.utterances(rows, sizes.widths[0]) for rows in (1, sizes.rows))
    entries = []
    for word in WORDS:
        model = _virtual.model_of(word, sizes.widths)
        ours = _virtual.generating(model)
        zeros = _virtual.filling(model.reader, sizes.widths)
        single = _virtual.alone(sizes.widths[0])

        def latency(answer: Answer) -> Callable[[], float]:
            return _virtual.latency(lambda: answer(one), sizes.calls)

        def throughput(answer: Answer) -> Callable[[], float]:
            return _virtual.throughput(answer, many, sizes.calls // 3)

        def alone(answer: Answer) -> Callable[[], float]:
            once = _virtual.one_by_one(answer, lambda: one)
            return _virtual.streams_alone(once, sizes.calls, FPS)

        def together(answer: Answer) -> Callable[[], float]:
            most = MOST_STREAMS if sizes.rows > QUICK.rows else 4
            return _virtual.streams_together(answer, sizes.widths[0], FPS, most)

        for name, unit, measure, others in (
            ("latency", "CPU microseconds per utterance", latency, {ZEROS: zeros, ALONE: single}),
            (f"batch of {sizes.rows}", "utterances per CPU second", throughput, {ZEROS: zeros}),
            ("frame by frame", f"streams of {FPS} fps", alone, {ZEROS: zeros}),
            ("frames together", f"streams of {FPS} fps", together, {ZEROS: zeros}),
        ):
            for baseline, answer in others.items():
                both = measure(ours), measure(answer)
                entries.append(compare(f"{word}, {name}", unit, baseline, *both, repeats))
    return entries


def memory(sizes: Sizes, repeats: int) -> list[Entry]:
    """Peak memory of a network and of its answers to one batch, in a fresh process."""
    return [
        compare(
            f"{word}, memory at a batch of {sizes.rows}",
            "MiB for weights and answers",
            ZEROS,
            elsewhere(taken, _virtual.building, word, sizes),
            elsewhere(taken, _virtual.building, "", sizes),
            repeats,
        )
        for word in WORDS
    ]


def with_encoders(sizes: Sizes, repeats: int) -> list[Entry]:
    """The whole utterance, from a picture or a sentence to the answer, and a stream of pictures."""
    entries = []
    for name, encode, widths in (
        ("EfficientNet-Lite0", _virtual.picture_encoder(), (1280, 512)),
        ("CLIP ViT-B/32", _virtual.clip_encoder(), (512, 512)),
        ("sentence encoder", _virtual.text_encoder(), (512, 1280)),
    ):
        model = _virtual.model_of("pairwise", widths)
        answers = _virtual.generating(model), _virtual.filling(model.reader, widths)
        ours, zeros = (_virtual.one_by_one(answer, encode) for answer in answers)
        calls = max(3, sizes.calls // 10)
        entries.append(
            compare(
                f"{name} and pairwise, latency",
                "CPU microseconds per utterance",
                ZEROS,
                _virtual.latency(ours, calls),
                _virtual.latency(zeros, calls),
                repeats,
            )
        )
        if name != "sentence encoder":
            entries.append(
                compare(
                    f"{name} and pairwise, frame by frame",
                    f"streams of {FPS} fps",
                    ZEROS,
                    _virtual.streams_alone(ours, calls, FPS),
                    _virtual.streams_alone(zeros, calls, FPS),
                    repeats,
                )
            )
    return entries


def seconds_of(training: MissingTraining, steps: int) -> Callable[[], float]:
    """Measures CPU seconds of 1,000 trial-steps, the draws of a block of steps among them."""
    go(training, 0, 2)

    def seconds() -> float:
        before = clock(training.device)
        go(training, BLOCK, steps)
        return 1000 * (clock(training.device) - before) / (steps * len(training.trials))

    return seconds


def in_training(steps: int, repeats: int) -> list[Entry]:
    """Mid and early fusion and TRML, relative to late fusion."""
    measured = {word: seconds_of(_virtual.training_of(word), steps) for word in FUSIONS}
    late = measured.pop("late")
    return [
        compare(
            f"{word} fusion, training" if word != "TRML" else "TRML, training",
            "CPU seconds per 1,000 trial-steps",
            "late fusion",
            own,
            late,
            repeats,
        )
        for word, own in measured.items()
    ]


def run(quick: bool) -> list[Entry]:
    """Every generator at use, and every fusion in training; `quick` only shows that it works."""
    sizes, steps, repeats = (QUICK, 2, 1) if quick else (Sizes(), BLOCK, REPEATS)
    with threads(1):
        return [
            *at_use(sizes, repeats),
            *memory(sizes, repeats),
            *with_encoders(sizes, repeats),
            *in_training(steps, repeats),
        ]
